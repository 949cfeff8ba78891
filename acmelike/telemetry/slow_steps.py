"""Names the nodes whose constructor or step takes long, as others may wait for them."""

from __future__ import annotations

from collections.abc import Mapping

from acmelike.core.status import NodeStatus

# An evaluation is named sooner than other steps: a greedy policy may never finish an
# episode, and then neither does the run, unless the length of episodes is limited.
SLOW_EVALUATION_SECONDS = 5.0


def slow_steps(nodes: Mapping[str, NodeStatus]) -> list[str]:
    """Describes what takes long, such as "actor/0 working for 12 s in its constructor".

    The description of an evaluation ends with the option that limits it.
    """
    found = []
    for node in nodes.values():
        if node.role == "evaluator" and node.doing:
            if node.working_seconds >= SLOW_EVALUATION_SECONDS:
                found.append(
                    f"{node.label} {node.doing} in {node.working_seconds:,.0f} s; "
                    "see --max-episode-steps"
                )
        elif node.slow_step:
            found.append(f"{node.label} {node.slow_step}")
    return found

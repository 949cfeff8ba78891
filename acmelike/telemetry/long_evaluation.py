"""Whether an evaluation takes long, for which everybody else may have to wait."""

from __future__ import annotations

from collections.abc import Mapping

from acmelike.core.status import NodeStatus

LONG_SECONDS = 5.0


def long_evaluation(nodes: Mapping[str, NodeStatus]) -> str:
    """Says of an evaluation how long it takes, and what bounds it; "" if there is none.

    A greedy policy may never end an episode, and then its run never ends either.
    """
    for node in nodes.values():
        if node.label.split("/")[0] != "evaluator" or not node.doing:
            continue
        if node.working_seconds >= LONG_SECONDS:
            return (
                f"{node.label} {node.doing} in {node.working_seconds:,.0f} s; "
                "see --max-episode-steps"
            )
    return ""

"""The rows of the live table, in numbers: what happened between two snapshots."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from acmelike.core.status import EdgeStatus, NodeStatus, ParkedCall

Nodes = Mapping[str, NodeStatus]


@dataclass(frozen=True, kw_only=True)
class NodeRow:
    """A node, or several of a kind; shares and rates are of the time between.

    Attributes:
      label: of the node, or what the labels of several begin with.
      num_nodes: how many these are.
      phase: what the node does now, or most of them; "failed" if one has.
      is_worker: whether it has done or begun steps.
      steps_per_second: of all together.
      busy: the share of the time spent in steps, without waiting; the mean of several.
      waiting: the share spent waiting; the mean of several.
      waits_for: what it waited for longest, or "".
      reason: why it does so now, or "".
      num_calls: answered so far, by all together.
      calls_per_second: answered.
      memory_bytes: of the processes that no row above lives in; None if there are none.
    """

    label: str
    num_nodes: int
    phase: str
    is_worker: bool
    steps_per_second: float
    busy: float
    waiting: float
    waits_for: str
    reason: str
    num_calls: int
    calls_per_second: float
    memory_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class EdgeRow:
    """The calls of one method by nodes of one kind.

    Attributes:
      caller: the kind.
      num_callers: how many nodes of it called.
      target: what they called, such as "replay.insert".
      num_calls: so far.
      calls_per_second: made.
      bytes_per_second: sent and received for them; None where nothing left a process.
      p50_seconds: the median caller's median time; None before the first.
    """

    caller: str
    num_callers: int
    target: str
    num_calls: int
    calls_per_second: float
    bytes_per_second: float | None
    p50_seconds: float | None


def node_rows(
    before: Nodes, now: Nodes, seconds: float, *, most_of_a_kind: int
) -> list[NodeRow]:
    """A row for each node, but one for all of a kind if there are more than so many."""
    rows, seen = list[NodeRow](), set[int]()
    for kind, nodes in _by_kind(now).items():
        if len(nodes) > most_of_a_kind:
            rows.append(_node_row(kind, nodes, before, seconds, seen))
        else:
            rows += [_node_row(n.label, [n], before, seconds, seen) for n in nodes]
    return rows


def edge_rows(before: Nodes, now: Nodes, seconds: float) -> list[EdgeRow]:
    """A row for each method that nodes of a kind call, in the order of the nodes."""
    rows = list[EdgeRow]()
    for kind, nodes in _by_kind(now).items():
        targets = dict.fromkeys(target for node in nodes for target in node.edges)
        for target in targets:
            after = [node.edges[target] for node in nodes if target in node.edges]
            earlier = [
                before.get(node.label, node).edges.get(target, EdgeStatus(0, 0, None))
                for node in nodes
            ]
            num_calls = sum(edge.num_calls for edge in after)
            num_bytes = sum(edge.num_bytes for edge in after)
            since = num_calls - sum(edge.num_calls for edge in earlier)
            bytes_since = num_bytes - sum(edge.num_bytes for edge in earlier)
            times = [e.p50_seconds for e in after if e.p50_seconds is not None]
            rows.append(
                EdgeRow(
                    caller=kind if len(nodes) > 1 else nodes[0].label,
                    num_callers=len(after),
                    target=target,
                    num_calls=num_calls,
                    calls_per_second=since / seconds,
                    bytes_per_second=bytes_since / seconds if num_bytes else None,
                    p50_seconds=median(times) if times else None,
                )
            )
    return rows


def waits_at(node: NodeStatus) -> list[tuple[int, ParkedCall]]:
    """The calls parked at a node: those of one kind as one, with their number."""
    alike = defaultdict[tuple[str, str], list[ParkedCall]](list)
    for call in node.parked:
        alike[_kind(call.caller), call.method].append(call)
    return [
        (len(calls), calls[0] if len(calls) == 1 else calls[0]._replace(caller=kind))
        for (kind, _), calls in alike.items()
    ]


def _by_kind(nodes: Nodes) -> dict[str, list[NodeStatus]]:
    kinds = defaultdict[str, list[NodeStatus]](list)
    for node in nodes.values():
        kinds[_kind(node.label)].append(node)
    return kinds


def _kind(label: str) -> str:
    """The group of "actor/3", or the label of a node that is in none."""
    return label.rpartition("/")[0] or label


def _node_row(
    label: str,
    nodes: Sequence[NodeStatus],
    before: Nodes,
    seconds: float,
    seen: set[int],
) -> NodeRow:
    """The row of these nodes; their processes become `seen`."""
    num_steps, num_calls, busy = 0, 0, 0.0
    waited: Counter[str] = Counter()
    for node in nodes:
        earlier = before.get(node.label)
        if earlier is None:
            continue  # When it did what it has done, nobody knows.
        num_steps += node.num_steps - earlier.num_steps
        num_calls += node.num_calls - earlier.num_calls
        shares = _waiting_shares(earlier, node, seconds)
        waited.update(shares)
        busy += _busy_share(earlier, node, seconds, 1.0 - sum(shares.values()))
    waits_for = max(waited, key=lambda target: waited[target], default="")
    reasons = [
        node.waits_for.removeprefix(f"{waits_for}: ")
        for node in nodes
        if node.waits_for.startswith(f"{waits_for}: ")
    ]
    phases = Counter(node.phase for node in nodes)
    memory = {n.process: n.memory_bytes for n in nodes if n.process not in seen}
    seen.update(memory)
    return NodeRow(
        label=label,
        num_nodes=len(nodes),
        phase="failed" if phases["failed"] else phases.most_common(1)[0][0],
        is_worker=any(n.num_steps or n.phase in _IN_STEPS for n in nodes),
        steps_per_second=num_steps / seconds,
        busy=busy / len(nodes),
        waiting=sum(waited.values()) / len(nodes),
        waits_for=waits_for,
        reason=reasons[0] if reasons else "",
        num_calls=sum(node.num_calls for node in nodes),
        calls_per_second=num_calls / seconds,
        memory_bytes=sum(memory.values()) if memory else None,
    )


_IN_STEPS = ("working", "waiting")


def _waiting_shares(
    before: NodeStatus, now: NodeStatus, seconds: float
) -> dict[str, float]:
    """The share of the time waited, by what for; together at most 1."""
    waited = {
        target: (total - before.waited_seconds.get(target, 0.0)) / seconds
        for target, total in now.waited_seconds.items()
    }
    # Nodes answer at slightly different times than the clock here says.
    excess = max(1.0, sum(waited.values()))
    return {target: share / excess for target, share in waited.items() if share > 0}


def _busy_share(
    before: NodeStatus, now: NodeStatus, seconds: float, rest: float
) -> float:
    """The share of the time worked, at most the `rest` that was not spent waiting."""
    in_one_step = (
        now.num_steps == before.num_steps
        and before.phase in _IN_STEPS
        and now.phase in _IN_STEPS
    )
    if in_one_step:
        return rest  # Work is counted when a step ends; until then, this is it.
    return min((now.worked_seconds - before.worked_seconds) / seconds, rest)

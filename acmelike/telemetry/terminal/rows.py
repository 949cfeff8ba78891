"""The rows of the live table as numbers: what happened between two snapshots."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from acmelike.core.status import EdgeStatus, NodeStatus, ParkedCall, group_by_role

Nodes = Mapping[str, NodeStatus]
_NO_CALLS = EdgeStatus(0, 0, None, None)


@dataclass(frozen=True, kw_only=True)
class NodeRow:
    """One node, or all nodes of a role; rates and shares are of the time in between.

    Attributes:
      label: the node's label, or the role of several nodes.
      num_nodes: the number of nodes in this row.
      phase: the node's phase, or that of most nodes; "failed" if one has failed, and
        otherwise "restarting" if one is.
      num_restarts: how often they were restarted, summed over the nodes.
      is_worker: whether it has completed or begun a step.
      steps_per_second: the sum over the nodes.
      busy: the share of the time spent working in steps; the mean over the nodes.
      waiting: the share of the time spent waiting; the mean over the nodes.
      waits_for: the target that took most of the waiting, or "".
      reason: why it waits for this target now, or "".
      slow_step: names a constructor or a step that takes long, or "".
      num_calls: answered calls so far, summed over the nodes.
      calls_per_second: answered calls, summed over the nodes.
      memory_bytes: of those processes that no row above has counted; None if there are
        none.
    """

    label: str
    num_nodes: int
    phase: str
    num_restarts: int
    is_worker: bool
    steps_per_second: float
    busy: float
    waiting: float
    waits_for: str
    reason: str
    slow_step: str
    num_calls: int
    calls_per_second: float
    memory_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class EdgeRow:
    """The calls of one method by the nodes of one role.

    Attributes:
      caller: the role, or the label of its only node.
      num_callers: the number of nodes that called.
      target: the method, such as "replay.insert".
      num_calls: calls so far.
      calls_per_second: calls in the time in between.
      bytes_per_second: bytes sent and received; None for calls inside one process.
      p50_seconds: the median over the callers of their median durations; None before
        the first call.
      p99_seconds: the 99th percentile of their durations; the longest of all callers.
    """

    caller: str
    num_callers: int
    target: str
    num_calls: int
    calls_per_second: float
    bytes_per_second: float | None
    p50_seconds: float | None
    p99_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """What the nodes of one role did for the callers of one method.

    Attributes:
      label: the role, or the label of its only node.
      num_nodes: the number of nodes whose method was called.
      method: its name.
      calls_per_second: calls in the time in between.
      batch_size: calls in one run of the method, in the mean since the start.
      run_seconds: time that the method ran so far.
      busy: the share of the time in between that the method ran; the mean over the
        nodes.
      queue_p50_seconds: how long a call waits for the method to begin: the median over
        the nodes of their medians.
      queue_p99_seconds: the 99th percentile of that wait; the longest of all nodes.
      run_p50_seconds: how long the method runs; likewise.
      run_p99_seconds: likewise.
    """

    label: str
    num_nodes: int
    method: str
    calls_per_second: float
    batch_size: float
    run_seconds: float
    busy: float
    queue_p50_seconds: float
    queue_p99_seconds: float
    run_p50_seconds: float
    run_p99_seconds: float


def node_rows(
    before: Nodes, now: Nodes, seconds: float, *, max_per_role: int
) -> list[NodeRow]:
    """A row for each node, but one for all nodes of a role if they are too many.

    Args:
      before: the nodes at the earlier moment.
      now: the nodes at the later moment.
      seconds: between the two.
      max_per_role: nodes of one role that still get a row each.
    """
    rows, seen = list[NodeRow](), set[tuple[str, int]]()
    for role, nodes in group_by_role(now.values()).items():
        if len(nodes) > max_per_role:
            rows.append(_node_row(role, nodes, before, seconds, seen))
        else:
            rows += [_node_row(n.label, [n], before, seconds, seen) for n in nodes]
    return rows


def edge_rows(before: Nodes, now: Nodes, seconds: float) -> list[EdgeRow]:
    """A row for each method that the nodes of a role call, in the order of the nodes.

    Args:
      before: the nodes at the earlier moment.
      now: the nodes at the later moment.
      seconds: between the two.
    """
    rows = list[EdgeRow]()
    for role, nodes in group_by_role(now.values()).items():
        targets = dict.fromkeys(target for node in nodes for target in node.edges)
        for target in targets:
            after = [node.edges[target] for node in nodes if target in node.edges]
            earlier = [
                before.get(node.label, node).edges.get(target, _NO_CALLS)
                for node in nodes
            ]
            num_calls = sum(edge.num_calls for edge in after)
            num_bytes = sum(edge.num_bytes for edge in after)
            since = num_calls - sum(edge.num_calls for edge in earlier)
            bytes_since = num_bytes - sum(edge.num_bytes for edge in earlier)
            p50s = [e.p50_seconds for e in after if e.p50_seconds is not None]
            p99s = [e.p99_seconds for e in after if e.p99_seconds is not None]
            rows.append(
                EdgeRow(
                    caller=role if len(nodes) > 1 else nodes[0].label,
                    num_callers=len(after),
                    target=target,
                    num_calls=num_calls,
                    calls_per_second=since / seconds,
                    bytes_per_second=bytes_since / seconds if num_bytes else None,
                    p50_seconds=median(p50s) if p50s else None,
                    p99_seconds=max(p99s, default=None),
                )
            )
    return rows


def method_rows(before: Nodes, now: Nodes, seconds: float) -> list[MethodRow]:
    """A row for each method of a role that was called, in the order of the nodes.

    Args:
      before: the nodes at the earlier moment.
      now: the nodes at the later moment.
      seconds: between the two.
    """
    rows = list[MethodRow]()
    for role, nodes in group_by_role(now.values()).items():
        for name in dict.fromkeys(name for node in nodes for name in node.methods):
            those = [node for node in nodes if name in node.methods]
            after = [node.methods[name] for node in those]
            earlier = [
                method
                for node in those
                if (method := before.get(node.label, node).methods.get(name))
            ]
            num_calls = sum(method.num_calls for method in after)
            run_seconds = sum(method.run_seconds for method in after)
            since = num_calls - sum(method.num_calls for method in earlier)
            ran = run_seconds - sum(method.run_seconds for method in earlier)
            rows.append(
                MethodRow(
                    label=role if len(nodes) > 1 else nodes[0].label,
                    num_nodes=len(those),
                    method=name,
                    calls_per_second=since / seconds,
                    batch_size=num_calls / max(1, sum(m.num_runs for m in after)),
                    run_seconds=run_seconds,
                    busy=min(1.0, ran / seconds / len(those)),
                    queue_p50_seconds=median(m.queue_p50_seconds or 0.0 for m in after),
                    queue_p99_seconds=max(m.queue_p99_seconds or 0.0 for m in after),
                    run_p50_seconds=median(m.run_p50_seconds or 0.0 for m in after),
                    run_p99_seconds=max(m.run_p99_seconds or 0.0 for m in after),
                )
            )
    return rows


def parked_calls(nodes: Nodes, label: str) -> list[tuple[int, ParkedCall]]:
    """(number of callers, one call) for each role and method parked at a node.

    Where several nodes of a role wait, the caller is the role. A node may have several
    calls under way.
    """
    if label not in nodes:
        return []
    alike = defaultdict[tuple[str, str], list[ParkedCall]](list)
    for call in nodes[label].parked:
        # Callers outside the program have no status, and so no role.
        caller = nodes.get(call.caller)
        role = call.caller if caller is None else caller.role
        alike[role, call.method].append(call)
    found = []
    for (role, _), calls in alike.items():
        num_callers = len({call.caller for call in calls})
        first = calls[0] if num_callers == 1 else calls[0]._replace(caller=role)
        found.append((num_callers, first))
    return found


def shared_memory_bytes(nodes: Nodes) -> int | None:
    """The memory of the one process that all nodes share; None if they have several."""
    processes = {(node.host, node.process) for node in nodes.values()}
    if len(nodes) < 2 or len(processes) > 1:
        return None
    return next(iter(nodes.values())).memory_bytes


def _node_row(
    label: str,
    nodes: Sequence[NodeStatus],
    before: Nodes,
    seconds: float,
    seen: set[tuple[str, int]],
) -> NodeRow:
    """The row of these nodes; adds their processes to `seen`."""
    num_steps, num_calls, busy = 0, 0, 0.0
    waited: Counter[str] = Counter()
    for node in nodes:
        earlier = before.get(node.label)
        if earlier is None:
            continue  # It is new: its counts have no known beginning.
        num_steps += node.num_steps - earlier.num_steps
        num_calls += node.num_calls - earlier.num_calls
        shares = _waiting_shares(earlier, node, seconds)
        waited.update(shares)
        busy += _busy_share(earlier, node, seconds, 1.0 - sum(shares.values()))
    waits_for = max(waited, key=lambda target: waited[target], default="")
    reasons = [node.reason for node in nodes if node.waits_for == waits_for]
    slow = [node for node in nodes if node.slow_step]
    phases = Counter(node.phase for node in nodes)
    unusual = [phase for phase in ("failed", "restarting") if phases[phase]]
    processes = {(node.host, node.process): node.memory_bytes for node in nodes}
    memory = {one: size for one, size in processes.items() if one not in seen}
    seen.update(memory)
    return NodeRow(
        label=label,
        num_nodes=len(nodes),
        phase=unusual[0] if unusual else phases.most_common(1)[0][0],
        num_restarts=sum(node.num_restarts for node in nodes),
        is_worker=any(n.num_steps or n.phase in _IN_STEPS for n in nodes),
        steps_per_second=num_steps / seconds,
        busy=busy / len(nodes),
        waiting=sum(waited.values()) / len(nodes),
        waits_for=waits_for,
        reason=max(reasons, key=bool, default=""),
        slow_step=_describe_slow(slow, len(nodes)),
        num_calls=sum(node.num_calls for node in nodes),
        calls_per_second=num_calls / seconds,
        memory_bytes=sum(memory.values()) if memory else None,
    )


def _describe_slow(slow: Sequence[NodeStatus], num_nodes: int) -> str:
    if not slow:
        return ""
    if num_nodes == 1:
        return slow[0].slow_step
    others = f", {len(slow) - 1} more too" if len(slow) > 1 else ""
    return f"{slow[0].label} {slow[0].slow_step}{others}"


_IN_STEPS = ("working", "waiting")


def _waiting_shares(
    before: NodeStatus, now: NodeStatus, seconds: float
) -> dict[str, float]:
    """The share of the time spent waiting, by target; the sum is at most 1."""
    waited = {
        target: (total - before.waited_seconds.get(target, 0.0)) / seconds
        for target, total in now.waited_seconds.items()
    }
    # The nodes' own clocks and `seconds` differ slightly, so the sum may exceed 1.
    excess = max(1.0, sum(waited.values()))
    return {target: share / excess for target, share in waited.items() if share > 0}


def _busy_share(
    before: NodeStatus, now: NodeStatus, seconds: float, rest: float
) -> float:
    """The share of the time spent working; at most `rest`, the share not waited."""
    in_one_step = (
        now.num_steps == before.num_steps
        and before.phase in _IN_STEPS
        and now.phase in _IN_STEPS
    )
    if in_one_step:
        return rest  # Work is counted at the end of a step, which is not reached yet.
    return min((now.worked_seconds - before.worked_seconds) / seconds, rest)

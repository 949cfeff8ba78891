"""Statuses made by hand."""

from acmelike.core.status import EdgeStatus, MethodStatus, NodeStatus


def status(label, **values):
    """A node's status with these values; "actor/0" is in the group "actor"."""
    unknown = dict(
        group=label.rpartition("/")[0] or None,
        phase="working",
        waits_for="",
        reason="",
        doing="",
        working_seconds=0.0,
        spinning_seconds=0.0,
        num_steps=0,
        num_calls=0,
        worked_seconds=0.0,
        waited_seconds={},
        parked=(),
        edges={},
        methods={},
        can_end_alone=False,
        process=1,
        memory_bytes=0,
    )
    return NodeStatus(label=label, **{**unknown, **values})


def edge(num_calls, num_bytes=0, p50_seconds=None, p99_seconds=None):
    return EdgeStatus(num_calls, num_bytes, p50_seconds, p99_seconds)


def method(num_calls, num_runs=None, queue=(0.0, None, None), run=(0.0, None, None)):
    """What a node did for the callers of a method; times are (total, p50, p99)."""
    runs = num_calls if num_runs is None else num_runs
    return MethodStatus(num_calls, runs, 0, 0, *queue, *run)


def by_label(*nodes):
    return {node.label: node for node in nodes}

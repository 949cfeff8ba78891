"""Statuses made by hand."""

from acmelike.core.status import EdgeStatus, NodeStatus


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
        is_timed=False,
        process=1,
        memory_bytes=0,
    )
    return NodeStatus(label=label, **{**unknown, **values})


def edge(num_calls, num_bytes=0, p50_seconds=None):
    return EdgeStatus(num_calls, num_bytes, p50_seconds)


def by_label(*nodes):
    return {node.label: node for node in nodes}

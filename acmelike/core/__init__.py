"""The contract of nodes: the words of their code, and what launchers provide."""

from acmelike.core.contract import (
    Worker,
    batched,
    concurrent,
    deadline,
    idempotent,
    set_status,
    sleep,
    start,
    stop_run,
    updating,
    when,
)
from acmelike.core.future import Future
from acmelike.core.runtime import now, prefetch_depth

__all__ = [
    "Future",
    "Worker",
    "batched",
    "concurrent",
    "deadline",
    "idempotent",
    "now",
    "prefetch_depth",
    "set_status",
    "sleep",
    "start",
    "stop_run",
    "updating",
    "when",
]

"""acmelike: reinforcement-learning systems as graphs of nodes.

Names are imported when they are first used, so that a node that needs only some of the
framework (a replay table, say) starts without the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acmelike.core import (
        Future,
        concurrent,
        deadline,
        set_status,
        sleep,
        start,
        stop_run,
        updating,
        when,
    )
    from acmelike.evaluation.saved_policy import load_policy
    from acmelike.graph import Node, Program
    from acmelike.launchers import Run, launch

_HOMES = {
    "Future": "acmelike.core",
    "Node": "acmelike.graph",
    "Program": "acmelike.graph",
    "Run": "acmelike.launchers",
    "concurrent": "acmelike.core",
    "deadline": "acmelike.core",
    "launch": "acmelike.launchers",
    "load_policy": "acmelike.evaluation.saved_policy",
    "set_status": "acmelike.core",
    "sleep": "acmelike.core",
    "start": "acmelike.core",
    "stop_run": "acmelike.core",
    "updating": "acmelike.core",
    "when": "acmelike.core",
}

__all__ = [
    "Future",
    "Node",
    "Program",
    "Run",
    "concurrent",
    "deadline",
    "launch",
    "load_policy",
    "set_status",
    "sleep",
    "start",
    "stop_run",
    "updating",
    "when",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'acmelike' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value

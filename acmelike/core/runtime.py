"""What a launcher provides to the code of nodes: the context of a node's thread."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from acmelike.core.status import NodeMetrics
from acmelike.errors import ContractError


class _ContextOfThread(threading.local):
    context: Context | None = None
    # On the thread's clock.
    deadline: float | None = None

    def __init__(self) -> None:
        # Those of the scopes around the innermost one.
        self.outer_deadlines: list[float | None] = []


_thread = _ContextOfThread()
# The labels of the nodes whose services are served in this process, by the id of the
# service.
_served: dict[int, str] = {}


class Context(Protocol):
    """What a run gives to the thread of one of its nodes."""

    @property
    def label(self) -> str:
        """The node's label."""

    @property
    def is_serial(self) -> bool:
        """Whether nodes take turns, so that nothing happens ahead of need."""

    @property
    def metrics(self) -> NodeMetrics:
        """The node's counters."""

    def now(self) -> float:
        """Seconds on the clock by which the node's deadlines are measured."""

    def sleep(self, seconds: float | None, reason: str) -> None:
        """Waits `seconds`, or until the run ends; then it raises RpcClosed."""

    def updating(self, service: object) -> AbstractContextManager[None]:
        """Guards a change of the service by this node's step."""


def current_context() -> Context | None:
    """The context of the calling thread; None outside a run."""
    return _thread.context


def set_context(context: Context | None) -> None:
    """Makes the calling thread a node's thread, or with None an ordinary one."""
    _thread.context = context


def now() -> float:
    """Seconds on the clock by which the calling thread's deadlines are measured.

    Under `serial` it is logical, so that what depends on it is the same in every run.
    """
    context = current_context()
    return time.monotonic() if context is None else context.now()


def current_deadline() -> float | None:
    """When the calling thread's deadline passes, on its clock; None if it has none."""
    return _thread.deadline


def enter_deadline(at: float | None) -> None:
    """Begins a scope in which the calling thread's deadline is not later than `at`.

    Args:
      at: on the thread's clock; None for that of the scope around it.
    """
    outer = _thread.deadline
    _thread.outer_deadlines.append(outer)
    if at is not None:
        _thread.deadline = at if outer is None else min(outer, at)


def leave_deadline() -> None:
    """Ends the innermost of these scopes."""
    _thread.deadline = _thread.outer_deadlines.pop()


def seconds_left() -> float | None:
    """Seconds until the calling thread's deadline, at least 0; None without one."""
    at = _thread.deadline
    return None if at is None else max(0.0, at - now())


def prefetch_depth(wanted: int) -> int:
    """How many calls to keep under way ahead of need.

    That is `wanted`, but 0 under `serial` and outside a run, where nothing happens
    ahead of need.
    """
    context = current_context()
    return 0 if context is None or context.is_serial else wanted


def register_service(service: object, label: str | None) -> None:
    """Notes that a service is served by a node; None that it no longer is."""
    if label is None:
        _served.pop(id(service), None)
    else:
        _served[id(service)] = label


def update_outside_node(service: object) -> AbstractContextManager[None]:
    """What `with updating(service)` enters in a thread that is no node's.

    Raises:
      ContractError: the service is served by a node, whose step alone may update it.
    """
    label = _served.get(id(service))
    if label is not None:
        raise ContractError(
            f"updating({type(service).__name__}) in a thread that is not the thread of "
            f"node '{label}': only the node's own step may update its service"
        )
    return nullcontext()

"""The life of one node in a thread: construct, serve, step, close."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from acmelike.core import set_context
from acmelike.core.leaf import leaf
from acmelike.core.status import NodeMetrics, NodeStatus
from acmelike.errors import RpcClosed, RunStopped
from acmelike.launchers.scheduler import Scheduler
from acmelike.rpc import Server, Supervisor


class RunSupervisor(Supervisor, Protocol):
    """What a node thread reports to."""

    def work_ended(self) -> None:
        """The node has no work, or no more."""


class NodeThread(threading.Thread):
    """Runs one node; it is also what the node's code finds as its context.

    Args:
      construct: makes the service, its handles already replaced by clients.
      server: where the service is served.
      group: the group that the node was added in, or None.
      scheduler: how the node waits.
      supervisor: told how the node ended.
      ended: set when the run ends.
    """

    def __init__(
        self,
        construct: Callable[[], Any],
        server: Server,
        group: str | None,
        scheduler: Scheduler,
        supervisor: RunSupervisor,
        ended: threading.Event,
    ):
        super().__init__(name=f"node {server.label}", daemon=True)
        self.label = server.label
        self.metrics = NodeMetrics(label=server.label, group=group)
        self.is_worker, self.has_work = False, True
        self._construct, self._server = construct, server
        self._scheduler, self._supervisor = scheduler, supervisor
        self._ended = ended
        self._where = "constructor"

    # --- What the node's code sees: acmelike.core.Context

    @property
    def is_serial(self) -> bool:
        """Whether nodes take turns."""
        return self._scheduler.is_serial

    def now(self) -> float:
        """See `acmelike.core.now`."""
        return self._scheduler.now()

    def sleep(self, seconds: float | None, reason: str) -> None:
        """See `acmelike.core.sleep`."""
        self._scheduler.sleep(self.metrics, seconds, reason)

    def status(self, memory_bytes: int) -> NodeStatus:
        """What it is doing."""
        return self.metrics.status(
            num_calls=self._server.num_calls,
            parked=self._server.parked(),
            memory_bytes=memory_bytes,
        )

    # --- Its life

    def run(self) -> None:
        set_context(self)
        self._scheduler.enter(self.label)
        service = None
        try:
            if not self._ended.is_set():
                with leaf(f"the constructor of '{self.label}'"):
                    service = self._construct()
                self._server.open(service)
                self._work(service)
        except BaseException as error:
            self._end(error)
        self._scheduler.leave(self.label)
        if self.metrics.phase != "failed":
            # Others may still call it, and what it holds is theirs until the end.
            self.metrics.phase = "serving"
            self._ended.wait()
            self.metrics.phase = "ended"
        self._close(service)
        set_context(None)

    def _work(self, service: Any) -> None:
        step, run = getattr(service, "step", None), getattr(service, "run", None)
        self.is_worker = callable(step) or callable(run)
        if callable(step):
            self._where = "step"
            self._loop(step)
        elif callable(run):
            self._where = "run"
            with self.metrics.stepping():
                run()
        self.has_work = False
        self._supervisor.work_ended()

    def _loop(self, step: Callable[[], None]) -> None:
        while not self._ended.is_set():
            with self.metrics.stepping():
                step()
            self._scheduler.end_step(self.label)

    def _end(self, error: BaseException) -> None:
        """Tells the supervisor, unless the node only noticed that the run ended."""
        if isinstance(error, RunStopped):
            self._supervisor.stop(str(error))
        elif not (isinstance(error, RpcClosed) and self._ended.is_set()):
            self.metrics.phase = "failed"
            self._supervisor.fail(self.label, self._where, error)

    def _close(self, service: Any) -> None:
        close = getattr(service, "close", None)
        if callable(close):
            try:
                close()
            except Exception as error:
                self._supervisor.fail(self.label, "close", error)

"""A launched program: its end, its status, its clients."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from acmelike.errors import Deadlock, NodeFailed, RunError, RunTimeout
from acmelike.graph import Entry, Program, replace_handles
from acmelike.launchers.node_thread import NodeThread
from acmelike.launchers.scheduler import Scheduler
from acmelike.launchers.standstill import StandstillWatch
from acmelike.metrics import NodeStatus
from acmelike.rpc import Client, Server

T = TypeVar("T")
logger = logging.getLogger("acmelike")


class MakeScheduler(Protocol):
    """What makes a launcher's scheduler."""

    def __call__(
        self,
        labels: list[str],
        ended: threading.Event,
        on_standstill: Callable[[Deadlock], None],
    ) -> Scheduler: ...


class Run:
    """A running program in this process; a context manager that ends what it started.

    The first failure stops everything and is raised, with the node's name, by `wait`
    and at the end of the `with` block.

    Args:
      program: what to run; it has been validated.
      make_scheduler: how its nodes run and wait.
      stall_seconds: without progress for so long, and every node waiting, a warning
        says what each of them waits for.
      grace_seconds: how long nodes may take to end once the run does.
    """

    def __init__(
        self,
        program: Program,
        make_scheduler: MakeScheduler,
        *,
        stall_seconds: float,
        grace_seconds: float,
    ):
        self._program, self._grace_seconds = program, grace_seconds
        self._ended = threading.Event()
        self._outcome = threading.Lock()
        self._reason: str | None = None
        self._failure: RunError | None = None
        self._raised = False
        entries = program.entries
        labels = [entry.label for entry in entries.values()]
        scheduler = make_scheduler(labels, self._ended, self._stand_still)
        self._servers = {
            handle: Server(entry.label, scheduler, self)
            for handle, entry in entries.items()
        }
        self._threads = [
            NodeThread(
                self._constructor(entry),
                self._servers[handle],
                scheduler,
                self,
                self._ended,
            )
            for handle, entry in entries.items()
        ]
        for thread in self._threads:
            thread.start()
        self._watch: StandstillWatch | None = None
        if not scheduler.is_serial:
            self._watch = StandstillWatch(
                [thread.metrics for thread in self._threads], self._ended, stall_seconds
            )
            self._watch.start()

    def wait(self, timeout: float | None = None) -> str:
        """Waits until the run ends by itself; returns why it did.

        Raises:
          NodeFailed: a node raised; the cause is chained.
          Deadlock: under `serial`, no node could ever run again.
          RunTimeout: it goes on after `timeout` seconds; says what every node does.
        """
        if not self._ended.wait(timeout):
            doing = "; ".join(str(status) for status in self.status().values())
            raise RunTimeout(f"the run goes on after {timeout} s: {doing}")
        self._join()
        if self._failure is not None:
            self._raised = True
            raise self._failure
        return self._reason or ""

    def stop(self, reason: str = "stopped from outside") -> None:
        """Ends the run: wakes every wait, and lets each node finish its step."""
        self._finish(reason, None)

    def fail(self, label: str, where: str, error: BaseException) -> None:
        """Ends the run because a node raised; the first failure is the one told."""
        failure = NodeFailed(label, where, error)
        level = logging.INFO if self._ended.is_set() else logging.ERROR
        logger.log(level, "%s", failure, exc_info=error)
        self._finish(str(failure), failure)

    def work_ended(self) -> None:
        """When the work of the last worker is over, so is the run.

        A program of services alone has no such end: it serves until it is stopped.
        """
        if any(thread.has_work for thread in self._threads):
            return
        if any(thread.is_worker for thread in self._threads):
            self.stop("every worker has ended")

    def status(self) -> dict[str, NodeStatus]:
        """What every node is doing or waiting for, by label."""
        return {
            thread.label: thread.metrics.status(
                num_calls=server.num_calls, parked=tuple(server.parked())
            )
            for thread, server in zip(
                self._threads, self._servers.values(), strict=True
            )
        }

    def client(self, handle: T) -> T:
        """A client of a node, for use from outside the program.

        Raises:
          GraphError: it is no handle of this program.
        """
        self._program.entry(handle)
        return cast(T, Client(self._servers[cast(Any, handle)]))

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop("its with block was left")
        self._join()
        if error is None and self._failure is not None and not self._raised:
            raise self._failure

    # --- How it ends -----------------------------------------------------------------

    def _constructor(self, entry: Entry) -> Callable[[], Any]:
        node, clients = entry.node, {}
        for handle, server in self._servers.items():
            clients[handle] = Client(server)
        args, kwargs = replace_handles([node.args, node.kwargs], clients.__getitem__)
        return partial(node.constructor, *args, **kwargs)

    def _stand_still(self, deadlock: Deadlock) -> None:
        self._finish(str(deadlock), deadlock)

    def _finish(self, reason: str, failure: RunError | None) -> None:
        with self._outcome:
            if self._reason is None:
                self._reason, self._failure = reason, failure
            self._ended.set()
        for server in self._servers.values():
            server.close(f"the run ended: {self._reason}")

    def _join(self) -> None:
        limit = time.monotonic() + self._grace_seconds
        self.stop()  # idempotent; a method that asked for the end closed nothing
        threads = [*self._threads, *([self._watch] if self._watch else [])]
        for thread in threads:
            thread.join(max(0.0, limit - time.monotonic()))
        left = [node for node in self._threads if node.is_alive()]
        # Under `serial` the others only wait for the turn of the one that works.
        working = [node for node in left if node.metrics.phase == "working"]
        for node in working or left:
            logger.warning(
                "%s still runs %.0f s after the end of the run",
                node.metrics.status(num_calls=0, parked=()),
                self._grace_seconds,
            )

"""A launched program: its end, its status, its clients."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from acmelike.core.status import NodeStatus
from acmelike.errors import NodeFailed, RunError, RunTimeout
from acmelike.graph import Program
from acmelike.launchers.nodes import Nodes, NodesSupervisor
from acmelike.launchers.standstill import StandstillWatch

T = TypeVar("T")
logger = logging.getLogger("acmelike")


class Launcher(Protocol):
    """What a launcher is: it places the nodes of a program."""

    def __call__(
        self,
        program: Program,
        supervisor: NodesSupervisor,
        ended: threading.Event,
        logs: Path | None,
    ) -> Nodes: ...


class Run:
    """A running program; a context manager that ends what it started.

    The first failure stops everything and is raised, with the node's name, by `wait`
    and at the end of the `with` block.

    Args:
      program: what to run; it has been validated.
      place_nodes: the launcher.
      stall_seconds: without progress for so long, and every node waiting, a warning
        says what each of them waits for; None if the launcher finds out by itself.
      grace_seconds: how long nodes may take to end once the run does.
      logs: the folder for what other processes print, or None.
    """

    def __init__(
        self,
        program: Program,
        place_nodes: Launcher,
        *,
        stall_seconds: float | None,
        grace_seconds: float,
        logs: Path | None,
    ):
        self._program, self._grace_seconds = program, grace_seconds
        self._ended = threading.Event()
        self._outcome = threading.Lock()
        self._reason: str | None = None
        self._failure: RunError | None = None
        self._raised = False
        self._nodes = place_nodes(program, self, self._ended, logs)
        self._nodes.start()
        self._watch: StandstillWatch | None = None
        if stall_seconds is not None:
            self._watch = StandstillWatch(self.status, self._ended, stall_seconds)
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

    def is_over(self, within: float = 0.0) -> bool:
        """Whether the run has ended, or does in so many seconds; `wait` says how."""
        return self._ended.wait(within)

    def stop(self, reason: str = "stopped from outside") -> None:
        """Ends the run: wakes every wait, and lets each node finish its step."""
        self._finish(reason, None)

    def status(self) -> dict[str, NodeStatus]:
        """What every node is doing or waiting for, by label."""
        return self._nodes.status()

    def client(self, handle: T) -> T:
        """A client of a node, for use from outside the program.

        Raises:
          GraphError: it is no handle of this program.
        """
        self._program.entry(handle)
        return cast(T, self._nodes.client(cast(Any, handle)))

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

    # --- What nodes report: NodesSupervisor

    def fail(self, label: str, where: str, error: BaseException) -> None:
        """Ends the run because a node raised; the first failure is the one told."""
        failure = NodeFailed(label, where, error)
        level = logging.INFO if self._ended.is_set() else logging.ERROR
        logger.log(level, "%s", failure, exc_info=error)
        self._finish(str(failure), failure)

    def break_off(self, failure: RunError) -> None:
        """Ends the run for what is no single node's fault."""
        self._finish(str(failure), failure)

    def work_ended(self) -> None:
        """When the work of the last worker is over, so is the run.

        A program of services alone has no such end: it serves until it is stopped.
        """
        if self._nodes.is_work_over():
            self.stop("every worker has ended")

    # --- How it ends

    def _finish(self, reason: str, failure: RunError | None) -> None:
        with self._outcome:
            if self._reason is None:
                self._reason, self._failure = reason, failure
            self._ended.set()
        self._nodes.close(f"the run ended: {self._reason}")

    def _join(self) -> None:
        self.stop()  # Idempotent; a method that asked for the end closed nothing.
        for node in self._nodes.join(self._grace_seconds):
            logger.warning(
                "%s still runs %.0f s after the end of the run",
                node,
                self._grace_seconds,
            )
        if self._watch is not None:
            self._watch.join(self._grace_seconds)

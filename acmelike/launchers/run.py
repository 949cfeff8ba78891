"""A launched program: its end, its status, its clients."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from acmelike.core.status import NodeStatus
from acmelike.errors import (
    ConfigError,
    GraphError,
    NodeFailed,
    RpcClosed,
    RunError,
    RunTimeout,
    nearest,
)
from acmelike.graph import Program
from acmelike.graph.elastic import checked_size, members
from acmelike.launchers.exposed import Endpoint
from acmelike.launchers.node_thread import ProgramSupervisor
from acmelike.launchers.nodes import Nodes
from acmelike.launchers.watch import ProgressWatch

T = TypeVar("T")
logger = logging.getLogger("acmelike")

# When the interpreter exits, a run may take so much longer than its grace. In that time
# the processes that are left after the grace are killed and released.
_EXIT_SECONDS = 5.0


class Launcher(Protocol):
    """Places the nodes of a program."""

    def __call__(
        self,
        program: Program,
        supervisor: ProgramSupervisor,
        ended: threading.Event,
        logs: Path | None,
        check: bool,
    ) -> Nodes: ...


class Run:
    """A running program; a context manager that ends what it started.

    The first failure stops everything and is raised, with the node's name, by `wait`
    and at the end of the `with` block. However a run ends, its threads, processes and
    sockets are released by then or, without `wait` and `with`, shortly after. A run
    that is still going when the interpreter exits is stopped.

    Args:
      program: what to run; it has been validated.
      launcher: places the nodes.
      stall_seconds: after so long without progress, while every node waits, a warning
        says what each of them waits for; None if the launcher notices that itself.
      grace_seconds: how long nodes may take to end once the run does.
      logs: the folder for the output of other processes, or None.
      check: whether to look for a forgotten `updating`.

    Attributes:
      program: what runs.
      nodes_have_ended: whether the run has ended, and all its nodes ended within the
        grace; nodes that are still closing count as ended.
    """

    def __init__(
        self,
        program: Program,
        launcher: Launcher,
        *,
        stall_seconds: float | None,
        grace_seconds: float,
        logs: Path | None,
        check: bool,
    ):
        self.program, self.nodes_have_ended = program, False
        self._grace_seconds = grace_seconds
        self._ended, self._released = threading.Event(), threading.Event()
        self._outcome = threading.Lock()
        self._reason: str | None = None
        self._failure: RunError | None = None
        self._raised = False
        self._nodes = launcher(program, self, self._ended, logs, check)
        threads = [
            threading.Thread(target=self._release, name="end of run", daemon=True),
            ProgressWatch(self.status, self._ended, stall_seconds),
        ]
        self._watch = threads[1]
        try:
            self._nodes.start()
            for thread in threads:
                thread.start()
        except BaseException:
            self._finish("it could not be started", None)
            self._nodes.join(0.0)
            raise
        _running.add(self)

    def wait(self, timeout: float | None = None) -> str:
        """Waits until the run ends by itself; returns why it did.

        Args:
          timeout: seconds; None to wait as long as the run goes on.

        Raises:
          NodeFailed: a node raised; the cause is chained.
          Deadlock: under `serial`, no node could ever run again.
          RunTimeout: it goes on after `timeout` seconds; says what every node does.
        """
        if not self._ended.wait(timeout):
            doing = "; ".join(str(status) for status in self.status().values())
            raise RunTimeout(f"the run goes on after {timeout} s: {doing}")
        self._released.wait()
        if self._failure is not None:
            self._raised = True
            raise self._failure
        return self._reason or ""

    def is_over(self, within: float = 0.0) -> bool:
        """Whether the run has ended, or ends within so many seconds; see `wait`."""
        return self._ended.wait(within)

    def stop(self, reason: str = "stopped from outside") -> None:
        """Ends the run: wakes every wait, and lets each node finish its step.

        It does not wait for the nodes; `wait` does.
        """
        self._finish(reason, None)

    def status(self) -> dict[str, NodeStatus]:
        """What every node is doing or waiting for, by label."""
        return self._nodes.status()

    def scale(self, group: str, size: int) -> list[str]:
        """Starts or ends nodes of a group, until `size` of them run.

        The group was added with a size (`Program.group`). Nodes that are ended finish
        their step. A node that is started again keeps its label, but is another
        incarnation, with a new random stream.

        Returns:
          The labels of the nodes that run.

        Raises:
          ConfigError: nodes have no processes here, there is no such group, or no host
            has what another node needs.
          GraphError: the group cannot have this size.
          RunError: the run has ended.
        """
        labels = self._labels_of(group)
        wanted = members(labels, checked_size(group, size, len(labels)))
        if self._ended.is_set():
            raise RunError(f"the run has ended: {self._reason}")
        self._nodes.scale(labels, wanted)
        return wanted

    def room(self, group: str) -> int:
        """How many more nodes of a group the hosts have cores, memory and GPUs for.

        It is below 0 if nodes share cores already, and 0 where nodes have no
        processes. The group was added with a size.

        Raises:
          ConfigError: there is no such group.
        """
        return self._nodes.room(self._labels_of(group))

    def client(self, handle: T) -> T:
        """A client of a node, for use from outside the program.

        Raises:
          GraphError: the handle is not of this program, or its group has a size and
            its node is not started.
        """
        label = self.program.entry(handle).label
        if not self._nodes.is_started(cast(Any, handle)):
            raise GraphError(f"node '{label}' is not started: its group has a size")
        return cast(T, self._nodes.client(cast(Any, handle)))

    def endpoint(self, handle: object) -> Endpoint:
        """Where other programs call a node that is exposed, and with what key.

        It waits until the node's process listens.

        Raises:
          GraphError: it is not a handle of this program, or the node is not exposed.
          RpcTimeout: the deadline of a scope around it passed.
          RpcClosed: the run ended before.
        """
        entry = self.program.entry(handle)
        if handle not in self.program.exposures:
            raise GraphError(
                f"node '{entry.label}' is not exposed: call program.expose(handle) "
                f"before the launch"
            )
        return self._nodes.endpoint(entry.label)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        is_interrupt = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.stop("interrupted" if is_interrupt else "its with block was left")
        self._released.wait()
        if error is None and self._failure is not None and not self._raised:
            raise self._failure

    def _labels_of(self, group: str) -> list[str]:
        groups = self.program.elastic_groups
        if group in groups:
            return groups[group]
        known = ", ".join(groups) or "none"
        raise ConfigError(
            f"no group '{group}' can be scaled{nearest(group, groups)} (there are: "
            f"{known}): give it a size, as with program.group('{group}', size=2)"
        )

    # --- What nodes report: ProgramSupervisor

    def fail(self, label: str, where: str, error: BaseException) -> None:
        """Ends the run because a node raised; `wait` raises the first failure."""
        failure = NodeFailed(label, where, error)
        level = logging.ERROR
        if self._ended.is_set():
            # Errors that follow from the end are no news; a `close` that failed is.
            is_news = where == "close" and not isinstance(error, RpcClosed)
            level = logging.WARNING if is_news else logging.INFO
        logger.log(level, "%s", failure, exc_info=error)
        self._finish(str(failure), failure)

    def fail_run(self, failure: RunError) -> None:
        """Ends the run for a reason that is no single node's fault."""
        self._finish(str(failure), failure)

    def work_ended(self) -> None:
        """Ends the run when the last worker has no work left.

        A program that has only services does not end here: it serves until `stop`.
        """
        if self._nodes.is_work_over():
            self.stop("every worker has ended")
        elif self._nodes.has_only_services():
            logger.warning(
                "no node of program '%s' has a step or a run: it serves until stop()",
                self.program.name,
            )

    # --- How it ends

    def _finish(self, reason: str, failure: RunError | None) -> None:
        with self._outcome:
            if self._reason is None:
                self._reason, self._failure = reason, failure
            self._ended.set()
        self._nodes.close(f"the run ended: {self._reason}")

    def _release(self) -> None:
        """Waits for the end, then for the nodes; releases what the run holds."""
        self._ended.wait()
        try:
            left = self._nodes.join(self._grace_seconds)
            for node in left:
                logger.warning(
                    "%s still runs %.0f s after the end of the run",
                    node,
                    self._grace_seconds,
                )
            self.nodes_have_ended = not left or all(
                status.phase in ("ended", "failed") for status in self.status().values()
            )
            if self._watch.ident is not None:
                self._watch.join(self._grace_seconds)
        finally:
            self._released.set()


_running: weakref.WeakSet[Run] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """At the interpreter's exit, cleanly ends what is still running."""
    for run in list(_running):
        run.stop("the interpreter exits")
        run._released.wait(run._grace_seconds + _EXIT_SECONDS)

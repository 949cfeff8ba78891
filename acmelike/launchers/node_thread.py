"""The life of one node in a thread: construct, serve, step, close."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, nullcontext
from queue import SimpleQueue
from typing import Any, Protocol

from acmelike.core.leaf import leaf, refuse_inside_leaf
from acmelike.core.runtime import set_context
from acmelike.core.status import NodeMetrics, NodeStatus
from acmelike.errors import ContractError, RpcClosed, RunError, RunStopped
from acmelike.launchers.scheduler import Scheduler
from acmelike.launchers.update_check import UpdateCheck
from acmelike.rpc import Server, Supervisor


class RunSupervisor(Supervisor, Protocol):
    """What a node reports to."""

    def work_ended(self) -> None:
        """The node has no work of its own, or has finished it."""


class ProgramSupervisor(RunSupervisor, Protocol):
    """What the nodes of a program report to together."""

    def fail_run(self, failure: RunError) -> None:
        """Ends the run for a reason that is no single node's fault."""


class MainThread:
    """Lets another thread run functions in the main thread of a process.

    Only a main thread may install handlers of signals, as some simulators do when they
    are made.
    """

    def __init__(self) -> None:
        self._given = SimpleQueue[tuple[Callable[[], None], threading.Event]]()
        self._has_begun = threading.Event()

    def run(self, function: Callable[[], None]) -> None:
        """Runs a function in the main thread, and returns when it has returned."""
        done = threading.Event()
        self._given.put((function, done))
        done.wait()

    def wait_until_begun(self) -> None:
        """Waits until the main thread begins with the function of another thread."""
        self._has_begun.wait()

    def serve(self) -> None:
        """Waits for a function and runs it; the main thread calls this."""
        function, done = self._given.get()
        self._has_begun.set()
        try:
            function()
        finally:
            done.set()


class NodeThread(threading.Thread):
    """Runs one node; it is also the context that the node's code sees.

    Args:
      construct: makes the service, with clients in place of its handles; for a node
        that is a function, calls the function.
      is_function: whether the node is a function.
      server: where the service is served.
      group: the group that the node was added in, or None.
      scheduler: how the node waits.
      supervisor: gets a report of how the node ended.
      ended: set when the run ends.
      check: finds a forgotten `updating`; None for no such check.
      main: runs the node in the main thread, while this thread waits; None to run it in
        this thread.
    """

    def __init__(
        self,
        construct: Callable[[], Any],
        is_function: bool,
        server: Server,
        group: str | None,
        scheduler: Scheduler,
        supervisor: RunSupervisor,
        ended: threading.Event,
        check: UpdateCheck | None = None,
        main: MainThread | None = None,
    ):
        super().__init__(name=f"node {server.label}", daemon=True)
        self.label = server.label
        self.metrics = NodeMetrics(label=server.label, group=group)
        self.is_worker, self.has_work = False, True
        self._construct, self._is_function = construct, is_function
        self._server = server
        self._scheduler, self._supervisor = scheduler, supervisor
        self._ended, self._check, self._main = ended, check, main
        self._service: Any = None
        self._where = "constructor"

    @property
    def has_worked(self) -> bool:
        """Whether it has made a step, or has no steps and is past its constructor."""
        return self.metrics.num_steps > 0 or self._where in ("function", "run")

    # --- What the node's code sees: acmelike.core.runtime.Context

    @property
    def is_serial(self) -> bool:
        """Whether nodes take turns."""
        return self._scheduler.is_serial

    def now(self) -> float:
        return self._scheduler.now()

    def sleep(self, seconds: float | None, reason: str) -> None:
        self._scheduler.sleep(self.metrics, seconds, reason)

    def updating(self, service: object) -> AbstractContextManager[None]:
        name = type(service).__name__
        if self._is_function:
            raise ContractError(
                f"updating({name}) in node '{self.label}', which is a function and has "
                f"no service"
            )
        if self._service is None:
            return nullcontext()  # In the constructor, before anything is served.
        refuse_inside_leaf(f"updating({name})")
        if service is not self._service:
            raise ContractError(
                f"updating({name}) in a step of node '{self.label}': a step may update "
                f"only the node's own service, here a {type(self._service).__name__}"
            )
        return self._server.updating()

    def status(self, memory_bytes: int) -> NodeStatus:
        """What it is doing."""
        return self.metrics.status(
            methods=self._server.method_status(),
            parked=self._server.parked(),
            memory_bytes=memory_bytes,
        )

    # --- Its life

    def run(self) -> None:
        if self._main is None:
            self._live()
        else:
            self._main.run(self._live)

    def _live(self) -> None:
        set_context(self)
        self._scheduler.enter(self.label)
        try:
            if not self._ended.is_set():
                if self._is_function:
                    self._run_function()
                else:
                    self._run_service()
                self.has_work = False
                self._supervisor.work_ended()
        except BaseException as error:
            self._end(error)
        self._scheduler.leave(self.label)
        if self.metrics.phase != "failed":
            # Others may still call it, and may hold what it returned, until the end.
            self.metrics.phase = "serving"
            self._ended.wait()
            self.metrics.phase = "ended"
        self._close()
        set_context(None)

    def _run_function(self) -> None:
        self.is_worker = True
        self._where = "function"
        # It serves nothing, so calls of it are refused with its name.
        self._server.open(None)
        with self.metrics.stepping():
            result = self._construct()
        if isinstance(result, Generator):
            self._where = "step"
            with closing(result):
                self._loop(lambda: next(result, _END))
        elif result is not None:
            raise ContractError(
                f"the function of node '{self.label}' returned {_short(result)}: a "
                f"function is a node that runs once and returns None; for a service "
                f"pass its class, Node(Service, ...)"
            )

    def _run_service(self) -> None:
        inside = leaf("constructor", f"the constructor of '{self.label}'")
        with inside, self.metrics.constructing():
            service = self._construct()
        if self._check is not None:
            self._check.watch(service)
        self._server.open(service)
        self._service = service
        step, run = getattr(service, "step", None), getattr(service, "run", None)
        self.is_worker = callable(step) or callable(run)
        if callable(step):
            self._where = "step"
            self._loop(step)
        elif callable(run):
            self._where = "run"
            with self.metrics.stepping():
                run()
            self._raise_forgotten_update()

    def _loop(self, step: Callable[[], object]) -> None:
        while not self._ended.is_set():
            with self.metrics.stepping():
                result = step()
            if result is not None:
                if result is _END:
                    return
                raise ContractError(_unexpected_result(self.label, result))
            self._raise_forgotten_update()
            self._scheduler.end_step(self.label)

    def _raise_forgotten_update(self) -> None:
        if self._check is not None and self._check.fault is not None:
            raise self._check.fault

    def _end(self, error: BaseException) -> None:
        """Reports an error, unless the node has only noticed the end of the run."""
        if isinstance(error, RunStopped):
            self._supervisor.stop(str(error))
        elif not (isinstance(error, RpcClosed) and self._ended.is_set()):
            self.metrics.phase = "failed"
            self._supervisor.fail(self.label, self._where, error)

    def _close(self) -> None:
        close = getattr(self._service, "close", None)
        if callable(close):
            try:
                close()
            except Exception as error:
                self._supervisor.fail(self.label, "close", error)


# What a generator's step returns when the generator has ended.
_END = object()


def _unexpected_result(label: str, result: object) -> str:
    text = f"a step of node '{label}' returned {_short(result)}: "
    if inspect.isgenerator(result) or inspect.iscoroutine(result):
        return (
            f"{text}a step is an ordinary method; to run step by step pass a generator "
            f"function as the node, Node(function, ...)"
        )
    return f"{text}it has to return None, as there is no one to take a result"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

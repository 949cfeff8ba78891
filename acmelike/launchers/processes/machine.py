"""Machines: what starts the processes of a program, here or on another host."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from io import BufferedReader
from queue import SimpleQueue
from typing import NamedTuple, Protocol, cast

from acmelike.launchers.processes.capacity import Capacity, capacity_of_this_host
from acmelike.launchers.processes.groups import ProcessGroups
from acmelike.rpc.sockets.frames import CONTROL, encode

# How long a killed process may take to end, and the warning if it takes longer. A
# process that waits for a device does not end before the device answers.
KILLED_SECONDS = 5.0
DOES_NOT_END = (
    "process '%s' was killed and has not ended: it may wait for a disk or a network "
    "that does not answer"
)


class Order(NamedTuple):
    """What a machine has to know of a process to start it.

    Attributes:
      name: of the process, for people who run `ps`.
      num_threads: of XLA and BLAS.
      variables: of its environment, besides those that the machine has.
      gpus: that it sees, as `Capacity` names them.
      gpu_share: the part of a GPU that it may fill, at most 1.
    """

    name: str
    num_threads: int
    variables: Mapping[str, str]
    gpus: tuple[str, ...]
    gpu_share: float


class ChildProcess(Protocol):
    """A process that a machine has started.

    Attributes:
      control: a socket, whose other end the process has.
      output: what it prints; read until its end.
    """

    control: socket.socket
    output: BufferedReader

    def kill(self) -> None:
        """Ends it at once."""

    def wait(self) -> str:
        """Waits for its end; returns how it ended, as "it was killed by SIGKILL".

        The processes that it has started and left behind are killed then.
        """

    def processor_seconds(self) -> float:
        """The processor time that it has used, as far as that is known."""


class Machine(Protocol):
    """Starts processes."""

    @property
    def name(self) -> str:
        """Its name, for people."""

    @property
    def ip(self) -> str | None:
        """Where its processes listen for other hosts; None in a run of one host."""

    @property
    def capacity(self) -> Capacity:
        """What it has."""

    def start(self, order: Order) -> ChildProcess:
        """Starts a process.

        Raises:
          OSError: it cannot be started.
        """


class LocalMachine:
    """The machine of this process; see `Machine`.

    Args:
      name: of it.
      ip: where its processes listen for other hosts, or None.
      labels: of this host.
    """

    def __init__(
        self,
        name: str,
        ip: str | None = None,
        labels: Mapping[str, str] | None = None,
    ):
        self.name, self.ip = name, ip
        self.capacity = capacity_of_this_host(labels)
        self._starter, self._groups = _Starter(), ProcessGroups()

    def start(self, order: Order) -> LocalChild:
        variables = _environment(order, has_gpus=bool(self.capacity.gpus))
        start = partial(LocalChild, order.name, variables, groups=self._groups)
        return self._starter.run(start)

    def close(self) -> None:
        """Closes the machine, after all its processes have ended."""
        self._starter.close()
        self._groups.close()


class _Starter:
    """A thread that starts processes.

    Linux kills a process when the thread that made it ends, so this thread lives as
    long as the processes should. It is not in a pool: Python ends the threads of pools
    before it calls what is registered with `atexit`, which ends a run cleanly.
    """

    def __init__(self) -> None:
        self._orders = SimpleQueue[
            tuple[Future[LocalChild], Callable[[], LocalChild]] | None
        ]()
        self._thread = threading.Thread(target=self._run, name="starter", daemon=True)
        self._lock = threading.Lock()
        self._has_begun = False

    def run(self, start: Callable[[], LocalChild]) -> LocalChild:
        with self._lock:
            if not self._has_begun:
                self._thread.start()
                self._has_begun = True
        child = Future[LocalChild]()
        self._orders.put((child, start))
        return child.result()

    def close(self) -> None:
        with self._lock:
            self._orders.put(None)
            if self._has_begun:
                self._thread.join()

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            child, start = order
            try:
                child.set_result(start())
            except BaseException as error:  # `run` raises it.
                child.set_exception(error)


class LocalChild:
    """A process of this machine; see `ChildProcess`.

    Args:
      name: of the process.
      variables: its whole environment.
      module: what it runs.
      groups: where its process group is registered while the process lives; None if it
        ends by itself when this process is gone.
    """

    def __init__(
        self,
        name: str,
        variables: Mapping[str, str],
        module: str = "acmelike.launchers.processes",
        groups: ProcessGroups | None = None,
    ):
        self._groups, self._reaping = groups, threading.Lock()
        self.control, theirs = socket.socketpair()
        command = [sys.executable, "-m", module]
        with theirs:
            try:
                self._popen = subprocess.Popen(
                    [*command, str(theirs.fileno()), name],
                    env=variables,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    # A Ctrl-C is for the launcher, which ends the run cleanly.
                    start_new_session=True,
                )
            except BaseException:
                self.control.close()
                raise
        if groups is not None:  # It leads a session and a group of its number.
            groups.add(self._popen.pid)
        self.output = cast(BufferedReader, self._popen.stdout)
        # The first message says where the process finds the classes of its nodes.
        path = encode(CONTROL, 0, list(sys.path)).pieces
        with suppress(OSError):  # It has ended; its reader will notice.
            self.control.sendall(b"".join(path))

    def kill(self) -> None:
        with self._reaping, suppress(ProcessLookupError):
            if self._popen.returncode is None:  # Otherwise its number may be reused.
                os.kill(self._popen.pid, signal.SIGKILL)

    def wait(self) -> str:
        # Until its exit status is collected, no other process gets its number.
        if self._popen.returncode is None:
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
        with self._reaping:
            if self._popen.returncode is None:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._popen.pid, signal.SIGKILL)
                if self._groups is not None:
                    self._groups.discard(self._popen.pid)
            status = self._popen.wait()
        if status >= 0:
            return f"it exited with status {status}"
        try:
            return f"it was killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"it was killed by signal {-status}"

    def processor_seconds(self) -> float:
        try:
            with open(f"/proc/{self._popen.pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            return 0.0


_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


# The part of a GPU's memory that JAX takes by default.
_JAX_SHARE = 0.75


def _environment(order: Order, has_gpus: bool) -> dict[str, str]:
    """The variables of a process: it gets the threads and GPUs that it declares."""
    num_threads = order.num_threads
    variables = dict(os.environ)
    # Variables that limit the launcher to one thread must not limit nodes with more.
    named = variables.setdefault if num_threads == 1 else variables.__setitem__
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        named(name, str(num_threads))
    named("NPROC", str(num_threads))  # XLA's pools
    if has_gpus:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(order.gpus)
        if not order.gpus:
            variables["JAX_PLATFORMS"] = "cpu"
        elif order.gpu_share < 1:
            share = _JAX_SHARE * order.gpu_share
            variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{share:.3f}"
    flags = variables.get("XLA_FLAGS", "")
    if num_threads > 1:
        flags = flags.replace(_ONE_THREAD, "")
    elif "xla_cpu_multi_thread_eigen" not in flags:
        flags = f"{flags} {_ONE_THREAD}"
    variables["XLA_FLAGS"] = flags.strip()
    variables.setdefault("ACMELIKE_SOCKETS", tempfile.gettempdir())
    variables["PYTHONUNBUFFERED"] = "1"
    variables.update(order.variables)
    return variables

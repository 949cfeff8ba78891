"""Machines: where the processes of a program are started, here or on another host."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import IO, NamedTuple, Protocol

from acmelike.graph import Entry, Handle
from acmelike.rpc import HEARTBEAT_SECONDS, checked_heartbeat
from acmelike.rpc.sockets.frames import CONTROL, encode


class Order(NamedTuple):
    """What a machine has to know of a process to start it.

    Attributes:
      name: of the process, for people who run `ps`.
      num_cpus: the cores that it may keep busy.
      variables: of its environment, besides those that the machine has.
    """

    name: str
    num_cpus: int
    variables: Mapping[str, str]


class ChildProcess(Protocol):
    """A process that a machine has started.

    Attributes:
      control: a socket, whose other end the process has.
      output: what it prints; read until its end.
    """

    control: socket.socket
    output: IO[bytes]

    def kill(self) -> None:
        """Ends it at once."""

    def wait(self) -> str:
        """Waits for its end; returns how it ended, as "it was killed by SIGKILL"."""

    def kill_left(self) -> None:
        """After its end: kills what it has started and left behind."""

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

    def start(self, order: Order) -> ChildProcess:
        """Starts a process.

        Raises:
          OSError: it cannot be started.
        """


class Machines(Protocol):
    """The machines of a run.

    Attributes:
      heartbeat: a host that has vanished is found after so many seconds at most.
      is_near: whether processes of one host share sockets and memory.
      is_far: whether there may be other hosts, for which processes need certificates.
    """

    heartbeat: float
    is_near: bool
    is_far: bool

    def choose(self, name: str, entries: Mapping[Handle, Entry]) -> Machine:
        """The machine for the process of some nodes.

        Args:
          name: of the process. It may have been started before, and have failed.
          entries: its nodes.
        """

    def close(self, reason: str) -> None:
        """The run is over, and all processes have ended."""


class OneHost:
    """The machine of the launcher alone; see `Machines`.

    Args:
      far_ip: where processes listen, as if the others were on other hosts; None for
        sockets and memory of this host.
      heartbeat: see `Machines`.

    Raises:
      ConfigError: `heartbeat` is out of range.
    """

    def __init__(self, far_ip: str | None = None, heartbeat: float = HEARTBEAT_SECONDS):
        self._machine = LocalMachine("", far_ip)
        self.heartbeat = checked_heartbeat(heartbeat)
        self.is_far = far_ip is not None
        self.is_near = not self.is_far

    def choose(self, name: str, entries: Mapping[Handle, Entry]) -> LocalMachine:
        return self._machine

    def close(self, reason: str) -> None:
        self._machine.close()


class LocalMachine:
    """The machine of this process; see `Machine`.

    Args:
      name: of it.
      ip: where its processes listen for other hosts, or None.
    """

    def __init__(self, name: str, ip: str | None = None):
        self.name, self.ip = name, ip
        # Linux kills a process with the thread that made it, and this one lives as long
        # as the processes should.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="starter")

    def start(self, order: Order) -> LocalChild:
        return self._starter.submit(LocalChild, order).result()

    def close(self) -> None:
        """All processes have ended."""
        self._starter.shutdown()


class LocalChild:
    """A process of this machine; see `ChildProcess`."""

    def __init__(self, order: Order):
        self.control, theirs = socket.socketpair()
        command = [sys.executable, "-m", "acmelike.launchers.processes.child"]
        with theirs:
            try:
                self._popen = subprocess.Popen(
                    [*command, str(theirs.fileno()), order.name],
                    env=_environment(order),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    # A Ctrl-C is for the launcher, which ends the run in order.
                    start_new_session=True,
                )
            except BaseException:
                self.control.close()
                raise
        assert self._popen.stdout is not None
        self.output: IO[bytes] = self._popen.stdout
        # First of all, where it finds the classes of its nodes.
        path = encode(CONTROL, 0, list(sys.path)).pieces
        with suppress(OSError):  # It has ended; whoever reads what it says finds out.
            self.control.sendall(b"".join(path))

    def kill(self) -> None:
        self._popen.kill()

    def wait(self) -> str:
        status = self._popen.wait()
        if status >= 0:
            return f"it exited with status {status}"
        try:
            return f"it was killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"it was killed by signal {-status}"

    def kill_left(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)

    def processor_seconds(self) -> float:
        try:
            with open(f"/proc/{self._popen.pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            return 0.0


_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def _environment(order: Order) -> dict[str, str]:
    """The variables of a process: no more threads for XLA and BLAS than it declares."""
    num_cpus = order.num_cpus
    variables = dict(os.environ)
    # A launcher that has one thread itself may have nodes with more.
    named = variables.setdefault if num_cpus == 1 else variables.__setitem__
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        named(name, str(num_cpus))
    named("NPROC", str(num_cpus))  # XLA's pools
    flags = variables.get("XLA_FLAGS", "")
    if num_cpus > 1:
        flags = flags.replace(_ONE_THREAD, "")
    elif "xla_cpu_multi_thread_eigen" not in flags:
        flags = f"{flags} {_ONE_THREAD}"
    variables["XLA_FLAGS"] = flags.strip()
    variables.setdefault("ACMELIKE_SOCKETS", tempfile.gettempdir())
    variables["PYTHONUNBUFFERED"] = "1"
    variables.update(order.variables)
    return variables

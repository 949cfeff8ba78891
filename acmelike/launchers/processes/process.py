"""A child process, as its launcher sees it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from acmelike.core.status import NodeStatus
from acmelike.graph import Entry, Handle
from acmelike.launchers.processes.control import Assignment, ControlConnection, EndOfRun
from acmelike.launchers.processes.output import pass_on_output

# How long what is left of a process's output may take to be read, after its end.
_END_SECONDS = 3.0


class Process:
    """One child process and the threads that listen to it.

    Args:
      name: of the process: its node's label, or what colocated nodes share.
      entries: its nodes.
      incarnation: how many processes of this name there were before.
      is_bound: whether the calling thread lives as long as the launcher. Linux then
        kills the process with it, because it does so with the thread that made it.
      on_message: called with the process and each message of it.
      on_end: called with the process when it has ended.
      logs: the folder for its output, or None.

    Attributes:
      has_work: whether a node of it has something left to do, as it last said.
      has_worker: whether one was found to be a worker.
      status: of its nodes by label, as it last said.
      answered: the number of the last question for the status that it has answered.
      is_over: set when it has ended, and every message of it was handled.

    Raises:
      OSError: it cannot be started.
    """

    def __init__(
        self,
        name: str,
        entries: Mapping[Handle, Entry],
        *,
        incarnation: int,
        is_bound: bool,
        on_message: Callable[[Process, Any], None],
        on_end: Callable[[Process], None],
        logs: Path | None,
    ):
        self.name, self.entries, self.incarnation = name, entries, incarnation
        self._on_message, self._on_end = on_message, on_end
        self.has_work, self.has_worker = True, False
        self.status: dict[str, NodeStatus] = {}
        self.answered = 0
        # When it was last seen to do anything, and the processor time it had had then.
        self._active_at, self._done = time.monotonic(), (0, 0.0)
        self.is_over = threading.Event()
        self._sending = threading.Lock()
        self._is_started = self._is_disposed = False
        self._end: EndOfRun | None = None
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "acmelike.launchers.processes.child"]
        bond = "killed-with-launcher" if is_bound else "leaves-with-launcher"
        with theirs:
            try:
                self.popen = subprocess.Popen(
                    # The name is for people who run `ps`.
                    [*command, str(theirs.fileno()), bond, name],
                    env=_environment(list(entries.values())),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    # A Ctrl-C is for the launcher, which ends the run in order.
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        self._connection = ControlConnection(ours)
        output = partial(
            pass_on_output, self.popen.stdout, name, logs, is_continued=incarnation > 0
        )
        self._threads = [
            threading.Thread(
                target=self._listen, name=f"connection to {name}", daemon=True
            ),
            threading.Thread(target=output, name=f"output of {name}", daemon=True),
        ]

    def start(self, assignment: Assignment) -> None:
        """Sends the nodes, and starts to listen."""
        for thread in self._threads:
            thread.start()
        with self._sending:
            self._connection.send(list(sys.path))
            self._connection.send(assignment)
            self._is_started = True
            if self._end is not None:
                self._connection.send(self._end)

    def send(self, message: Any) -> None:
        """Sends a message; one that has no nodes yet does not get it."""
        with self._sending:
            if self._is_started:
                self._connection.send(message)

    def end(self, reason: str) -> None:
        """Tells it that the run is over."""
        with self._sending:
            self._end = EndOfRun(reason)
            if self._is_started:
                self._connection.send(self._end)

    def silent_seconds(self) -> float:
        """How long it has neither answered nor used a processor.

        A process that is stopped, or blocked by a call of the system, does neither. One
        that computes may be too busy to answer, and is well. To be called whenever the
        process has been asked for its status.
        """
        now = time.monotonic()
        done = (self.answered, _processor_seconds(self.popen.pid))
        if done != self._done:
            self._active_at, self._done = now, done
        return now - self._active_at

    def kill(self) -> None:
        """Ends it at once."""
        self.popen.kill()

    def dispose(self) -> None:
        """After its end: waits for the threads, and releases everything.

        What its nodes have started and left behind is killed, as it would keep the
        output open.
        """
        if self._is_disposed:
            return  # Its number may be another process's by now.
        self._is_disposed = True
        self.popen.wait()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_END_SECONDS)
        is_read = not any(thread.is_alive() for thread in self._threads)
        if self.popen.stdout is not None and is_read:
            self.popen.stdout.close()
        self._connection.close()

    def how_it_ended(self) -> str:
        """Its exit status or signal, in words."""
        status = self.popen.returncode
        if status >= 0:
            return f"it exited with status {status}"
        try:
            return f"it was killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"it was killed by signal {-status}"

    def _listen(self) -> None:
        while (message := self._connection.receive()) is not None:
            self._on_message(self, message)
        self.popen.wait()
        self.is_over.set()
        self._on_end(self)


def _processor_seconds(pid: int) -> float:
    """The processor time that a process has used; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def _environment(entries: list[Entry]) -> dict[str, str]:
    """The variables of a process: no more threads for XLA and BLAS than it declares."""
    num_cpus = sum(entry.num_cpus for entry in entries)
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
    for entry in entries:
        variables.update(entry.variables)
    return variables

"""The launcher `processes`: an interpreter for every node, on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from acmelike.core.runtime import seconds_left
from acmelike.core.status import NodeStatus
from acmelike.errors import ProcessDied, RpcClosed, RpcTimeout
from acmelike.graph import Entry, Handle, Program
from acmelike.launchers.exposed import Endpoint, ExposedNode, exposed_nodes
from acmelike.launchers.node_thread import ProgramSupervisor
from acmelike.launchers.nodes import interface_of_node
from acmelike.launchers.processes.control import (
    Assignment,
    ControlConnection,
    EndOfRun,
    FailureReport,
    ListenReport,
    SigningRequest,
    StatusReply,
    StatusRequest,
    StopReport,
    WorkReport,
)
from acmelike.launchers.processes.output import pass_on_output
from acmelike.rpc import (
    HEARTBEAT_SECONDS,
    Address,
    AddressBook,
    Authority,
    Client,
    Credentials,
    Identity,
    Peer,
    Peers,
    checked_heartbeat,
    from_wire,
    new_key,
    require_compression,
)

# How old a status may be if a process is too busy to answer.
_STATUS_SECONDS = 3.0
# How long what is left of a process's output may take to be read, after its end.
_END_SECONDS = 3.0


class Process:
    """One child process and the threads that listen to it.

    Args:
      name: of the process: its node's label, or what colocated nodes share.
      entries: its nodes.
      nodes: told what it says.
      logs: the folder for its output, or None.
    """

    def __init__(
        self,
        name: str,
        entries: Mapping[Handle, Entry],
        nodes: ProcessNodes,
        logs: Path | None,
    ):
        self.name, self.entries, self._nodes = name, entries, nodes
        self.address: str | None = None
        self.has_work, self.has_worker = True, False
        self.status: dict[str, NodeStatus] = {}
        self.is_over = threading.Event()
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "acmelike.launchers.processes.child"]
        # Linux kills a child with the thread that made it, and only the main thread
        # lives as long as the launcher.
        is_main = threading.current_thread() is threading.main_thread()
        bond = "killed-with-launcher" if is_main else "leaves-with-launcher"
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
        self.connection = ControlConnection(ours)
        self._threads = [
            threading.Thread(
                target=self._listen, name=f"connection to {name}", daemon=True
            ),
            threading.Thread(
                target=partial(pass_on_output, self.popen.stdout, name, logs),
                name=f"output of {name}",
                daemon=True,
            ),
        ]

    def start(
        self,
        peers: Mapping[Handle, Peer],
        key: bytes,
        far_ip: str | None,
        heartbeat: float,
        exposed: Mapping[str, ExposedNode],
    ) -> None:
        """Sends the nodes, and starts to listen."""
        self.connection.send(list(sys.path))
        labels = {entry.label for entry in self.entries.values()}
        assignment = Assignment(
            entries=self.entries,
            peers=peers,
            key=key,
            far_ip=far_ip,
            heartbeat=heartbeat,
            incarnation=0,  # No launcher starts a process again so far.
            exposed={label: exposed[label] for label in exposed if label in labels},
        )
        self.connection.send(assignment)
        for thread in self._threads:
            thread.start()

    def dispose(self) -> None:
        """After its end: waits for the threads, and releases everything.

        What its nodes have started and left behind is killed, as it would keep the
        output open.
        """
        self.popen.wait()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_END_SECONDS)
        is_read = not any(thread.is_alive() for thread in self._threads)
        if self.popen.stdout is not None and is_read:
            self.popen.stdout.close()
        self.connection.close()

    def _listen(self) -> None:
        while (message := self.connection.receive()) is not None:
            self._nodes.handle(self, message)
        self.popen.wait()
        self.is_over.set()
        self._nodes.process_over(self)


class ProcessNodes:
    """The nodes of a program in processes of their own.

    Nodes are sent as data to fresh interpreters. Each process reports the address at
    which it listens; when all have, every process gets all addresses. On the control
    connection a process hears that the run is over, and when it closes each side knows
    that the other has died.

    Args:
      program: what to run.
      supervisor: told how nodes end.
      ended: set when the run ends.
      logs: the folder for what processes print, or None.
      check: not used here; `launch` refuses it.
      far_ip: where processes listen, as on other hosts, with TLS; None for sockets and
        memory of this host.
      heartbeat: with `far_ip`, a host that has vanished is found after so many seconds
        at most.

    Raises:
      ConfigError: a package for TLS or compression is not installed, or `heartbeat` is
        out of range.
    """

    def __init__(
        self,
        program: Program,
        supervisor: ProgramSupervisor,
        ended: threading.Event,
        logs: Path | None,
        check: bool,
        far_ip: str | None = None,
        heartbeat: float = HEARTBEAT_SECONDS,
    ):
        self._supervisor, self._ended = supervisor, ended
        self._far_ip, self._heartbeat = far_ip, checked_heartbeat(heartbeat)
        self._exposed = exposed_nodes(program)
        has_tls = any(node.exposure.tls for node in self._exposed.values())
        is_far = far_ip is not None
        self._authority = Authority() if is_far or has_tls else None
        for entry in program.entries.values():
            if is_far and entry.compression is not None:
                require_compression(entry.label)
        self._endpoints: dict[str, Endpoint] = {}
        self._entries = {
            handle: Peer(
                entry.label, interface_of_node(entry), entry.compression is not None
            )
            for handle, entry in program.entries.items()
        }
        self._lock = threading.Lock()
        self._answered = threading.Condition(self._lock)
        self._number = 0
        self._answers: dict[str, int] = {}
        self._addresses: dict[str, Address] = {}
        self._book_version = 0
        self._credentials = Credentials(new_key(), self._new_identity())
        self._peers = Peers(self._credentials, heartbeat)
        self._reason: str | None = None
        grouped: dict[str, dict[Handle, Entry]] = {}
        for handle, entry in program.entries.items():
            grouped.setdefault(entry.process or entry.label, {})[handle] = entry
        self._processes: list[Process] = []
        try:
            for name, entries in grouped.items():
                self._processes.append(Process(name, entries, self, logs))
        except BaseException:
            self.join(0.0)
            raise

    def start(self) -> None:
        for process in self._processes:
            process.start(
                self._entries,
                self._credentials.key,
                self._far_ip,
                self._heartbeat,
                self._exposed,
            )

    def close(self, reason: str) -> None:
        with self._answered:
            self._reason = self._reason or reason
            self._answered.notify_all()
        self._peers.end(self._reason)
        words = self._reason.removeprefix("the run ended: ")
        for process in self._processes:
            process.connection.send(EndOfRun(words))

    def join(self, seconds: float) -> list[str]:
        limit = time.monotonic() + seconds
        left = []
        for process in self._processes:
            if not process.is_over.wait(max(0.0, limit - time.monotonic())):
                left.append(process.name)
                process.popen.kill()
        for process in self._processes:
            process.dispose()
        self._peers.close()
        self._peers.dispose()
        return left

    def status(self) -> dict[str, NodeStatus]:
        with self._lock:
            self._number = number = self._number + 1
        asked = [p for p in self._processes if not p.is_over.is_set()]
        for process in asked:
            process.connection.send(StatusRequest(number))
        with self._answered:
            self._answered.wait_for(
                lambda: all(
                    self._answers.get(p.name, 0) >= number or p.is_over.is_set()
                    for p in asked
                ),
                _STATUS_SECONDS,
            )
        return with_reasons(
            {
                label: status
                for process in self._processes
                for label, status in process.status.items()
            }
        )

    def client(self, handle: Handle) -> Client:
        return self._peers.client(self._entries[handle], None)

    def endpoint(self, label: str) -> Endpoint:
        with self._answered:
            is_over = self._answered.wait_for(
                lambda: label in self._endpoints or self._reason, seconds_left()
            )
            if label in self._endpoints:
                return self._endpoints[label]
            if not is_over:
                raise RpcTimeout(f"{label}: the processes of the run are starting")
            raise RpcClosed(self._reason or "the run ended")

    def is_work_over(self) -> bool:
        return not self._has_work() and self._has_worker()

    def has_only_services(self) -> bool:
        return not self._has_work() and not self._has_worker()

    # --- What processes say

    def handle(self, process: Process, message: Any) -> None:
        """One message of a process; called by the thread that listens to it."""
        if isinstance(message, SigningRequest):
            assert self._authority is not None
            process.connection.send(self._authority.sign(message.public_key))
        elif isinstance(message, ListenReport):
            with self._answered:
                self._endpoints.update(message.endpoints)
                self._answered.notify_all()
            self._note_address(process, message.address)
        elif isinstance(message, StatusReply):
            with self._answered:
                process.status = dict(message.status)
                if message.number is not None:
                    self._answers[process.name] = message.number
                self._answered.notify_all()
        elif isinstance(message, StopReport):
            self._supervisor.stop(message.reason)
        elif isinstance(message, FailureReport):
            error = from_wire(message.error)
            self._supervisor.fail(message.label, message.where, error)
        elif isinstance(message, WorkReport):
            process.has_work = message.has_work
            process.has_worker = message.has_worker
            self._supervisor.work_ended()

    def process_over(self, process: Process) -> None:
        """A process has ended, with the run or before it."""
        with self._answered:
            self._answered.notify_all()
        if not self._ended.is_set():
            label = next(iter(process.entries.values())).label
            error = ProcessDied(_describe_exit(process.popen.returncode))
            self._supervisor.fail(label, "process", error)

    def _new_identity(self) -> Identity | None:
        """Of this process, as a caller of nodes."""
        if self._authority is None or self._far_ip is None:
            return None
        identity = Identity()
        identity.take(self._authority.sign(identity.public_key))
        return identity

    def _note_address(self, process: Process, address: Address) -> None:
        with self._lock:
            for entry in process.entries.values():
                self._addresses[entry.label] = address
            if len(self._addresses) < len(self._entries):
                return
            self._book_version += 1
            book = AddressBook(self._book_version, dict(self._addresses))
        # Two threads may get here at once; who gets an older book later ignores it.
        self._peers.take_book(book)
        for other in self._processes:
            other.connection.send(book)

    def _has_work(self) -> bool:
        return any(process.has_work for process in self._processes)

    def _has_worker(self) -> bool:
        return any(process.has_worker for process in self._processes)


def with_reasons(status: dict[str, NodeStatus]) -> dict[str, NodeStatus]:
    """Adds to what callers wait for the reasons that only the callees know."""
    reasons = {
        (call.caller, f"{node.label}.{call.method}"): call.reason
        for node in status.values()
        for call in node.parked
    }
    for label, node in status.items():
        reason = reasons.get((label, node.waits_for))
        if reason is not None:
            status[label] = replace(node, reason=reason)
    return status


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


def _describe_exit(status: int) -> str:
    if status >= 0:
        return f"it exited with status {status}"
    try:
        return f"it was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"it was killed by signal {-status}"

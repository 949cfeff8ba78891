"""A process of the `processes` launcher; it runs its nodes and reports about them."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from acmelike.errors import ConfigError, RpcClosed
from acmelike.launchers.node_thread import MainThread
from acmelike.launchers.nodes import LocalNodes
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
from acmelike.launchers.scheduler import FreeScheduler
from acmelike.lazy import importing_much
from acmelike.rpc import (
    VALUES,
    Address,
    AddressBook,
    Certificate,
    Credentials,
    Identity,
    Listener,
    Peers,
    Server,
    SocketServer,
    listen_far,
    listen_near,
    require_compression,
    serve_values,
    to_wire,
)

# A node may fail because a call was closed, before the launcher has said that the run
# has ended. How long to wait for that message.
_NEWS_SECONDS = 5.0
# How long callees may take to answer their callers when the run ends.
_ANSWER_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1


class Child:
    """Runs the nodes of one process, and passes on to the launcher what they report.

    Args:
      connection: to the launcher.
      assignment: what to run.
    """

    def __init__(self, connection: ControlConnection, assignment: Assignment):
        self._connection = connection
        # What the launcher said before it had signed this process's key.
        self._early: deque[Any] = deque()
        self._reporting = threading.Lock()
        self._ended = threading.Event()
        credentials = self._credentials(assignment)
        self._peers = Peers(credentials, assignment.heartbeat)
        if assignment.far_ip is not None:
            for peer in assignment.peers.values():
                if peer.is_packed:  # Or the first call would end its connection.
                    require_compression(peer.label)
        scheduler = FreeScheduler(self._ended)
        self._main = MainThread() if len(assignment.entries) == 1 else None
        self._nodes = LocalNodes(
            assignment.entries,
            scheduler,
            self,
            self._ended,
            peers=self._peers,
            elsewhere=assignment.peers,
            incarnation=assignment.incarnation,
            main=self._main,
        )
        servers = self._nodes.servers
        # What a node stores is compressed as what it answers; a process has one store.
        entries = assignment.entries.values()
        is_packed = any(entry.compression is not None for entry in entries)
        values = Server(VALUES, scheduler, self, is_packed=is_packed)
        owner, incarnation = next(iter(servers)), assignment.incarnation
        values.open(serve_values(self._peers.store, owner, incarnation))
        self._servers = [
            SocketServer(
                {**servers, VALUES: values},
                scheduler,
                listener,
                self._on_server_failure,
                holder=self._peers.store,
            )
            for listener in _listeners(assignment, credentials)
        ]
        try:
            self._nodes.expose(assignment.exposed, credentials.identity)
        except ConfigError as error:
            self.fail(next(iter(assignment.exposed)), "exposed port", error)
        for server in self._servers:
            server.start()
        address = _joined([server.address for server in self._servers])
        connection.send(ListenReport(address, self._nodes.endpoints))

    def run(self) -> None:
        """Runs the nodes until the launcher says that the run is over.

        A node that is alone in its process runs in the main thread.
        """
        if self._main is None:
            self._obey()
            return
        threading.Thread(target=self._obey_and_exit, name="control").start()
        self._main.serve()
        threading.Event().wait()  # The other thread ends the process.

    def _obey_and_exit(self) -> None:
        try:
            self._obey()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        _exit()  # The node may still be in a long step.

    def _obey(self) -> None:
        """Starts the nodes, and does what the launcher says until the run is over."""
        self._nodes.start()
        if self._main is not None:
            self._main.wait_until_begun()  # As `Thread.start` waits.
        while not isinstance(message := self._next_message(), EndOfRun):
            if message is None:
                os._exit(1)  # The launcher is gone, and with it the run.
            self._handle(message)
        reason = f"the run ended: {message.reason}"
        self._ended.set()
        self._peers.end(reason)
        self._nodes.close(reason)
        # The launcher knows how long this may take, and kills a process that takes
        # longer.
        threading.Thread(target=self._exit_with_launcher, daemon=True).start()
        if self._nodes.join(_ANSWER_SECONDS):
            self._peers.close()
            self._nodes.join(threading.TIMEOUT_MAX / 2)
        self._connection.send(StatusReply(None, self._nodes.status()))
        for server in self._servers:
            server.close()

    def _credentials(self, assignment: Assignment) -> Credentials:
        if not assignment.needs_identity:
            return Credentials(assignment.key)
        identity = Identity()
        self._connection.send(SigningRequest(identity.public_key))
        while not isinstance(message := self._connection.receive(), Certificate):
            if message is None:
                os._exit(1)  # The launcher is gone, and with it the run.
            self._early.append(message)
        identity.take(message)
        return Credentials(assignment.key, identity)

    def _next_message(self) -> Any:
        return self._early.popleft() if self._early else self._connection.receive()

    def _handle(self, message: Any) -> None:
        if isinstance(message, AddressBook):
            if self._peers.take_book(message):
                for server in self._servers:
                    server.take_names(message.names)
        elif isinstance(message, StatusRequest):
            status = self._nodes.status()
            self._connection.send(StatusReply(message.number, status))

    def _exit_with_launcher(self) -> None:
        while self._connection.receive() is not None:
            pass
        os._exit(1)

    # --- What the nodes report: RunSupervisor

    def stop(self, reason: str) -> None:
        """A node asked for the end of the run."""
        self._connection.send(StopReport(reason))

    def fail(self, label: str, where: str, error: BaseException) -> None:
        """Reports a failure, unless it only follows from the end of the run."""
        if isinstance(error, RpcClosed) and self._ended.wait(_NEWS_SECONDS):
            return
        has_worked = self._nodes.has_worked(label)
        report = FailureReport(label, where, to_wire(error), has_worked)
        self._connection.send(report)

    def work_ended(self) -> None:
        """A node has nothing left to do."""
        nodes = self._nodes
        with self._reporting:  # Or an older answer could be sent after a newer one.
            self._connection.send(WorkReport(nodes.has_work(), nodes.has_worker()))

    def _on_server_failure(self, error: BaseException) -> None:
        label = next(iter(self._nodes.servers))
        self.fail(label, "socket server", error)


def _listeners(assignment: Assignment, credentials: Credentials) -> Iterator[Listener]:
    """Where the process listens: for its own host, for others, or for both."""
    incarnation = assignment.incarnation
    if assignment.is_near:
        folder = os.environ.get("ACMELIKE_SOCKETS", "")
        yield listen_near(folder, credentials.key, incarnation)
    if assignment.far_ip is not None:
        assert credentials.identity is not None
        yield listen_far(
            assignment.far_ip, credentials.identity, incarnation, assignment.heartbeat
        )


def _joined(addresses: Sequence[Address]) -> Address:
    """Joins addresses into one, which has the near and the far way."""
    near, far = addresses[0], addresses[-1]
    return near._replace(ip=far.ip, port=far.port, name=far.name)


def run_assignment() -> None:
    """Runs what the launcher sends, and ends the process."""
    if sys.platform == "linux":
        # The kernel then ends this process with the launcher, however busy it is.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.set_inheritable(False)  # Or a program that a node starts would keep it open.
    connection = ControlConnection(sock)
    path = connection.receive()
    if path is None:
        return
    sys.path[:] = path
    child = None
    try:
        # Only now can the classes of the nodes be imported.
        with importing_much():
            assignment = connection.receive()
        if assignment is not None:
            child = Child(connection, assignment)
    except Exception as error:
        # A package is missing here, say. The launcher ends this process, or the run.
        connection.send(FailureReport("", "start", to_wire(error), False))
        while not isinstance(connection.receive(), EndOfRun | None):
            pass
    if child is not None:
        child.run()
    _exit()


def _exit() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # A thread of some library must not keep the process alive.

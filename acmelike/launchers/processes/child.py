"""A process of the `processes` launcher, started with a socket, a bond and a name."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from typing import Any

from acmelike.errors import RpcClosed
from acmelike.graph import Handle
from acmelike.launchers.nodes import LocalNodes
from acmelike.launchers.processes.control import (
    Addresses,
    AskStatus,
    Assignment,
    ControlConnection,
    End,
    Failed,
    Listening,
    StatusReply,
    Stopped,
    WorkEnded,
)
from acmelike.launchers.scheduler import FreeScheduler
from acmelike.rpc import (
    Channel,
    Client,
    RemoteTarget,
    SocketServer,
    new_address,
    to_wire,
)

# How long to wait for the launcher to say why a call or a connection has ended.
_NEWS_SECONDS = 5.0
# How long callees have, when the run ends, to answer those who wait for them.
_ANSWER_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1


class Child:
    """The nodes of one process, and their supervisor: it passes on what they report.

    Args:
      line: to the launcher.
      assignment: what to run.
    """

    def __init__(self, line: ControlConnection, assignment: Assignment):
        self._line, self._labels = line, assignment.labels
        self._ended = threading.Event()
        self._reason = ""
        self._addresses: Mapping[str, str] = {}
        self._has_addresses = threading.Event()
        self._channels: dict[str, Channel] = {}
        scheduler = FreeScheduler(self._ended)
        self._nodes = LocalNodes(
            assignment.entries, scheduler, self, self._ended, self._client_elsewhere
        )
        address = new_address(os.environ.get("ACMELIKE_SOCKETS", ""))
        self._server = SocketServer(
            self._nodes.servers, scheduler, address, self._stop_serving
        )
        self._server.start()
        line.send(Listening(address))

    def run(self) -> None:
        """Runs the nodes until the launcher says that the run is over."""
        self._nodes.start()
        while not isinstance(message := self._line.receive(), End):
            if message is None:
                os._exit(1)  # The launcher is gone, and nobody is left to run for.
            self._take(message)
        self._reason = f"the run ended: {message.reason}"
        self._ended.set()
        self._has_addresses.set()
        self._nodes.close(self._reason)
        # The launcher knows how long this may take, and kills who takes longer.
        threading.Thread(target=self._leave_with_launcher, daemon=True).start()
        if self._nodes.join(_ANSWER_SECONDS):
            for channel in self._channels.values():
                channel.close(self._reason)
            self._nodes.join(threading.TIMEOUT_MAX / 2)
        self._line.send(StatusReply(None, self._nodes.status()))
        self._server.close()

    def _take(self, message: Any) -> None:
        if isinstance(message, Addresses):
            self._addresses = message.by_label
            self._has_addresses.set()
        elif isinstance(message, AskStatus):
            self._line.send(StatusReply(message.number, self._nodes.status()))

    def _leave_with_launcher(self) -> None:
        while self._line.receive() is not None:
            pass
        os._exit(1)

    # --- What the nodes report: RunSupervisor

    def stop(self, reason: str) -> None:
        """A node asked for the end of the run."""
        self._line.send(Stopped(reason))

    def fail(self, label: str, where: str, error: BaseException) -> None:
        """A node raised, or heard of the run's end before the launcher had said it."""
        if isinstance(error, RpcClosed) and self._ended.wait(_NEWS_SECONDS):
            return
        self._line.send(Failed(label, where, to_wire(error)))

    def work_ended(self) -> None:
        """A node has nothing left to do."""
        nodes = self._nodes
        self._line.send(WorkEnded(nodes.has_work(), nodes.has_worker()))

    def _stop_serving(self, error: BaseException) -> None:
        label = next(iter(self._nodes.servers))
        self.fail(label, "socket server", error)

    # --- The other processes

    def _client_elsewhere(self, handle: Handle) -> Client:
        label = self._labels[handle]
        # Nodes of one process share a connection, but only its address tells who they
        # are, and it may not be known yet; so for now there is one for each node.
        channel = self._channels.get(label)
        if channel is None:
            channel = Channel(lambda: self._address_of(label), self._why_ended)
            self._channels[label] = channel
        return Client(RemoteTarget(label, channel))

    def _address_of(self, label: str) -> str:
        self._has_addresses.wait()
        if label not in self._addresses:
            raise RpcClosed(self._reason)
        return self._addresses[label]

    def _why_ended(self) -> str | None:
        self._ended.wait(_NEWS_SECONDS)
        return self._reason or None


def main() -> None:
    """Runs what the launcher sends."""
    if sys.platform == "linux" and sys.argv[2] == "killed-with-launcher":
        # Even if this process is too busy to notice that the launcher is gone.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    line = ControlConnection(socket.socket(fileno=int(sys.argv[1])))
    path = line.receive()
    if path is None:
        return
    sys.path[:] = path
    # Only now can what the nodes are made of be imported.
    assignment = line.receive()
    if assignment is not None:
        Child(line, assignment).run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # A thread of some library must not hold it up.


if __name__ == "__main__":
    main()

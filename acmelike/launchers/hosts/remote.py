"""Other hosts, as the launcher sees them."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable
from io import BufferedReader
from typing import Any

from acmelike.launchers.hosts.messages import (
    Exit,
    Kill,
    Leave,
    Start,
    Usage,
    control_stream,
    output_stream,
)
from acmelike.launchers.hosts.multiplexer import Multiplexer
from acmelike.launchers.processes.capacity import Capacity
from acmelike.launchers.processes.control import ControlConnection
from acmelike.launchers.processes.machine import Order


class RemoteMachine:
    """The machine of an agent; see `Machine`.

    Args:
      name: of the host.
      ip: where its processes listen.
      capacity: what it has.
      line: to the agent; owned from now on.
      heartbeat: the host is lost when its agent was silent for so many seconds.
      on_lost: called with the machine and why, when it is lost; not after `leave`.

    Attributes:
      is_lost: whether nothing can be started there any more.
    """

    def __init__(
        self,
        name: str,
        ip: str,
        capacity: Capacity,
        line: ControlConnection,
        heartbeat: float,
        on_lost: Callable[[RemoteMachine, str], None],
    ):
        self.name, self.ip, self.capacity = name, ip, capacity
        self._heartbeat, self._on_lost = heartbeat, on_lost
        self._multiplexer = Multiplexer(line, self._handle, self._on_beat)
        self._numbers = itertools.count()
        self._children: dict[int, RemoteChild] = {}
        self._lock = threading.Lock()
        self.is_lost = self._has_left = False
        self._why = ""
        self._thread = threading.Thread(
            target=self._run, name=f"line to {name}", daemon=True
        )
        self._thread.start()

    def start(self, order: Order) -> RemoteChild:
        with self._lock:
            if self.is_lost:
                raise OSError(self._words)
            number = next(self._numbers)
            child = self._children[number] = RemoteChild(number, self._multiplexer)
        self._multiplexer.send(Start(number, order))
        return child

    def leave(self, reason: str) -> None:
        """Lets the agent leave the run."""
        self._has_left = True
        self._multiplexer.send(Leave(reason))
        self._multiplexer.end()

    def drop(self, why: str) -> None:
        """Treats the machine as lost, at once."""
        self._why = why
        self._multiplexer.abort()

    def join(self, seconds: float) -> None:
        """After `leave` or a loss, waits until the connection is closed."""
        self._thread.join(seconds)

    @property
    def _words(self) -> str:
        return f"its host '{self.name}' is lost: {self._why}"

    def _run(self) -> None:
        why = self._multiplexer.run()
        with self._lock:
            self.is_lost, self._why = True, self._why or why
            children = list(self._children.values())
        # First, as the processes may be restarted as soon as they count as ended.
        if not self._has_left:
            self._on_lost(self, self._why)
        for child in children:
            child.has_ended(self._words)

    def _on_beat(self, silent: float) -> None:
        if silent > self._heartbeat:
            raise OSError(f"it was not heard for {silent:.0f} s")

    def _handle(self, message: Any) -> None:
        if isinstance(message, Exit):
            child = self._children.pop(message.number, None)
            if child is not None:
                child.has_ended(message.how)
        elif isinstance(message, Usage):
            for number, seconds in message.seconds.items():
                if number in self._children:
                    self._children[number].seconds = seconds


class RemoteChild:
    """A process of another host; see `ChildProcess`.

    Args:
      number: by which the agent knows it.
      multiplexer: of the connection to the agent.

    Attributes:
      seconds: the processor time that it has used, as last heard.
    """

    def __init__(self, number: int, multiplexer: Multiplexer):
        self._number, self._multiplexer = number, multiplexer
        self.seconds = 0.0
        self._ended, self._how = threading.Event(), ""
        self.control, control = socket.socketpair()
        output, far_output = socket.socketpair()
        with output:
            self.output: BufferedReader = output.makefile("rb")
        multiplexer.add(control_stream(number), control)
        multiplexer.add(output_stream(number), far_output)

    def kill(self) -> None:
        self._multiplexer.send(Kill(self._number))

    def wait(self) -> str:
        # The wait ends with the process, or with the connection to its host.
        self._ended.wait()
        return self._how

    def processor_seconds(self) -> float:
        return self.seconds

    def has_ended(self, how: str) -> None:
        """Called when the agent reports the end of the process, or is lost."""
        self._how = how
        self._ended.set()

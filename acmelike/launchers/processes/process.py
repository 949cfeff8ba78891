"""A process of a program, as its launcher sees it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from acmelike.core.status import NodeStatus
from acmelike.graph import Entry, Handle
from acmelike.launchers.processes.control import (
    Assignment,
    ControlConnection,
    EndOfRun,
    StatusRequest,
)
from acmelike.launchers.processes.machine import DOES_NOT_END, KILLED_SECONDS, Order
from acmelike.launchers.processes.output import LastLine, pass_on_output
from acmelike.launchers.processes.placement import Seat

# After the end of a process, how long reading the rest of its output may take.
_END_SECONDS = 3.0
# Likewise for its messages. Its connection is then ended here, as a fork of the process
# may hold the other end.
_FORK_SECONDS = 3.0
# Likewise for its last line, which a process that it has left behind may delay. Callers
# wait longer than this for the news of its end (`NEWS_SECONDS`).
_LAST_LINE_SECONDS = 0.2
# How long sending a message may take; a process that is stopped reads none.
_SEND_SECONDS = 1.0
# How long a process that has not answered is asked for its status again.
_OWING_SECONDS = 10.0

logger = logging.getLogger("acmelike")


class Process:
    """One process and the threads that listen to it.

    Args:
      name: of the process: its node's label, or what colocated nodes share.
      entries: its nodes.
      incarnation: how many processes of this name there were before.
      seat: where it is started, and what it gets there.
      on_message: called with the process and each message of it.
      on_end: called with the process when it has ended.
      log: the file for its output, or None.

    Attributes:
      has_work: whether a node of it has something left to do, as it last said.
      has_worker: whether one was found to be a worker.
      status: of its nodes by label, as it last said.
      answered: the number of the last `StatusRequest` that it has answered.
      is_over: set when it has ended.
      how_it_ended: in words, once it has, and what it printed last.

    Raises:
      OSError: it cannot be started.
    """

    def __init__(
        self,
        name: str,
        entries: Mapping[Handle, Entry],
        *,
        incarnation: int,
        seat: Seat,
        on_message: Callable[[Process, Any], None],
        on_end: Callable[[Process], None],
        log: Path | None,
    ):
        self.name, self.entries, self.incarnation = name, entries, incarnation
        self.seat = seat
        self._on_message, self._on_end = on_message, on_end
        self.has_work, self.has_worker = True, False
        self.status: dict[str, NodeStatus] = {}
        self.answered = 0
        # The number of the last request, and when the oldest unanswered one was sent.
        self._asked, self._asked_at = 0, 0.0
        # When it was last seen active, and what it had answered and computed by then.
        self._active_at, self._done = time.monotonic(), (0, 0.0)
        self.how_it_ended = ""
        self.is_over, self._has_exited = threading.Event(), threading.Event()
        self._sending = threading.Lock()
        self._is_started = self._is_disposed = False
        self._end: EndOfRun | None = None
        self._child = seat.machine.start(_order(name, list(entries.values()), seat))
        self._connection = ControlConnection(self._child.control)
        self._last_line = LastLine()
        output = partial(
            pass_on_output,
            self._child.output,
            name,
            log,
            is_continued=incarnation > 0,
            last=self._last_line,
        )
        self._waiter = threading.Thread(
            target=self._wait, name=f"end of {name}", daemon=True
        )
        self._printer = threading.Thread(
            target=output, name=f"output of {name}", daemon=True
        )
        self._threads = [
            self._waiter,
            self._printer,
            # The last one: after it has noticed the end, `dispose` may be called.
            threading.Thread(
                target=self._listen, name=f"connection to {name}", daemon=True
            ),
        ]

    def start(self, assignment: Assignment) -> None:
        """Sends the nodes, and starts to listen."""
        with self._sending:
            if self._is_disposed:
                return  # The run has ended meanwhile.
            for thread in self._threads:
                thread.start()
            self._connection.send(assignment)
            self._is_started = True
            if self._end is not None:
                self._connection.send(self._end)

    def ask(self, number: int) -> bool:
        """Requests the status; False without nodes yet, or if an answer is overdue.

        A process that is stopped reads nothing. Without a limit, requests would be sent
        until no more fit.
        """
        if not self._is_started:
            return False
        if self._asked > self.answered:
            if time.monotonic() - self._asked_at > _OWING_SECONDS:
                self._connection.flush()  # The question may not have left.
                return False
        else:
            self._asked_at = time.monotonic()
        self._asked = number
        self.send(StatusRequest(number))
        return True

    def send(self, message: Any) -> None:
        """Sends a message, unless the process has no nodes yet."""
        with self._sending:
            if self._is_started:
                self._connection.send(message, _SEND_SECONDS)

    def end(self, reason: str) -> None:
        """Sends an `EndOfRun`, now or after the nodes."""
        with self._sending:
            self._end = EndOfRun(reason)
            if self._is_started:
                self._connection.send(self._end, _SEND_SECONDS)

    def silent_seconds(self) -> float:
        """How long it has neither answered nor used a processor.

        A process that is stopped, or blocked in a system call, does neither. A process
        that computes may be too busy to answer; that is no fault. Call this after each
        request for the status.
        """
        now = time.monotonic()
        done = (self.answered, self._child.processor_seconds())
        if done != self._done:
            self._active_at, self._done = now, done
        return now - self._active_at

    def kill(self) -> None:
        """Ends it at once."""
        self._child.kill()

    def dispose(self, seconds: float = KILLED_SECONDS) -> bool:
        """After its end: waits for the threads, and releases everything.

        Args:
          seconds: how long it may take to end. One that was killed takes longer only if
            it waits for a device that does not answer. A warning names it then, and
            nothing is released.

        Returns:
          Whether it has ended, and everything is released.
        """
        with self._sending:
            if self._is_disposed:
                return True
            is_started = self._waiter.ident is not None
            self._is_disposed = not is_started  # From now on it cannot be started.
        if not is_started:
            self._child.wait()  # It was sent no nodes, so nothing holds it up.
        elif not (self.is_over.is_set() or self._has_exited.wait(seconds)):
            logger.warning(DOES_NOT_END, self.name)
            return False
        self._is_disposed = True
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_END_SECONDS)
        if not any(thread.is_alive() for thread in self._threads):
            self._child.output.close()
        self._connection.close()
        return True

    def _wait(self) -> None:
        """Waits for the process itself, whose connection may outlive it.

        A fork of the process may hold the connection open. A fork in the same process
        group ends with the process. For another one, the connection is ended here.
        """
        self._child.wait()
        self._has_exited.set()
        if not self.is_over.wait(_FORK_SECONDS):
            self._connection.stream.end()

    def _listen(self) -> None:
        try:
            while (message := self._connection.receive()) is not None:
                self._on_message(self, message)
        except Exception:  # Or its end would not be noticed.
            logger.exception("%s sent what cannot be handled, and is ended", self.name)
            self._child.kill()
        self.how_it_ended = self._describe_end()
        self.is_over.set()
        self._on_end(self)

    def _describe_end(self) -> str:
        """Waits for the end; how it ended, and its last line, which often says why."""
        how = self._child.wait()
        self._printer.join(_LAST_LINE_SECONDS)
        last = self._last_line.text
        return f"{how} (last output: '{last}')" if last else how


def _order(name: str, entries: list[Entry], seat: Seat) -> Order:
    variables: dict[str, str] = {}
    for entry in entries:
        variables.update(entry.variables)
    resources = seat.resources
    share = min(1.0, resources.num_gpus or 0)
    return Order(name, resources.num_threads, variables, seat.gpus, share)

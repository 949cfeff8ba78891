"""Serves the nodes of one process to other processes, over a Unix-domain socket."""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import selectors
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from acmelike.errors import RpcError
from acmelike.rpc.call import Call, CallScheduler, Request
from acmelike.rpc.failure import to_wire
from acmelike.rpc.freeze import freeze
from acmelike.rpc.server import Server
from acmelike.rpc.sockets.frames import (
    CALL,
    CANCEL,
    ERROR,
    RESULT,
    Encoded,
    Frame,
    FrameReader,
    PayloadCache,
    encode,
    make_frame,
)
from acmelike.rpc.sockets.shared_memory import SharedMemory

logger = logging.getLogger("acmelike")

_MIN_DEADLINES = 100  # So many are kept before those of ended calls are dropped.
_RETRY_SECONDS = 0.05  # Until an expired call is tried again whose service is busy.
_MAX_SELECT_SECONDS = 3600.0  # Selectors take no more than some weeks.


class SocketServer:
    """Takes calls from other processes to the servers of this one.

    One thread reads requests and runs them. It never waits for a caller: what does not
    fit into a socket is sent later. A parked call holds no thread; the thread that lets
    it proceed sends its outcome. Only a call of a `concurrent` method gets a thread of
    its own.

    Args:
      servers: by label.
      scheduler: has the clock of the deadlines.
      address: where to listen, from `new_address`.
      on_failure: called if the thread fails.
    """

    def __init__(
        self,
        servers: Mapping[str, Server],
        scheduler: CallScheduler,
        address: str,
        on_failure: Callable[[BaseException], None],
    ):
        self._servers, self._scheduler = servers, scheduler
        self._on_failure = on_failure
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(address)
        self._listener.listen(128)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._unsent: deque[_Connection] = deque()
        self._deadlines: list[tuple[float, int, Call]] = []
        self._max_deadlines = _MIN_DEADLINES
        self._numbers = itertools.count()
        self._is_closed = False
        self._concurrent: list[threading.Thread] = []
        self._thread = threading.Thread(
            target=self._run, name="socket server", daemon=True
        )

    def start(self) -> None:
        """Starts to take calls."""
        self._thread.start()

    def close(self) -> None:
        """Ends the threads and closes every connection."""
        self._is_closed = True
        self._wake()
        self._thread.join()
        for thread in self._concurrent:
            thread.join()

    def _run(self) -> None:
        try:
            self._loop()
        except BaseException as error:  # A thread would end without a word of an exit.
            self._on_failure(error)

    def _loop(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake_out, selectors.EVENT_READ, self._wake_up)
        while not self._is_closed:
            for key, events in self._selector.select(self._until_deadline()):
                if isinstance(key.data, _Connection):
                    self._serve(key.data, events)
                else:
                    key.data()
            self._expire()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, _Connection):
                # Callers may still wait for these outcomes; what does not fit is lost.
                key.data.flush()
                key.data.shared.close()
            key.fileobj.close()  # type: ignore[union-attr]
        self._wake_in.close()
        self._selector.close()

    # --- What happens on the sockets

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        if not _is_own_user(sock):
            logger.warning("refused a connection of another user")
            sock.close()
            return
        sock.setblocking(False)
        connection = _Connection(sock, self._ask_to_send)
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _serve(self, connection: _Connection, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE and connection.flush():
                self._selector.modify(connection.sock, selectors.EVENT_READ, connection)
            if events & selectors.EVENT_READ:
                while True:
                    self._handle(connection, connection.reader.read())
        except BlockingIOError:
            pass
        except (EOFError, OSError, RpcError):
            self._selector.unregister(connection.sock)
            connection.sock.close()
            connection.shared.close()
            # The caller is gone; its parked calls must not run later.
            for call in connection.take_parked():
                call.server.withdraw(call)

    def _handle(self, connection: _Connection, frame: Frame) -> None:
        if frame.kind == CANCEL:
            parked = connection.parked.get(frame.request)
            if parked is not None:
                parked.server.withdraw(parked)
        elif frame.kind == CALL:
            label, method, *_ = frame.value
            if self._servers[label].is_concurrent(method):
                # It runs without the lock and may take long, so it gets a thread.
                thread = threading.Thread(
                    target=self._run_call,
                    args=(connection, frame),
                    name=f"{label}.{method}",
                    daemon=True,
                )
                alive = [other for other in self._concurrent if other.is_alive()]
                self._concurrent = [*alive, thread]
                thread.start()
                return
            call = self._run_call(connection, frame)
            if call.deadline is not None and not call.has_outcome:
                self._note_deadline(call.deadline, call)

    def _run_call(self, connection: _Connection, frame: Frame) -> Call:
        """Runs or parks a call, and sends its outcome if it has one."""
        label, method, args, kwargs, timeout, caller = frame.value
        reply = _Reply(connection, frame.request)
        request = Request(method, freeze(args), freeze(kwargs), timeout, caller)
        call = self._servers[label].submit(request, wakeup=reply)
        reply.send_or_wait(call)
        if call.wakeup is None and call.follow_up is not None:
            call.follow_up()
        return call

    def _ask_to_send(self, connection: _Connection) -> None:
        self._unsent.append(connection)
        self._wake()

    def _wake(self) -> None:
        try:
            self._wake_in.send(b"\0")
        except OSError:
            pass  # It is awake already, or has ended.

    def _wake_up(self) -> None:
        self._wake_out.recv(4096)
        while self._unsent:
            connection = self._unsent.popleft()
            if connection.sock.fileno() >= 0:
                events = selectors.EVENT_READ | selectors.EVENT_WRITE
                self._selector.modify(connection.sock, events, connection)

    # --- Deadlines

    def _note_deadline(self, at: float, call: Call) -> None:
        """Will expire the call then; forgets others that have an outcome already."""
        if len(self._deadlines) >= self._max_deadlines:
            kept = [entry for entry in self._deadlines if not entry[2].has_outcome]
            heapq.heapify(kept)
            self._deadlines = kept
            self._max_deadlines = max(_MIN_DEADLINES, 2 * len(kept))
        heapq.heappush(self._deadlines, (at, next(self._numbers), call))

    def _until_deadline(self) -> float | None:
        if not self._deadlines:
            return None
        left = self._deadlines[0][0] - self._scheduler.now()
        return min(max(0.0, left), _MAX_SELECT_SECONDS)

    def _expire(self) -> None:
        now = self._scheduler.now()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, call = heapq.heappop(self._deadlines)
            if not call.has_outcome and not call.server.expire(call):
                self._note_deadline(now + _RETRY_SECONDS, call)


class _Connection:
    """One caller's socket."""

    def __init__(self, sock: socket.socket, ask_to_send: Any):
        self.shared = SharedMemory()
        self.sock, self.reader = sock, FrameReader(sock, self.shared)
        self.parked: dict[int, Call] = {}
        self._ask_to_send = ask_to_send
        self._lock = threading.Lock()
        self._pieces: deque[memoryview] = deque()

    def send(self, frame: Encoded) -> None:
        """Sends what the socket takes, and leaves the rest to the server's thread."""
        with self._lock:
            was_empty = not self._pieces
            self._pieces.extend(memoryview(piece).cast("B") for piece in frame.pieces)
            if not was_empty:
                return
            try:
                is_sent = send_some(self.sock, self._pieces)
            except OSError:
                return  # The caller is gone; the server's thread will notice.
        if not is_sent:
            self._ask_to_send(self)

    def flush(self) -> bool:
        """Sends what is left, as far as it fits; returns whether all is sent."""
        with self._lock:
            try:
                return send_some(self.sock, self._pieces)
            except OSError:
                return True

    def take_parked(self) -> list[Call]:
        """The calls that are still parked."""
        calls, self.parked = list(self.parked.values()), {}
        return calls


class _Reply:
    """Sends the outcome of a call once, in the thread that has it first.

    For a parked call it takes the place of the event of a waiting thread.
    """

    def __init__(self, connection: _Connection, request: int):
        self._connection, self._request = connection, request
        self._call: Call | None = None
        self._is_due = False
        self._lock = threading.Lock()

    def send_or_wait(self, call: Call) -> None:
        """Sends the outcome of a call; if it was parked, `set` will do that."""
        with self._lock:
            self._call = call
            if call.wakeup is not None and not self._is_due:
                self._connection.parked[self._request] = call
                return
        self._send(call, PayloadCache())

    def set(self) -> Callable[[PayloadCache], None] | None:
        """Called when a parked call has its outcome; returns what sends it."""
        with self._lock:
            self._is_due = True
            call = self._call
        if call is None:
            return None  # `send_or_wait` is still to come.
        self._connection.parked.pop(self._request, None)
        return partial(self._send, call)

    def _send(self, call: Call, payloads: PayloadCache) -> None:
        # A reference cycle would keep the arguments and their memory.
        self._call = None
        shared = self._connection.shared
        try:
            outcome = payloads.of(call.outcome())
            frame = make_frame(RESULT, self._request, outcome, shared)
        except BaseException as error:
            frame = encode(ERROR, self._request, to_wire(error), shared)
        self._connection.send(frame)


def send_some(sock: socket.socket, pieces: deque[memoryview]) -> bool:
    """Sends as much of `pieces` as fits, and removes it; returns whether all was."""
    while pieces:
        try:
            sent = sock.sendmsg(list(itertools.islice(pieces, 256)))
        except BlockingIOError:
            return False
        while pieces and sent >= len(pieces[0]):
            sent -= len(pieces.popleft())
        if sent:
            pieces[0] = pieces[0][sent:]
    return True


def new_address(folder: str) -> str:
    """An address for one process.

    On Linux it is in the abstract namespace, where nothing is left behind however the
    process ends. Elsewhere it is a file in `folder`.
    """
    name = f"acmelike-{os.getpid()}-{os.urandom(6).hex()}"
    return f"\0{name}" if sys.platform == "linux" else os.path.join(folder, name)


def _is_own_user(sock: socket.socket) -> bool:
    """Whether the process at the other end is the same user's."""
    if sys.platform != "linux":
        return True  # Its folder is closed to other users.
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, user, _ = struct.unpack("3i", credentials)
    return bool(user == os.getuid())

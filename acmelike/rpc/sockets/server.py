"""Serves the nodes of one process to other processes, of the run or not."""

from __future__ import annotations

import errno
import heapq
import itertools
import logging
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from acmelike.errors import RpcError, RpcFailed, describe
from acmelike.rpc.call import Call, CallScheduler, Request
from acmelike.rpc.freeze import freeze
from acmelike.rpc.server import Server
from acmelike.rpc.sockets.channel import GRACE_SECONDS, STUCK_SECONDS
from acmelike.rpc.sockets.codec import Codec, Payload
from acmelike.rpc.sockets.endpoints import (
    Listener,
    accept_far,
    is_own_user,
    why_refused,
)
from acmelike.rpc.sockets.frames import (
    CALL,
    CANCEL,
    ERROR,
    RESULT,
    RETURN,
    Encoded,
    FrameReader,
    PayloadCache,
    encode,
    make_frame,
    returned,
)
from acmelike.rpc.sockets.greeting import CALLER_BYTES, answer, challenge
from acmelike.rpc.sockets.ledger import Holder, Key, Ledger
from acmelike.rpc.sockets.repeated import RepeatedOutcomes
from acmelike.rpc.sockets.shared_memory import LARGE_BYTES, SharedMemory
from acmelike.rpc.sockets.stream import Stream

if TYPE_CHECKING:
    from acmelike.rpc.sockets.tls import TlsSocket

logger = logging.getLogger("acmelike")

_MIN_DEADLINES = 100  # So many are kept before those of ended calls are dropped.
_RETRY_SECONDS = 0.05  # Until an expired call is tried again whose service is busy.
_MAX_SELECT_SECONDS = 3600.0  # Selectors take no more than some weeks.
_LOOK_SECONDS = 1.0  # Between two looks at connections that are stuck.
# Between two looks whether a file descriptor is free, if there is none at all.
_PAUSE_SECONDS = 0.2
# How long a connection may take to show that it belongs to the run, and how many may
# be about to.
STRANGER_SECONDS = 10.0
_MAX_STRANGERS = 100
# So many are told of in the log at once, and then one a second.
_MAX_WARNINGS = 20.0
_MAX_UNSENT_BYTES = 2**24
# So many messages of one caller are handled before it is the others' turn.
_MAX_FRAMES = 64
# How many calls of a program outside of the run may be parked for one connection, and
# how many of `concurrent` methods may run, each in a thread.
_MAX_PARKED = 1_000
_MAX_THREADS = 64


class SocketServer:
    """Takes calls from other processes to the servers of this one.

    One thread reads requests and runs them. It never waits for a caller: what does not
    fit into a socket is sent later. A parked call holds no thread; the thread that lets
    it proceed sends its outcome, unless that takes long: a thread for it sends what is
    large or has to be encrypted. Only a call of a `concurrent` method gets a thread of
    its own.

    What a caller can cost is bounded. Nothing is read of one that has not shown who it
    is. While a caller leaves many answers unread, no more of its calls are taken. With
    no file descriptor left, the newest connection is refused.

    Args:
      servers: by label; no other nodes can be called here.
      scheduler: has the clock of the deadlines.
      listener: where callers connect, and what is asked of them. It is owned from now
        on.
      on_failure: called if the thread fails.
      holder: of the refs that come; None where none may come.

    Attributes:
      address: where it listens.
      outcomes: those that its callers on this host get again.
      holder: see there.
    """

    def __init__(
        self,
        servers: Mapping[str, Server],
        scheduler: CallScheduler,
        listener: Listener,
        on_failure: Callable[[BaseException], None],
        holder: Holder | None = None,
    ):
        self._servers, self._scheduler = servers, scheduler
        self.outcomes, self.holder = RepeatedOutcomes(), holder
        self._listener, self._on_failure = listener, on_failure
        self.address = listener.address
        self._listener.sock.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._connections: set[_Connection] = set()
        self._stuck: dict[_Connection, None] = {}  # The oldest comes first.
        self._unsent: deque[_Connection] = deque()
        self._ready: list[_Connection] = []
        # Closed for a moment where there is no other, so that one can be refused.
        self._spare_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        # When to try to open it again, if another thread has taken its number. Until
        # there is one, no connection is accepted.
        self._spare_at: float | None = None
        self._next_look = 0.0
        self._warnings_left, self._warned_at = _MAX_WARNINGS, time.monotonic()
        self._num_untold = 0
        self._deadlines: list[tuple[float, int, Call]] = []
        self._max_deadlines = _MIN_DEADLINES
        self._numbers = itertools.count()
        # Names in the certificates of callers: of those that there are, and of those
        # that were replaced or have ended.
        self._announced, self._gone = frozenset[str](), set[str]()
        self._has_new_names = False
        self._is_closed = False
        self._late: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._late_sender: threading.Thread | None = None
        self._starting = threading.Lock()
        self._concurrent: list[threading.Thread] = []
        self._thread = threading.Thread(
            target=self._run, name="socket server", daemon=True
        )

    def take_names(self, names: frozenset[str]) -> None:
        """Ends the connections of processes that were announced, and are no longer.

        If a host has vanished, the system may find that after a quarter of an hour.
        Until then its parked calls would take what others could have.

        Args:
          names: in the certificates of all processes that there are now.
        """
        self._gone |= self._announced - names
        self._announced, self._has_new_names = names, True
        self._wake()

    def start(self) -> None:
        """Starts to take calls."""
        self._thread.start()

    def end(self) -> None:
        """Takes no more calls; what runs is not interrupted."""
        self._is_closed = True
        self._wake()

    def join(self, seconds: float | None = None) -> bool:
        """Waits until its threads have ended, and every connection is closed.

        Args:
          seconds: at most; None to wait for as long as methods run.

        Returns:
          Whether all have ended.
        """
        if self._thread.ident is None:
            self._release()  # It was never started.
            return True
        limit = None if seconds is None else time.monotonic() + seconds
        threads = [self._thread]
        self._thread.join(_left(limit))
        for thread in self._concurrent:
            thread.join(_left(limit))
            threads.append(thread)
        return not any(thread.is_alive() for thread in threads)

    def close(self) -> None:
        """Ends the threads and closes every connection."""
        self.end()
        self.join()

    def _run(self) -> None:
        try:
            self._loop()
        except BaseException as error:  # A thread would end without a word of an exit.
            self._on_failure(error)

    def _loop(self) -> None:
        listening = self._listener.sock
        self._selector.register(listening, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake_out, selectors.EVENT_READ, self._wake_up)
        try:
            while not self._is_closed:
                self._serve_once()
        finally:
            self._release()

    def _serve_once(self) -> None:
        # In a function, or its variables would keep a connection until the next event.
        ready, self._ready = self._ready, []
        found = self._selector.select(0.0 if ready else self._until_next())
        began = time.monotonic()
        for connection in ready:
            self._serve(connection, 0)
        for key, events in found:
            served = key.data
            if not isinstance(served, _Connection):
                served()
            elif served not in ready:
                self._serve(served, events)
        if self._deadlines:
            self._expire()
        if self._stuck:
            self._look_for_stuck(time.monotonic() - began)
        if self._spare_at is not None:
            self._accept_again(self._spare_at)

    def _release(self) -> None:
        """Sends what can be sent at once, and closes everything."""
        with self._starting:
            if self._late_sender is not None:
                self._late.put(None)
                self._late_sender.join()
        for connection in list(self._connections):
            # Callers may still wait for these outcomes; what does not fit is lost.
            with suppress(OSError):
                connection.stream.flush()
            self._close(connection)
        for sock in (self._listener.sock, self._wake_out, self._wake_in):
            sock.close()
        spare, self._spare_fd = self._spare_fd, -1
        if spare >= 0:
            os.close(spare)
        self._selector.close()

    # --- What happens on the sockets

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.sock.accept()
        except BlockingIOError:
            return  # It has gone again.
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._refuse_newest(error.strerror)
            else:
                self._warn("refused a connection: %s", error.strerror)
            return
        if self._listener.is_near and not is_own_user(sock):
            self._warn("refused a connection of another user")
            sock.close()
            return
        strangers = [other for other in self._stuck if not other.is_known]
        if len(strangers) >= _MAX_STRANGERS:
            self._refuse(strangers[0], "others wait too")
        try:
            connection = self._new_connection(sock)
        except OSError:
            sock.close()
            return  # It has gone again.
        self._connections.add(connection)
        self._stuck[connection] = None
        self._selector.register(connection.sock, selectors.EVENT_READ, connection)
        if self._listener.is_outside:
            self._serve(connection, 0)  # Its caller waits for a number.

    def _new_connection(self, sock: socket.socket) -> _Connection:
        codec = self._listener.codec
        if self._listener.is_near:
            return _Connection(sock, SharedMemory(), codec, self)
        listener = self._listener
        far = accept_far(sock, listener.tls, listener.heartbeat)
        return _Connection(far, None, codec, self)

    def _refuse_newest(self, why: str | None) -> None:
        """Accepts a connection with the spare descriptor, and closes it.

        It would otherwise be found again at once, and for as long as none is free.
        Without the spare one, connections wait until there is one again.
        """
        spare, self._spare_fd = self._spare_fd, -1
        os.close(spare)
        with suppress(OSError):
            self._listener.sock.accept()[0].close()
            self._warn("refused a connection: %s", why)
        if not self._has_spare():  # Another thread has taken its number.
            self._warn("connections wait for a file descriptor: %s", why)
            self._selector.unregister(self._listener.sock)
            self._spare_at = time.monotonic() + _PAUSE_SECONDS

    def _has_spare(self) -> bool:
        """Opens the spare descriptor; False if none is free."""
        try:
            self._spare_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        return True

    def _accept_again(self, at: float) -> None:
        """Accepts connections again if it is time and a descriptor is free."""
        now = time.monotonic()
        if now < at:
            return
        if self._has_spare():
            self._spare_at, listening = None, self._listener.sock
            self._selector.register(listening, selectors.EVENT_READ, self._accept)
        else:
            self._spare_at = now + _PAUSE_SECONDS

    def _serve(self, connection: _Connection, events: int) -> None:
        if connection not in self._connections:
            return  # It was closed since the selector found something.
        stream, reader = connection.stream, connection.reader
        if self._stuck:  # Nobody asks when others were heard.
            connection.heard_at = time.monotonic()
        try:
            if events & selectors.EVENT_WRITE:
                stream.flush()
            if not connection.is_known:
                self._greet(connection)
            for _ in range(_MAX_FRAMES):
                if stream.num_unsent >= _MAX_UNSENT_BYTES:
                    connection.is_paused = True
                    break
                self._handle_next(connection)
                if reader.has_read_all:
                    break
            else:
                # It may have read more than it has handled, which no selector sees.
                self._ready.append(connection)
        except BlockingIOError:
            pass
        except (EOFError, OSError, RpcError) as error:
            if not connection.is_known:
                self._refuse(connection, why_refused(error, self._listener))
                return
            if isinstance(error, RpcError):
                logger.warning("closed a connection: %s", error)
            self._close(connection)
        self._watch(connection)

    def _greet(self, connection: _Connection) -> None:
        listener = self._listener
        if not isinstance(connection.sock, socket.socket):  # It has TLS.
            connection.sock.greet()
            connection.name = connection.sock.peer_name()
            if connection.name in self._gone:
                raise RpcError("its process was replaced")
        if listener.key is not None:
            place: str | bytes = listener.address.path
            if listener.is_outside:
                if connection.number is None:
                    first, connection.number = challenge()
                    connection.stream.send([first])
                place = connection.number
            received = connection.reader.read_bytes(CALLER_BYTES)
            reply = answer(listener.key, place, received)
            if reply is None:
                raise RpcError(listener.why_unknown)
            connection.stream.send([reply])
        connection.is_known = True

    def _watch(self, connection: _Connection) -> None:
        """Waits for what a connection needs: to be read, to be written, or both."""
        num_unsent = connection.stream.num_unsent
        is_stuck = connection.is_stuck
        is_reading = connection.events == selectors.EVENT_READ
        is_idle = not (num_unsent or is_stuck or connection.is_paused)
        if is_reading and is_idle and not self._stuck:
            return  # As nearly always.
        if connection not in self._connections:
            return
        if is_stuck:
            if connection not in self._stuck:  # It depends on its caller from now on.
                connection.heard_at = time.monotonic()
            self._stuck[connection] = None
        else:
            self._stuck.pop(connection, None)
        events = selectors.EVENT_WRITE if num_unsent else 0
        if num_unsent < _MAX_UNSENT_BYTES:
            events |= selectors.EVENT_READ
        if events != connection.events:
            connection.events = events
            self._selector.modify(connection.sock, events, connection)
        if connection.is_paused and num_unsent < _MAX_UNSENT_BYTES:
            connection.is_paused = False
            self._ready.append(connection)  # As in `_serve`.

    def _refuse(self, connection: _Connection, why: str) -> None:
        self._warn("refused a connection: %s", why)
        self._close(connection)

    def _warn(self, words: str, *args: object) -> None:
        """Warns of a stranger; of very many once a second, not to fill the log."""
        now = time.monotonic()
        room = min(_MAX_WARNINGS, self._warnings_left + now - self._warned_at)
        self._warned_at, self._warnings_left = now, room
        if room < 1.0:
            self._num_untold += 1
            return
        self._warnings_left -= 1.0
        more = f" ({self._num_untold:,} more were not told)" if self._num_untold else ""
        self._num_untold = 0
        logger.warning(words + more, *args)

    def _close(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        self._stuck.pop(connection, None)
        self._selector.unregister(connection.sock)
        connection.stream.close()
        connection.reader.close()
        connection.ledger.close()
        if connection.shared is not None:
            connection.shared.close()
        # The caller is gone; its parked calls must not run later.
        for call in connection.take_parked():
            self._withdraw(call)

    def _withdraw(self, call: Call) -> None:
        """Ends a parked call; if its service is busy, as soon as it is not."""
        call.server.withdraw(call)
        if not call.has_outcome and call.deadline is not None:
            self._note_deadline(call.deadline, call)

    def _look_for_stuck(self, busy: float) -> None:
        """Closes connections that take too long, to say who they are or to go on.

        For `busy` seconds this thread did other things, so that they do not count.
        """
        for connection in self._stuck:
            connection.opened_at += busy
            connection.heard_at += busy
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        for connection in list(self._stuck):
            quiet = now - connection.heard_at
            if not connection.is_known:
                if now - connection.opened_at > STRANGER_SECONDS:
                    self._refuse(connection, "it did not say who it is")
            elif quiet > STUCK_SECONDS:
                logger.warning(
                    "closed a connection: for %.0f s its caller has read no answer, or "
                    "has not ended what it began to send",
                    quiet,
                )
                self._close(connection)

    def _handle_next(self, connection: _Connection) -> None:
        """Reads a message and does what it says; raises what `read` raises."""
        frame = connection.reader.read()
        kind, number, value, num_bytes, fault = frame
        if kind == RETURN:
            if (dropped := returned(frame)) is not None:
                connection.ledger.take_back(*dropped)
            return
        if kind == CANCEL:
            parked = connection.parked.get(number)
            if parked is not None:
                self._withdraw(parked)
            return
        if kind != CALL:
            return
        if not connection.is_trusted and number in connection.parked:
            raise RpcError(f"two calls at once have the number {number}")
        try:
            server, request = self._read_call(connection, value, fault)
            if not connection.is_trusted:
                self._check_room(connection, server, request.method)
        except Exception as error:
            connection.send_error(number, error)
            return
        del frame, value  # So that the arguments go when the request drops them.
        if request.timeout is not None and request.timeout < -GRACE_SECONDS:
            return  # Its caller has given up.
        reply = _Reply(connection, number, num_bytes)
        if request.method in server.concurrent_methods:
            # It runs without the lock and may take long, so it gets a thread.
            called = f"{server.label}.{request.method}"
            thread = threading.Thread(
                target=self._run_call,
                args=(server, request, reply, True),
                name=called,
                daemon=True,
            )
            try:
                thread.start()
            except RuntimeError as error:  # There can be no more threads.
                connection.send_error(number, RpcError(f"{called}: {error}"))
                return
            alive = [other for other in self._concurrent if other.is_alive()]
            self._concurrent = [*alive, thread]
            return
        call = self._run_call(server, request, reply, False)
        if call.deadline is not None and not call.has_outcome:
            self._note_deadline(call.deadline, call)

    def _read_call(
        self, connection: _Connection, value: Any, fault: RpcError | None
    ) -> tuple[Server, Request]:
        """The server of the node that is called, and what is asked of it.

        Raises:
          RpcError: there is no such node here, or the call cannot be read.
        """
        if fault is not None:
            words = f"the arguments of the call cannot be read: {fault}"
            raise RpcError(words) from fault.__cause__
        try:
            label, method, args, kwargs, timeout, caller = connection.codec.read_call(
                value
            )
            server = self._servers.get(label)
            if server is None:
                raise RpcError(f"there is no node '{label}' here")
            if timeout is not None and connection.shared is not None:
                timeout -= time.monotonic()  # It is a time of the host's clock.
            kwargs = freeze(kwargs) if kwargs else kwargs
            request = Request(str(method), freeze(args), kwargs, timeout, caller)
        except (TypeError, ValueError) as error:
            raise RpcError(f"what was sent is no call: {error}") from None
        return server, request

    def _check_room(self, connection: _Connection, server: Server, method: str) -> None:
        """Raises RpcError if a program outside of the run has too many calls here."""
        called = f"{server.label}.{method}"
        if len(connection.parked) >= _MAX_PARKED:
            raise RpcError(
                f"{called}: {_MAX_PARKED:,} calls of this connection wait already; "
                f"cancel some, or give them deadlines"
            )
        if method in server.concurrent_methods:
            num_threads = sum(thread.is_alive() for thread in self._concurrent)
            if num_threads >= _MAX_THREADS:
                raise RpcError(
                    f"{called}: {num_threads} calls like this one run already; call it "
                    f"again later"
                )

    def _run_call(
        self, server: Server, request: Request, reply: _Reply, may_block: bool
    ) -> Call:
        """Runs or parks a call, and sends its outcome if it has one."""
        call = server.submit(request, None, reply, reply.is_trusted, may_block)
        if call.wakeup is not None:
            reply.send_or_wait(call)
            return call
        # It was never parked. The reason for which it ends the run is told first: its
        # caller may have nothing left to do afterwards, and the run end with that.
        if call.follow_up is not None:
            call.follow_up()
        reply.send(call)
        return call

    def is_own_thread(self) -> bool:
        """Whether the calling thread is the one that reads requests."""
        return threading.current_thread() is self._thread

    def send_late(self, send: Callable[[], None]) -> None:
        """Calls a function in the thread that sends what takes long."""
        self._late.put(send)
        if self._late_sender is not None:
            return
        with self._starting:
            if self._late_sender is None and not self._is_closed:
                sender = threading.Thread(
                    target=self._send_late, name="sender of answers", daemon=True
                )
                try:
                    sender.start()
                except RuntimeError:  # There can be no more threads: this one sends.
                    if (send_now := self._late.get()) is not None:
                        send_now()
                    return
                self._late_sender = sender

    def _send_late(self) -> None:
        while (send := self._late.get()) is not None:
            send()
            del send  # Or the answer would be kept until there is another one.

    def ask_to_send(self, connection: _Connection) -> None:
        """Lets the server's thread send what a connection still keeps."""
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
            self._watch(self._unsent.popleft())
        if self._has_new_names:
            self._has_new_names = False
            for connection in list(self._connections):
                if connection.name in self._gone:
                    self._close(connection)

    # --- Deadlines

    def _note_deadline(self, at: float, call: Call) -> None:
        """Will expire the call then; forgets others that have an outcome already."""
        if len(self._deadlines) >= self._max_deadlines:
            kept = [entry for entry in self._deadlines if not entry[2].has_outcome]
            heapq.heapify(kept)
            self._deadlines = kept
            self._max_deadlines = max(_MIN_DEADLINES, 2 * len(kept))
        heapq.heappush(self._deadlines, (at, next(self._numbers), call))

    def _until_next(self) -> float | None:
        """Seconds until the next deadline, or the next look for who is stuck."""
        if not self._stuck and not self._deadlines and self._spare_at is None:
            return None
        left = [_LOOK_SECONDS] if self._stuck else []
        if self._spare_at is not None:
            left.append(max(0.0, self._spare_at - time.monotonic()))
        if self._deadlines:
            left.append(max(0.0, self._deadlines[0][0] - self._scheduler.now()))
        return min(*left, _MAX_SELECT_SECONDS)

    def _expire(self) -> None:
        now = self._scheduler.now()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, call = heapq.heappop(self._deadlines)
            if not call.has_outcome and not call.server.expire(call):
                self._note_deadline(now + _RETRY_SECONDS, call)


class _Connection:
    """One caller's socket.

    Args:
      sock: accepted.
      shared: memory that is shared with a caller of this host; None for another host.
      codec: what its values are written as.
      server: that accepted it.

    Attributes:
      is_known: whether the caller has shown that it may call.
      name: in its certificate; "" if it has shown none.
      number: that a caller outside of the run has to prove its key for; None before it
        is sent.
      opened_at: when it was accepted, later by the time that the server was busy.
      heard_at: when something was last received or could be sent; likewise.
      events: that the selector waits for.
      is_paused: whether its messages are left until its caller has read its answers.
      parked: calls without an outcome, by their numbers.
      ledger: of the refs that went to the caller.
      is_trusted: whether the caller is a process of the run.
      replying: held for a moment by the replies to its calls.
    """

    def __init__(
        self,
        sock: socket.socket | TlsSocket,
        shared: SharedMemory | None,
        codec: Codec,
        server: SocketServer,
    ):
        self.shared, self.codec = shared, codec
        self.is_trusted, self.replying = codec.is_trusted, threading.Lock()
        self.sock, self.stream = sock, Stream(sock)
        self.ledger = Ledger(server.holder, self._give_back)
        self.reader = FrameReader(self.stream, shared, codec, self.ledger)
        if shared is not None:
            shared.lender.send_withdrawn = self._send_news
            if server.holder is not None:
                news = partial(server.holder.later, self._send_news)
                shared.borrower.on_released = news
        self.is_known, self.name = False, ""
        self.number: bytes | None = None
        self.opened_at = self.heard_at = time.monotonic()
        self.events = selectors.EVENT_READ
        self.is_paused = False
        self.parked: dict[int, Call] = {}
        self._server = server

    @property
    def is_stuck(self) -> bool:
        """Whether it now depends on the caller that something can go on."""
        return (
            not self.is_known
            or self.stream.num_unsent >= _MAX_UNSENT_BYTES
            or not self.reader.is_between_frames
        )

    def payload_of(self, call: Call, payloads: PayloadCache | None) -> Payload:
        """The outcome of a call that has returned, encoded."""
        value = call.outcome()
        if isinstance(value, Payload):
            return value
        make = self.codec.make_payload
        if payloads is not None:
            make = partial(payloads.of, codec=self.codec)
        if self.shared is None:
            return make(value)
        return self._server.outcomes.payload_of(call, value, make)

    def answer(
        self, kind: int, request: int, payload: Payload, call: Call, num_in: int
    ) -> None:
        """Sends the outcome of a call, or leaves that to a thread for it.

        To copy, compress or encrypt much takes long, and whoever has let several parked
        calls proceed, such as a learner that publishes parameters, has other things to
        do.
        """
        is_quick = self.shared is not None and payload.num_bytes < LARGE_BYTES
        if is_quick or self._server.is_own_thread():
            self._answer(kind, request, payload, call, num_in)
        else:
            send = partial(self._answer, kind, request, payload, call, num_in)
            self._server.send_late(send)

    def _answer(
        self, kind: int, request: int, payload: Payload, call: Call, num_in: int
    ) -> None:
        try:
            pack = call.server.is_packed and self.is_trusted
            frame = make_frame(kind, request, payload, self.shared, pack=pack)
        except Exception as error:  # It is too large, say.
            frame = make_frame(ERROR, request, self.error_payload(error), self.shared)
        else:
            if payload.refs:
                self.ledger.lend(payload.refs)
        call.count_bytes(num_in, frame.num_bytes)
        self.send(frame)

    def _give_back(self, key: Key, count: int) -> None:
        self.send(encode(RETURN, 0, (key, count), self.shared))

    def _send_news(self) -> None:
        """Lets the caller know of memory that is needed no longer."""
        self.send(encode(RETURN, 0, None, self.shared))

    def error_payload(self, error: BaseException) -> Payload:
        """What is sent of an exception."""
        return self.codec.make_payload(self.codec.error_value(error))

    def send_error(self, request: int, error: BaseException) -> None:
        """Sends an exception as the outcome of a call that was not begun."""
        self.send(make_frame(ERROR, request, self.error_payload(error), self.shared))

    def send(self, frame: Encoded) -> None:
        """Sends what the socket takes, and leaves the rest to the server's thread."""
        try:
            if not self.stream.send(frame.pieces):
                self._server.ask_to_send(self)
        except OSError:
            pass  # The caller is gone; the server's thread will notice.

    def take_parked(self) -> list[Call]:
        """The calls that are still parked."""
        calls, self.parked = list(self.parked.values()), {}
        return calls


class _Reply:
    """Sends the outcome of a call once, in the thread that has it first.

    For a parked call it takes the place of the event of a waiting thread.
    """

    def __init__(self, connection: _Connection, request: int, num_bytes: int):
        self._connection, self._request = connection, request
        self._num_bytes = num_bytes
        self._call: Call | None = None
        self._is_due = False
        self._lock = connection.replying
        # Whether it goes to a process of the run.
        self.is_trusted = connection.is_trusted

    def send_or_wait(self, call: Call) -> None:
        """Sends the outcome of a call; if it was parked, `set` will do that."""
        with self._lock:
            self._call = call
            if call.wakeup is not None and not self._is_due:
                self._connection.parked[self._request] = call
                return
        self.send(call)

    def set(self) -> Callable[[PayloadCache], None] | None:
        """Called when a parked call has its outcome; returns what sends it."""
        with self._lock:
            self._is_due = True
            call = self._call
        if call is None:
            return None  # `send_or_wait` is still to come.
        self._connection.parked.pop(self._request, None)
        return partial(self.send, call)

    def send(self, call: Call, payloads: PayloadCache | None = None) -> None:
        """Sends the outcome of a call; with `payloads`, as others get it too."""
        # A reference cycle would keep the arguments and their memory.
        self._call, connection = None, self._connection
        if call.error is not None:
            kind, payload = ERROR, connection.error_payload(call.error)
        else:
            try:
                kind, payload = RESULT, connection.payload_of(call, payloads)
            except BaseException as error:
                kind, payload = ERROR, connection.error_payload(_unsent(call, error))
        call.release_outcome()
        connection.answer(kind, self._request, payload, call, self._num_bytes)


def _unsent(call: Call, error: BaseException) -> RpcFailed:
    """The error of a call whose outcome cannot be written, as pickle or as data."""
    why = f"its outcome cannot be sent ({describe(error)}); return numbers, texts, "
    why += "arrays, or other objects that can be written"
    if isinstance(error, RpcError):  # It says itself what to do.
        why = str(error)
    failed = RpcFailed(f"{call.target}: {why}")
    failed.__cause__ = error
    return failed


def _left(limit: float | None) -> float | None:
    return None if limit is None else max(0.0, limit - time.monotonic())

"""A connection to the services of another process, shared by all callers."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from acmelike.core.future import Future
from acmelike.core.leaf import current_leaf, refuse_inside_leaf
from acmelike.core.runtime import current_context, current_deadline
from acmelike.core.status import EdgeMetrics
from acmelike.errors import (
    ConnectionLost,
    RpcClosed,
    RpcError,
    RpcFailed,
    RpcTimeout,
    describe,
)
from acmelike.rpc.call import Request
from acmelike.rpc.failure import from_wire
from acmelike.rpc.freeze import ATOMS, freeze
from acmelike.rpc.sockets.endpoints import (
    HEARTBEAT_SECONDS,
    Address,
    Credentials,
    connect_far,
    connect_near,
)
from acmelike.rpc.sockets.frames import (
    CALL,
    CANCEL,
    RESULT,
    RETURN,
    Frame,
    FrameReader,
    encode,
    make_frame,
    returned,
)
from acmelike.rpc.sockets.greeting import CALLEE_BYTES, greeting, is_same
from acmelike.rpc.sockets.ledger import Holder, Key, Ledger
from acmelike.rpc.sockets.pickle_codec import make_payload
from acmelike.rpc.sockets.shared_memory import SharedMemory
from acmelike.rpc.sockets.stream import Stream

# How long after a call's deadline, which its server keeps, the answer may arrive.
GRACE_SECONDS = 2.0
# How long a message may stop on its way, and how long a caller may read no answers
# while many are kept for it. A node that compiles or evaluates reads nothing for
# minutes.
STUCK_SECONDS = 600.0
_NO_ANSWER = "its process does not answer"
_NOT_TAKEN = "its process does not take the call"
_ENDED = "it has ended"
LOST = "the connection to its process was lost"
_UNKNOWN = "It may have run, and is not repeated: its method is not @idempotent"
# How long a connection to another host may take that is due at once.
_MIN_CONNECT_SECONDS = 0.2
# How long one attempt may take. Another one follows, unless the run has ended, or there
# is a newer address.
_MAX_CONNECT_SECONDS = 5.0
# Deadlines this near to each other are the same one, measured twice.
_SAME_SECONDS = 0.01


class RemoteCall(Future[Any]):
    """A call to another process.

    Attributes:
      target: the method that is called, such as "replay.insert".
      reason: "", as only the callee knows it; `Run.status` adds it.
      deadline: on the monotonic clock, or None.
      is_known: whether the outcome has been read.
      is_lost: whether it ended with its connection, so that it may have run or not.
    """

    reason = ""

    def __init__(
        self,
        channel: Channel,
        number: int,
        target: str,
        deadline: float | None,
        edge: EdgeMetrics | None,
    ):
        self.number, self.target, self.deadline = number, target, deadline
        self._edge = edge
        self._channel = channel
        self.is_known = self.is_lost = False
        self._value: Any = None
        self._error: BaseException | None = None

    @property
    def can_end_alone(self) -> bool:
        """Whether it has a deadline."""
        return self.deadline is not None

    def done(self) -> bool:
        if not self.is_known:
            self._channel.poll()
            # As `wait` does, for a process that does not answer.
            if self.deadline is not None and _is_over(self.deadline + GRACE_SECONDS):
                self._channel.give_up(self, _NO_ANSWER)
        return self.is_known

    def result(self) -> Any:
        if current_leaf() is not None:
            refuse_inside_leaf(f"the result of {self.target}")
        if not self.is_known:
            self.wait()
        if self._error is not None:
            if self.is_lost and (reason := self._channel.why_run_ended()):
                raise RpcClosed(f"{self.target}: {reason}")
            raise self._error
        return self._value

    def wait(self) -> None:
        """Waits for the outcome, or until the deadline of the scope around it.

        Raises:
          RpcTimeout: that deadline passed, and is not the call's own.
        """
        until = current_deadline()
        if until is not None and self.deadline is not None:
            # The call's own deadline is kept by its server, which says why it waited.
            until = until if until < self.deadline - _SAME_SECONDS else None
        context = current_context()
        if context is None:
            self._channel.wait(self, until)
        else:
            with context.metrics.waiting(self):
                self._channel.wait(self, until)
        if not self.is_known:
            raise RpcTimeout(f"{self.target}: its outcome did not come in time")

    def cancel(self) -> None:
        if not self.is_known:
            self._channel.cancel(self)

    def count(self, num_bytes: int) -> None:
        """Adds to the bytes of its edge."""
        if self._edge is not None:
            self._edge.num_bytes += num_bytes

    def settle(self, value: Any, error: BaseException | None) -> None:
        """Records the outcome; only the channel calls this."""
        self._value, self._error, self.is_known = value, error, True

    def lose(self, error: BaseException) -> None:
        """Records that the connection was lost; only the channel calls this."""
        self.is_lost = True
        self.settle(None, error)


class NotSent(ConnectionLost):
    """A call that was not sent, because there is no connection: it has not run."""


class Channel:
    """Makes calls over one connection, which is opened at the first call.

    A connection that is lost is not replaced here: `Peers` makes another channel. A
    call that had been sent ends with ConnectionLost. One that had not raises NotSent.

    It has no thread for reading. Of the threads that wait for an outcome, one reads the
    socket for all of them. A thread that asks whether a future is done reads what has
    arrived.

    Args:
      address: where the other process listens.
      credentials: of this process.
      wait_for_end: returns why the run ended, or None if it does not end soon. If a
        connection is lost because a process died, and the run ends because of that, the
        reason of its end says so.
      holder: of the refs that come; None where none may come.
      heartbeat: a host that has vanished is found after so many seconds at most.

    Attributes:
      address: where the other process listens.
      is_over: whether no call can be sent on it any more.
    """

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        wait_for_end: Callable[[], str | None],
        holder: Holder | None = None,
        heartbeat: float = HEARTBEAT_SECONDS,
    ):
        self.address, self._credentials = address, credentials
        self._wait_for_end, self._heartbeat = wait_for_end, heartbeat
        # Why the run ended, once somebody has waited for that.
        self._why_ended: list[str | None] = []
        self._asking = threading.Lock()
        self._is_near = address.is_near
        self._stream: Stream | None = None
        self._reader: FrameReader | None = None
        # What the other end must send before its first frame.
        self._expected: bytes | None = None
        self._ledger = Ledger(holder, self._give_back, self.poll)
        self._shared = SharedMemory() if self._is_near else None
        if self._shared is not None:
            self._shared.lender.send_withdrawn = self._send_news
            if holder is not None:
                news = partial(holder.later, self._send_news)
                self._shared.borrower.on_released = news
        self._connecting = threading.Lock()
        self._numbers = itertools.count()
        self._calls: dict[int, RemoteCall] = {}
        # Who holds it reads; the others wait until their call is done or nobody reads.
        self._reading = threading.Lock()
        self._changed = threading.Condition()
        self._num_waiting = 0
        # Threads that wait until the other process takes more; they use the socket too.
        self._num_stalled = 0
        self.is_over = self._is_lost = False
        self._closed: str | None = None

    def submit(
        self,
        label: str,
        request: Request,
        edge: EdgeMetrics | None,
        pack: bool = False,
    ) -> RemoteCall:
        """Sends a call of a node's method, compressed if `pack` says so.

        Raises:
          NotSent: the connection is lost, or there is none.
          RpcClosed: the run has ended.
          RpcFailed: the arguments cannot be sent.
        """
        timeout = request.timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        target = f"{label}.{request.method}"
        call = RemoteCall(self, next(self._numbers), target, deadline, edge)
        is_ready = True
        try:
            stream = self._stream  # Mostly it is open; `connect` would say the same.
            if stream is None or self.is_over or not self._is_near:
                stream = self.connect(timeout)
            if stream.num_unsent:
                # What is kept of earlier calls must not become more with every call.
                # In this order, as what is sent meanwhile makes the sum smaller.
                end_of_kept = stream.num_taken + stream.num_unsent
                is_ready = self._send_rest(deadline, end_of_kept)
        except OSError as error:
            raise self._not_sent(target, error) from None
        if not is_ready:
            call.settle(None, RpcTimeout(f"{target}: {_NOT_TAKEN}"))
            return call
        # Processes of one host have one clock.
        until = deadline if self._is_near else timeout
        parts = label, request.method, request.args, request.kwargs, until
        try:
            payload = make_payload((*parts, request.caller))
        except Exception as error:
            raise RpcFailed(
                f"{target}: its arguments cannot be sent ({describe(error)}); give "
                f"numbers, texts, arrays, or other objects that pickle takes"
            ) from error
        frame = make_frame(CALL, call.number, payload, self._shared, pack=pack)
        if payload.refs:
            self._ledger.lend(payload.refs)
        if edge is not None:
            edge.num_bytes += frame.num_bytes
        self._calls[call.number] = call
        end: int | None = None
        try:
            end = stream.put(frame.pieces)
            if end > stream.num_taken:
                if not self._send_rest(deadline, end):
                    self.give_up(call, _NOT_TAKEN)
                elif end > stream.num_taken:
                    raise ConnectionError(_ENDED)  # Before it was all sent.
        except OSError as error:
            if end is not None and stream.num_taken >= end:
                # What was behind it could not be sent. It was, and may have run.
                self.is_over = True
                self.poll()
                return call
            # Part of it may have been sent; a call is begun when all of it is there.
            self._calls.pop(call.number, None)
            raise self._not_sent(target, error) from None
        return call

    def wait(self, call: RemoteCall, until: float | None = None) -> None:
        """Returns when the outcome of the call is known, or the time is `until`."""
        limit = until
        if until is None and call.deadline is not None:
            limit = call.deadline + GRACE_SECONDS
        while not call.is_known:
            if self._reading.acquire(False):
                try:
                    if not self._is_lost:
                        self._read(call, limit)
                finally:
                    self._end_reading()
            else:
                self._wait_for_reader(call, limit)
            if limit is not None and _is_over(limit):
                break
        if not call.is_known and until is None:
            self.give_up(call, _NO_ANSWER)

    def _wait_for_reader(self, call: RemoteCall, limit: float | None) -> None:
        """Waits until the call is done, no thread reads any more, or time is up."""
        with self._changed:
            # Before the look at both: who changes them looks at this afterwards.
            self._num_waiting += 1
            while self._reading.locked() and not call.is_known:
                self._changed.wait(_left(limit))
                if _is_over(limit):
                    break
            self._num_waiting -= 1

    def poll(self) -> None:
        """Reads what has arrived, unless another thread reads."""
        if self._stream is None or self._is_lost:
            return
        if self._reading.acquire(blocking=False):
            try:
                if not self._is_lost:
                    self._read_available()
            finally:
                self._end_reading()

    def cancel(self, call: RemoteCall) -> None:
        """Asks for a parked call to be withdrawn; its outcome then says so."""
        self._send(CANCEL, call.number, None)

    def close(self, reason: str) -> None:
        """Ends every call and wakes the threads that wait."""
        self._closed = self._closed or reason
        self.is_over = True
        if self._stream is not None and not self._is_lost:
            self._stream.end()

    def retire(self) -> None:
        """Ends the connection, because its process is not the one that is meant."""
        self.is_over = True
        if self._stream is not None and not self._is_lost:
            self._stream.end()
            self.poll()

    def why_run_ended(self) -> str | None:
        """Why the run ended; None if it goes on. Waits for the news, but once."""
        with self._asking:
            if not self._why_ended:
                self._why_ended.append(self._closed or self._wait_for_end())
        return self._why_ended[0]

    def dispose(self) -> None:
        """Closes the socket and releases the memory, when no thread calls any more."""
        self._ledger.close()
        if self._shared is not None:
            self._shared.close()
        if self._stream is not None:
            self._stream.close()

    # --- The stream

    def connect(self, seconds: float | None) -> Stream:
        """The connection, which is opened if it is not open.

        Args:
          seconds: that it may take, if that is less than one attempt takes at most.

        Raises:
          OSError: it cannot be opened, or was lost.
          RpcClosed: the run has ended.
          RpcTimeout: another thread has not opened it in time.
        """
        if self._stream is not None and not self.is_over:
            # A call that is sent after the other end has closed the connection would be
            # one that may have run. On one host the system does not take it.
            if self._is_near or not self._stream.has_ended():
                return self._stream
            raise ConnectionError(_ENDED)
        if not self._connecting.acquire(timeout=-1 if seconds is None else seconds):
            raise RpcTimeout("another call has not connected to its process yet")
        try:
            return self._connected(seconds)
        finally:
            self._connecting.release()

    def _connected(self, seconds: float | None) -> Stream:
        if self._closed is not None:
            raise RpcClosed(self._closed)
        if self.is_over:
            raise ConnectionError(_ENDED)
        if self._stream is not None:
            return self._stream
        patience = min(self._heartbeat, _MAX_CONNECT_SECONDS)
        if seconds is not None:
            patience = min(max(seconds, _MIN_CONNECT_SECONDS), patience)
        if self._is_near:
            stream = Stream(connect_near(self.address, patience))
            key, path = self._credentials.key, self.address.path
            hello, self._expected = greeting(key, path)
            try:
                stream.send([hello])
            except OSError:  # It has ended since.
                stream.close()
                raise
        else:
            identity = self._credentials.identity
            if identity is None:
                raise RpcClosed("this run has no edges to other hosts")
            far = connect_far(self.address, identity, patience, self._heartbeat)
            stream = Stream(far)
        self._reader = FrameReader(stream, self._shared, ledger=self._ledger)
        self._stream = stream
        if self.is_over:  # Since it began.
            stream.end()
            self.poll()
            raise ConnectionError(_ENDED)
        return stream

    def _send(self, kind: int, number: int, value: object) -> None:
        """Sends what has no answer."""
        stream = self._stream
        if stream is not None and not self._is_lost:
            with suppress(OSError):  # The connection is lost, and what it was about.
                stream.send(encode(kind, number, value, self._shared).pieces)

    def _give_back(self, key: Key, count: int) -> None:
        self._send(RETURN, 0, (key, count))

    def _send_news(self) -> None:
        """Lets the other end know of memory that is needed no longer."""
        self._send(RETURN, 0, None)

    def _send_rest(self, limit: float | None, end: int) -> bool:
        """Sends what is kept up to `end`, which is as `Stream.put` returns it.

        Returns:
          False if the other process does not take it in time.
        """
        stream = self._stream
        assert stream is not None
        while stream.num_taken < end and not self._is_lost:
            # It may take no more before somebody reads its answers.
            if self._wait_stalled(stream, limit):
                self.poll()
            if _is_over(limit) and stream.num_taken < end:
                return False
        return True

    def _wait_stalled(self, stream: Stream, limit: float | None) -> bool:
        """`stream.wait`, while the socket must not be closed."""
        with self._changed:
            if self._is_lost:
                return False
            self._num_stalled += 1
        try:
            return stream.wait(_left(limit), to_send=True)
        finally:
            with self._changed:
                self._num_stalled -= 1
                self._close_if_lost()

    def give_up(self, call: RemoteCall, why: str) -> None:
        """Ends a call that has no outcome yet."""
        if self._calls.pop(call.number, None) is not None:
            call.settle(None, RpcTimeout(f"{call.target}: {why}"))
            self.cancel(call)

    def _read(self, call: RemoteCall, limit: float | None) -> None:
        """Reads for all callers until this call's outcome is known or time is up."""
        assert self._stream is not None and self._reader is not None
        while not call.is_known:
            left = None if limit is None else _left(limit)
            stuck_at = None
            if not self._reader.is_between_frames:
                # Its end may never come: the other process has its own faults.
                stuck_at = time.monotonic() + STUCK_SECONDS
                left = STUCK_SECONDS if left is None else min(left, STUCK_SECONDS)
            try:
                has_come = self._stream.wait(left)
            except OSError as error:  # What is kept cannot be sent any more.
                self._read_available()  # What came before the end.
                if not self._is_lost:
                    self._lose(error)
                return
            if has_come:
                self._read_available()
            elif _is_over(limit):
                return
            elif _is_over(stuck_at):
                words = f"the end of a message did not come in {STUCK_SECONDS:g} s"
                self._lose(RpcError(words))
                return

    def _read_available(self) -> None:
        assert self._reader is not None
        try:
            if self._expected is not None:
                if not is_same(self._reader.read_bytes(CALLEE_BYTES), self._expected):
                    raise RpcError("who listens there does not belong to this run")
                self._expected = None
            self._dispatch(self._reader.read())
            while not self._reader.has_read_all:
                self._dispatch(self._reader.read())
        except BlockingIOError:
            pass
        except (EOFError, OSError, RpcError) as error:
            self._lose(error)

    def _lose(self, error: BaseException) -> None:
        """The connection has ended, and with it all that was under way on it."""
        self.is_over = self._is_lost = True
        self._ledger.close()
        assert self._stream is not None
        self._stream.end()  # It may be open, and what comes is no answer.
        if self._shared is not None:
            self._shared.close()
        why = _ENDED if isinstance(error, EOFError) else str(error)
        for number in list(self._calls):
            call = self._calls.pop(number, None)
            if call is None:
                continue
            if self._closed is not None:
                call.settle(None, RpcClosed(f"{call.target}: {self._closed}"))
            else:
                call.lose(ConnectionLost(f"{call.target}: {LOST} ({why}). {_UNKNOWN}"))

    def _dispatch(self, frame: Frame) -> None:
        kind, number, value, num_bytes, fault = frame
        if kind == RETURN:
            if (dropped := returned(frame)) is not None:
                self._ledger.take_back(*dropped)
            return
        call = self._calls.pop(number, None)
        if call is None:
            return
        call.count(num_bytes)
        if fault is not None:
            failed = RpcFailed(f"{call.target}: its outcome cannot be read: {fault}")
            failed.__cause__ = fault.__cause__
            call.settle(None, failed)
        elif kind != RESULT:
            call.settle(None, from_wire(value))
        elif type(value) in ATOMS:
            call.settle(value, None)
        else:
            try:
                call.settle(freeze(value), None)
            except Exception as error:  # A class of the user's own: its caller waits.
                call.settle(None, error)
        if self._num_waiting:
            self._wake_waiting()

    def _end_reading(self) -> None:
        self._reading.release()
        if self._is_lost:
            with self._changed:
                self._close_if_lost()
        if self._num_waiting:
            self._wake_waiting()

    def _wake_waiting(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _close_if_lost(self) -> None:
        """Closes the socket of a lost connection as soon as no thread uses it."""
        if self._is_lost and not self._reading.locked() and not self._num_stalled:
            assert self._stream is not None
            self._stream.close()

    def _not_sent(self, target: str, error: OSError) -> RpcClosed:
        """The error of a call that could not be sent."""
        self.is_over = True
        self.poll()  # Whatever has arrived, and the end: all is released then.
        if self._closed is not None:
            return RpcClosed(f"{target}: {self._closed}")
        return NotSent(f"{target}: its process is gone ({error}). It has not run")


def _left(limit: float | None) -> float | None:
    return None if limit is None else max(0.0, limit - time.monotonic())


def _is_over(limit: float | None) -> bool:
    return limit is not None and time.monotonic() >= limit

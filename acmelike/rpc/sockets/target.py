"""A node of another process, and calls of it that outlive a connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from acmelike.core.contract import deadline
from acmelike.core.future import Future
from acmelike.core.leaf import current_leaf, refuse_inside_leaf
from acmelike.core.runtime import seconds_left
from acmelike.core.status import EdgeMetrics
from acmelike.errors import ConnectionLost, RpcClosed, RpcError, RpcTimeout
from acmelike.rpc.call import Request
from acmelike.rpc.sockets.channel import LOST, Channel, NotSent, RemoteCall

# A call is not sent again for ever if its connection is lost again and again, each time
# within so many seconds.
_MAX_LOSSES = 5
_SOON_SECONDS = 1.0
# Between two looks of a caller that does not wait whether the process is back.
_RETRY_SECONDS = 1.0


class RemoteTarget:
    """A node of another process, as a client's target.

    Args:
      label: the node's.
      find_channel: returns a channel to its process, and waits for one until the
        deadline of the calling thread.
      idempotent: the methods whose calls are sent again if their connection is lost.
      pack: whether calls are compressed, if it is on another host.
    """

    def __init__(
        self,
        label: str,
        find_channel: Callable[[], Channel],
        idempotent: frozenset[str] = frozenset(),
        pack: bool = False,
    ):
        self.label, self._pack = label, pack
        self._find_channel, self._idempotent = find_channel, idempotent

    def submit(self, request: Request, edge: EdgeMetrics | None = None) -> Future[Any]:
        """Sends a call."""
        if request.method in self._idempotent:
            return IdempotentCall(self, request, edge)
        return self.send(request, edge)

    def send(
        self, request: Request, edge: EdgeMetrics | None, until: float | None = None
    ) -> RemoteCall | FailedCall:
        """Sends a call once, over another connection if the one there is was lost.

        Args:
          request: what is asked; its timeout becomes what is left of it.
          edge: counts its bytes.
          until: its deadline on the monotonic clock, if it is not the request's timeout
            from now.
        """
        if until is None and request.timeout is not None:
            # To find the channel may take a while, when the run starts.
            until = time.monotonic() + request.timeout
        tried: Channel | None = None
        error: RpcError
        for _ in range(_MAX_LOSSES):
            try:
                channel = self._find_channel()
                if channel is tried:
                    break
                if until is not None:
                    request.timeout = _left(until)
                return channel.submit(self.label, request, edge, self._pack)
            except NotSent as failure:
                error, tried = failure, channel
            except (RpcTimeout, RpcClosed) as failure:
                error = failure
                break
        return FailedCall(error)


class FailedCall(Future[Any]):
    """A call that could not be sent."""

    is_lost = False

    def __init__(self, error: RpcError):
        self.error = error

    def done(self) -> bool:
        return True

    def wait(self) -> None:
        """Returns at once."""

    def result(self) -> Any:
        raise self.error

    def cancel(self) -> None:
        pass


class IdempotentCall(Future[Any]):
    """A call that is sent again whenever its connection is lost, until its deadline.

    Args:
      node: that is called.
      request: what is asked of it.
      edge: counts its bytes.
    """

    def __init__(self, node: RemoteTarget, request: Request, edge: EdgeMetrics | None):
        self._node, self._request, self._edge = node, request, edge
        self._sent_at = time.monotonic()
        timeout = request.timeout
        self._deadline = None if timeout is None else self._sent_at + timeout
        self._num_losses = 0
        # When `done` may try again to send it.
        self._next_try = 0.0
        self._is_cancelled = False
        # Held by the one thread that sends it again.
        self._sending = threading.Lock()
        self._call = node.send(request, edge)

    @property
    def target(self) -> str:
        """The method that is called, such as "replay.info"."""
        return f"{self._node.label}.{self._request.method}"

    def done(self) -> bool:
        call = self._call
        if not call.done():
            return False
        if call.is_lost and self._sending.acquire(blocking=False):
            try:
                self._try_to_send(call)
            finally:
                self._sending.release()
        return not self._call.is_lost and self._call.done()

    def result(self) -> Any:
        if current_leaf() is not None:
            refuse_inside_leaf(f"the result of {self.target}")
        while True:
            call = self._call
            call.wait()
            if not call.is_lost:
                return call.result()
            left = seconds_left()
            if not self._sending.acquire(timeout=-1 if left is None else left):
                raise RpcTimeout(f"{self.target}: its process was not back in time")
            try:
                self._send_again(call)
            finally:
                self._sending.release()

    def cancel(self) -> None:
        self._is_cancelled = True
        self._call.cancel()

    def _try_to_send(self, lost: RemoteCall | FailedCall) -> None:
        """Sends it again if that needs no waiting, and has not just failed."""
        if time.monotonic() < self._next_try:
            return
        try:
            with deadline(0.0):
                self._send_again(lost)
        except RpcTimeout:
            self._next_try = time.monotonic() + _RETRY_SECONDS

    def _send_again(self, lost: RemoteCall | FailedCall) -> None:
        """Sends it again, unless another thread has, or it ends here.

        Raises:
          RpcTimeout: the deadline of the scope around it passed, before that of the
            call. It can still be sent.
        """
        if self._call is not lost:
            return
        if self._is_cancelled:
            words = "cancelled by its caller"
            self._call = FailedCall(RpcClosed(f"{self.target}: {words}"))
            return
        is_soon = time.monotonic() < self._sent_at + _SOON_SECONDS
        self._num_losses = self._num_losses + 1 if is_soon else 0
        if self._num_losses == _MAX_LOSSES:
            words = f"it was sent {_MAX_LOSSES} times, and each time {LOST} at once"
            self._call = FailedCall(ConnectionLost(f"{self.target}: {words}"))
            return
        with deadline(_left(self._deadline)):
            call = self._node.send(self._request, self._edge, self._deadline)
        if isinstance(call, FailedCall) and isinstance(call.error, RpcTimeout):
            if _left(self._deadline) != 0.0:
                raise call.error
        self._call, self._sent_at = call, time.monotonic()
        if self._is_cancelled:  # While it waited for the process.
            call.cancel()


def _left(limit: float | None) -> float | None:
    return None if limit is None else max(0.0, limit - time.monotonic())

"""Batches: samples of one table, requested ahead of need."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator

from acmelike.core import Future, deadline, prefetch_depth, start
from acmelike.errors import ConfigError, RpcTimeout
from acmelike.replay.results import Sample
from acmelike.replay.service.replay import Replay
from acmelike.replay.service.sample_cursors import SampleCursor


class Batches(Iterator[Sample]):
    """Iterates over samples of one table, until it is closed.

    A caller that has other work to do requests the next few samples with `prefetch`,
    and they arrive meanwhile. Under `serial` and outside a run, nothing is requested
    ahead of need. A batch counts as sampled when replay draws it. After `close`,
    samples that were drawn and not used no longer count; see `Replay.close_cursor`.

    Args:
      replay: the replay service, or a client of it.
      table: the table's name.
      batch_size: items in each sample.
      num_prefetch: samples to request ahead of need.
      timeout: seconds that a caller waits for a sample before the iteration ends; None
        to wait as long as the run lasts.

    Attributes:
      batch_size: items in each sample.

    Raises:
      ConfigError: `batch_size` is below 1 or `num_prefetch` below 0.
    """

    def __init__(
        self,
        replay: Replay,
        table: str,
        *,
        batch_size: int,
        num_prefetch: int = 2,
        timeout: float | None = None,
    ):
        if batch_size < 1 or num_prefetch < 0:
            raise ConfigError(
                "expected batch_size >= 1 and num_prefetch >= 0, got "
                f"{batch_size} and {num_prefetch}"
            )
        self._replay, self._table, self.batch_size = replay, table, batch_size
        self._num_prefetch, self._timeout = num_prefetch, timeout
        self._outstanding: deque[Future[Sample]] = deque()
        self._cursor = SampleCursor(secrets.randbits(62), num_used=0)
        self._is_closed = False

    def __next__(self) -> Sample:
        """Waits for the next sample.

        Raises:
          StopIteration: it was closed, or no sample came within `timeout`.
          RpcTimeout: there is no `timeout`, and the deadline of the scope around it
            passed.
        """
        if self._is_closed:
            raise StopIteration
        sample = self._receive()
        self._cursor = self._cursor._replace(num_used=self._cursor.num_used + 1)
        return sample

    def prefetch(self) -> None:
        """Requests samples ahead of need, and does not wait for them."""
        while len(self._outstanding) < prefetch_depth(self._num_prefetch):
            self._outstanding.append(
                start(self._replay.sample, self._table, self.batch_size, self._cursor)
            )

    def is_ready(self) -> bool:
        """Whether the next sample is here, so that `next` would not wait for it."""
        return bool(self._outstanding) and self._outstanding[0].done()

    def is_ahead(self) -> bool:
        """Whether samples have been requested ahead of need."""
        return bool(self._outstanding)

    def close(self) -> None:
        """Cancels pending requests, and returns the samples that were not used."""
        if self._is_closed:
            return
        self._is_closed = True
        while self._outstanding:
            self._outstanding.popleft().cancel()
        self._replay.close_cursor(self._cursor)

    def _receive(self) -> Sample:
        try:
            with deadline(self._timeout):
                return self._wait()
        except RpcTimeout as error:
            if self._timeout is None:
                raise  # It is the deadline of the scope around it.
            raise StopIteration from error

    def _wait(self) -> Sample:
        if self._outstanding:
            try:
                return self._outstanding[0].result()
            except RpcTimeout:
                if not self._outstanding[0].done():
                    raise  # The request is still under way; the next call waits for it.
            finally:
                if self._outstanding[0].done():
                    self._outstanding.popleft()
        return self._replay.sample(self._table, self.batch_size, self._cursor)

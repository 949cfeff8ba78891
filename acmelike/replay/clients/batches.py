"""Batches: samples of one table, asked for ahead of need."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator

from acmelike.core import Future, future, now, prefetch_depth, within
from acmelike.errors import ConfigError, RpcTimeout
from acmelike.replay.results import Sample
from acmelike.replay.service.replay import Replay
from acmelike.replay.service.sample_cursors import SampleCursor


class Batches(Iterator[Sample]):
    """Samples of one table, one after the other, until it is closed.

    A caller that has work to do for a while asks for the next few with `prefetch`, and
    they come meanwhile. Under `serial` and outside a run nothing happens ahead of need.
    A batch counts as sampled when replay draws it. When this is closed, those that were
    drawn and not used count no more; see `Replay.close_cursor`.

    Args:
      replay: the replay service, or a client of it.
      table: the table's name.
      batch_size: items in each sample.
      num_prefetch: samples to ask for ahead of need.
      timeout: seconds that a caller waits for a sample before the iteration ends; None
        to wait as long as the run goes on.
      stage: what is done to a sample as soon as it is here, such as putting it on a
        device.

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
        stage: Callable[[Sample], Sample] | None = None,
    ):
        if batch_size < 1 or num_prefetch < 0:
            raise ConfigError(
                "expected batch_size >= 1 and num_prefetch >= 0, got "
                f"{batch_size} and {num_prefetch}"
            )
        self._replay, self._table, self.batch_size = replay, table, batch_size
        self._num_prefetch, self._timeout, self._stage = num_prefetch, timeout, stage
        self._outstanding: deque[Future[Sample]] = deque()
        self._staged: deque[Sample] = deque()
        self._cursor = SampleCursor(secrets.randbits(62), num_used=0)
        self._is_closed = False

    def __next__(self) -> Sample:
        """Waits for the next sample.

        Raises:
          StopIteration: it was closed, or there was none in time.
        """
        if self._is_closed:
            raise StopIteration
        sample = self._staged.popleft() if self._staged else self._receive()
        self._cursor = self._cursor._replace(num_used=self._cursor.num_used + 1)
        return sample

    def prefetch(self) -> None:
        """Asks for samples ahead of need, and does not wait for them."""
        while self._stage and self._outstanding and self._outstanding[0].done():
            try:
                sample = self._outstanding.popleft().result()
            except RpcTimeout:
                continue  # Nobody waited for it, and it is asked for again.
            self._staged.append(self._stage(sample))
        wanted = prefetch_depth(self._num_prefetch) - len(self._staged)
        while len(self._outstanding) < wanted:
            call = future(self._method(self._timeout))
            self._outstanding.append(call(self._table, self.batch_size, self._cursor))

    def is_ready(self) -> bool:
        """Whether the next sample is here, so that nobody would wait for it."""
        if self._staged:
            return True
        return bool(self._outstanding) and self._outstanding[0].done()

    def is_ahead(self) -> bool:
        """Whether samples have been asked for ahead of need."""
        return bool(self._staged or self._outstanding)

    def close(self) -> None:
        """Withdraws the samples that were asked for and not used."""
        if self._is_closed:
            return
        self._is_closed = True
        self._staged.clear()
        while self._outstanding:
            self._outstanding.popleft().cancel()
        self._replay.close_cursor(self._cursor)

    def _receive(self) -> Sample:
        deadline = None if self._timeout is None else now() + self._timeout
        sample = self._wait(deadline) if self._outstanding else self._ask(deadline)
        return sample if self._stage is None else self._stage(sample)

    def _wait(self, deadline: float | None) -> Sample:
        try:
            return self._outstanding.popleft().result()
        except RpcTimeout:
            # It was asked for some time ago, so there is time left to ask again.
            return self._ask(deadline)

    def _ask(self, deadline: float | None) -> Sample:
        seconds = None if deadline is None else max(0.0, deadline - now())
        try:
            return self._method(seconds)(self._table, self.batch_size, self._cursor)
        except RpcTimeout as error:
            raise StopIteration from error

    def _method(
        self, seconds: float | None
    ) -> Callable[[str, int, SampleCursor], Sample]:
        sample = self._replay.sample
        return sample if seconds is None else within(seconds, sample)

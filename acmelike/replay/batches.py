"""Batches: samples of one table, asked for ahead of need."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from acmelike.core import Future, future, num_outstanding
from acmelike.errors import ConfigError
from acmelike.replay.results import Sample
from acmelike.replay.service import Replay


class Batches(Iterator[Sample]):
    """Samples of one table, one after the other, until it is closed.

    A caller that has work to do for a while asks for the next few with `prefetch`, and
    they come meanwhile. Under `serial` and outside a run nothing happens ahead of need.
    A batch counts as sampled when replay draws it.

    Args:
      replay: the replay service, or a client of it.
      table: the table's name.
      batch_size: items in each sample.
      num_prefetch: samples to ask for ahead of need.

    Attributes:
      batch_size: items in each sample.

    Raises:
      ConfigError: `batch_size` is below 1 or `num_prefetch` below 0.
    """

    def __init__(
        self, replay: Replay, table: str, *, batch_size: int, num_prefetch: int = 2
    ):
        if batch_size < 1 or num_prefetch < 0:
            raise ConfigError(
                "expected batch_size >= 1 and num_prefetch >= 0, got "
                f"{batch_size} and {num_prefetch}"
            )
        self._replay, self._table, self.batch_size = replay, table, batch_size
        self._num_prefetch = num_prefetch
        self._outstanding: deque[Future[Sample]] = deque()
        self._is_closed = False

    def __next__(self) -> Sample:
        """Waits for the next sample.

        Raises:
          StopIteration: it was closed.
        """
        if self._is_closed:
            raise StopIteration
        if self._outstanding:
            return self._outstanding.popleft().result()
        return self._replay.sample(self._table, self.batch_size)

    def prefetch(self) -> None:
        """Asks for samples ahead of need, and does not wait for them."""
        while len(self._outstanding) < num_outstanding(self._num_prefetch):
            call = future(self._replay.sample)(self._table, self.batch_size)
            self._outstanding.append(call)

    def close(self) -> None:
        """Withdraws the samples that were asked for and not taken."""
        self._is_closed = True
        while self._outstanding:
            self._outstanding.popleft().cancel()

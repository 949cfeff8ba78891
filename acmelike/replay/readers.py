"""What readers have asked for ahead of need: drawn, and not used yet."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from acmelike.types import Array


class Drawn(NamedTuple):
    """A sample that a reader has not used yet, as far as is known.

    Attributes:
      table: its name.
      keys: `[n]` of its items.
    """

    table: str
    keys: Array


class Reader(NamedTuple):
    """Who asks for samples ahead of need.

    Attributes:
      number: one that nobody else has.
      num_used: samples that it has used so far.
    """

    number: int
    num_used: int


class Readers:
    """Keeps the samples of each reader until it says that it has used them."""

    def __init__(self) -> None:
        self._num_used: dict[int, int] = {}
        self._drawn: dict[int, deque[Drawn]] = {}

    def draw(self, reader: Reader, drawn: Drawn) -> None:
        """Notes a new sample, and which of the earlier ones are used."""
        earlier = self._drawn.setdefault(reader.number, deque())
        for _ in range(reader.num_used - self._num_used.get(reader.number, 0)):
            earlier.popleft()
        self._num_used[reader.number] = reader.num_used
        earlier.append(drawn)

    def num_ahead(self, table: str) -> int:
        """Items of a table that were drawn and not used yet."""
        return sum(
            len(drawn.keys)
            for samples in self._drawn.values()
            for drawn in samples
            if drawn.table == table
        )

    def close(self, reader: Reader) -> list[Drawn]:
        """Forgets a reader; returns what it will not use."""
        num_used = self._num_used.pop(reader.number, 0)
        left = list(self._drawn.pop(reader.number, ()))
        return left[reader.num_used - num_used :]

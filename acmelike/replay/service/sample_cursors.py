"""What readers have asked for ahead of need: drawn, and not used yet."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import NamedTuple

from acmelike.types import Array

# Of readers that say nothing any more, such as those of learners that died, only so
# many are remembered.
_MAX_READERS = 100


class Drawn(NamedTuple):
    """A sample that a reader has not used yet, as far as is known.

    Attributes:
      table: its name.
      keys: `[n]` of its items.
    """

    table: str
    keys: Array


class SampleCursor(NamedTuple):
    """Who asks for samples ahead of need.

    Attributes:
      number: one that nobody else has.
      num_used: samples that it has used so far.
    """

    number: int
    num_used: int


@dataclass
class _Reader:
    """One reader.

    Attributes:
      num_used: samples that it has used, as far as is known.
      drawn: those that it has not, the oldest first.
    """

    num_used: int = 0
    drawn: deque[Drawn] = field(default_factory=deque)

    def use(self, num_used: int) -> None:
        """So many samples are used by now."""
        # Some may be of a replay before this one, which knows nothing of them.
        for _ in range(min(num_used - self.num_used, len(self.drawn))):
            self.drawn.popleft()
        self.num_used = max(self.num_used, num_used)


class SampleCursors:
    """Keeps the samples of each reader until it says that it has used them.

    Whoever has not asked for longest is forgotten when there are too many, as one that
    died cannot be told from one that is slow; its samples count as used.
    """

    def __init__(self) -> None:
        self._readers: OrderedDict[int, _Reader] = OrderedDict()

    def draw(self, reader: SampleCursor, drawn: Drawn) -> None:
        """Notes a new sample, and which of the earlier ones are used."""
        known = self._readers.setdefault(reader.number, _Reader())
        self._readers.move_to_end(reader.number)
        known.use(reader.num_used)
        known.drawn.append(drawn)
        if len(self._readers) > _MAX_READERS:
            self._readers.popitem(last=False)

    def num_ahead(self, table: str) -> int:
        """Items of a table that were drawn and not used yet."""
        return sum(
            len(drawn.keys)
            for known in self._readers.values()
            for drawn in known.drawn
            if drawn.table == table
        )

    def reset(self, table: str) -> None:
        """Forgets the items of a table; their samples are still to be used in turn."""
        for known in self._readers.values():
            known.drawn = deque(
                drawn._replace(keys=drawn.keys[:0]) if drawn.table == table else drawn
                for drawn in known.drawn
            )

    def close(self, reader: SampleCursor) -> list[Drawn]:
        """Forgets a reader; returns what it will not use."""
        known = self._readers.pop(reader.number, None)
        if known is None:
            return []
        known.use(reader.num_used)
        return list(known.drawn)

"""Who has a ref of which stored value: one account for each end of a connection.

A ref (`Ref`) travels inside any message. Whoever sends it keeps the value for the
other end, until that has dropped the ref and says so, or the connection ends. If the
other end sends it on, it keeps its own ref in the same way. So the value lives as
long as somebody can ask for it, nobody counts for all, and what a killed process held
is released with its connections.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

# Each incarnation of a process has so many numbers for the values that it stores.
NUMBERS_PER_INCARNATION = 2**40


class Key(NamedTuple):
    """Names a stored value.

    Attributes:
      owner: the label of a node of the process that stores it.
      number: its number there, which no other incarnation of the process gives.
    """

    owner: str
    number: int

    @property
    def incarnation(self) -> int:
        """Of the process that stores it."""
        return self.number // NUMBERS_PER_INCARNATION


class LentRef(Protocol):
    """A ref, as the ledger knows it."""

    @property
    def key(self) -> Key | None:
        """Names the value; None if it is stored for no other process."""


class Holder(Protocol):
    """What has the refs of a process: its store."""

    def arrive(self, key: Key, num_bytes: int, ledger: Ledger) -> LentRef:
        """The ref that came with a message."""

    def watch(self, ledger: Ledger) -> None:
        """From now on calls `poll` of a ledger now and then, until it is closed."""

    def later(self, call: Callable[[], None]) -> None:
        """Calls a function soon, in a thread that holds no lock; at any moment."""


class Ledger:
    """The refs that went to the other end of a connection.

    Args:
      holder: of the refs that come; None where none may come.
      give_back: tells the other end that so many of a ref were dropped here.
      poll: reads what the other end has told; None where that is read anyway.

    Attributes:
      holder, give_back, poll: the same.
      is_closed: whether the connection has ended.
    """

    def __init__(
        self,
        holder: Holder | None,
        give_back: Callable[[Key, int], None],
        poll: Callable[[], None] | None = None,
    ):
        self.holder, self.give_back, self.poll = holder, give_back, poll
        self.is_closed = False
        self._lock = threading.Lock()
        self._lent: dict[Key, tuple[LentRef, int]] = {}

    def lend(self, refs: Iterable[LentRef]) -> None:
        """Keeps refs that go to the other end."""
        with self._lock:
            for ref in refs:
                if ref.key is not None and not self.is_closed:
                    _, count = self._lent.get(ref.key, (ref, 0))
                    self._lent[ref.key] = ref, count + 1
        if self.holder is not None and self.poll is not None:
            self.holder.watch(self)

    def take_back(self, key: Key, count: int) -> None:
        """The other end has dropped so many of a ref."""
        with self._lock:
            ref, num_lent = self._lent.pop(key, (None, 0))
            if ref is not None and num_lent > count:
                self._lent[key] = ref, num_lent - count

    def close(self) -> None:
        """The connection has ended."""
        with self._lock:
            self.is_closed, lent = True, self._lent
            self._lent = {}
            # They know the connection, which would be kept until a garbage collection.
            self.give_back, self.poll = _to_nobody, None
        del lent  # Without the lock: code of any kind runs when values end.


def _to_nobody(key: Key, count: int) -> None:
    """Tells nobody of a ref: the other end is gone."""


class _Current(threading.local):
    """Of the message that a thread pickles or unpickles.

    Attributes:
      refs: those that were pickled; None before the first.
      ledger: of the connection on which the last message came.
    """

    refs: list[LentRef] | None = None
    ledger: Ledger | None = None


current = _Current()

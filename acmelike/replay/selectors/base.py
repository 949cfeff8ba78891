"""What a selector is; yours may be one too."""

from __future__ import annotations

from typing import Protocol, TypeGuard, runtime_checkable

import numpy as np

from acmelike.types import Array


class Selector(Protocol):
    """Keeps track of the slots that hold an item, and picks some of them.

    Slots are `[n]` integers within [0, max_size), without repetition if nothing else is
    said; priorities are `[n]` float64, finite and not negative. Callers insert slots
    that are not held, and delete and update slots that are.

    A selector may have an attribute `slot_bytes`, what a slot takes in it; see
    `TableInfo.num_index_bytes`.

    Only an `OrderedSelector` can rely on age. To any other, slots may come again as if
    they were the youngest: those that a sample takes out until it is complete, without
    replacement or with `max_times_sampled`, and those of a restored table.
    """

    def insert(self, slots: Array, priorities: Array) -> None:
        """Adds slots, in the order of their age; the last is the youngest."""

    def delete(self, slots: Array) -> None:
        """Removes slots."""

    def update(self, slots: Array, priorities: Array) -> None:
        """Changes priorities; a slot may be repeated, with the same one each time."""

    def sample(self, num_items: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Picks one slot after the other, of those held now; at least one is.

        Returns:
          Slots `[n]` int64, of which each is picked without regard to the others, and
          the probability `[n]` float64, above 0, that a pick would be this slot.
        """


@runtime_checkable
class OrderedSelector(Selector, Protocol):
    """A selector without chance: there is a first slot, a second, and so on.

    A sample is the first slot each time, with probability 1.
    """

    def first(self, num_items: int) -> Array:
        """The first slots in order, `[n]` int64; fewer if fewer are held."""

    def insertion_order(self) -> Array:
        """All slots, in an order of insertion that would make the same selector.

        Returns:
          `[m]` integers in an array of its own, of which those below 0 are no slots.
        """


def is_ordered(selector: Selector) -> TypeGuard[OrderedSelector]:
    """What `isinstance` says, which looks at every method again at every sample."""
    return issubclass(type(selector), OrderedSelector)


def index_dtype(max_size: int) -> type[np.signedinteger]:
    """For slots: half the memory, unless the table is larger than any is."""
    return np.int32 if max_size < 2**29 else np.int64

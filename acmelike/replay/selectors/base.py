"""What a selector is; yours may be one too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeGuard, runtime_checkable

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


# For slots `[k]`, how often each may be picked: `[k]` integers above 0.
Quota: TypeAlias = Callable[[Array], Array]


def draw(
    selector: Selector,
    num_items: int,
    quota: Quota | None,
    priorities: Array,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Picks items, each as often as its quota allows; see `draw_by_chance`."""
    if quota is None:
        return selector.sample(num_items, rng)
    if is_ordered(selector):
        return _draw_in_order(selector, num_items, quota)
    return draw_by_chance(selector, num_items, quota, priorities, rng)


def _draw_in_order(
    selector: OrderedSelector, num_items: int, quota: Quota
) -> tuple[Array, Array]:
    """The first slots, each as often as its quota allows."""
    first = selector.first(num_items)
    return np.repeat(first, quota(first))[:num_items], np.ones(num_items)


def draw_by_chance(
    selector: Selector,
    num_items: int,
    quota: Quota,
    priorities: Array,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Picks one item after the other; one whose quota is used up is out of the game.

    A pick that falls on an item that is out is made again. What remains are picks from
    the others, whose probabilities are larger by the share of those that are out.

    Args:
      selector: holds at least one item for each pick, quotas counted.
      num_items: n.
      quota: how often each may be picked.
      priorities: `[max_size]`, of every slot.
      rng: a stream of randomness.

    Returns:
      Slots `[n]` int64 and probabilities `[n]` float64 of each pick when it was made.
    """
    slots, probabilities = np.empty(num_items, np.int64), np.empty(num_items)
    left: dict[int, int] = {}
    out: list[int] = []
    share_out, num_picked, removed = 0.0, 0, []
    while num_picked < num_items:
        num_before = num_picked
        picked, chances = selector.sample(num_items - num_picked, rng)
        for slot, most in zip(picked.tolist(), quota(picked).tolist(), strict=True):
            left.setdefault(slot, most)
        for slot, chance in zip(picked.tolist(), chances.tolist(), strict=True):
            if left[slot] == 0:
                continue
            slots[num_picked] = slot
            probabilities[num_picked] = min(1.0, chance / (1 - share_out))
            num_picked += 1
            left[slot] -= 1
            if left[slot] == 0:
                share_out += chance
                out.append(slot)
        if num_picked - num_before < len(picked) / 2 and num_picked < num_items:
            # Most picks fall on what is out: until the end, it is not there.
            selector.delete(np.array(out))
            removed += out
            out, share_out = [], 0.0
    if removed:
        selector.insert(np.array(removed), priorities[removed])
    return slots, probabilities

"""The protocol of a selector, and how a table draws from one when items have quotas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np

from acmelike.types import Array


class Selector(Protocol):
    """Knows which slots hold an item, and chooses some of them.

    Slots are `[n]` integers within [0, max_size), without repetition unless said
    otherwise. Priorities are `[n]` float64, finite and not negative. Callers insert
    slots that are not held, and delete and update slots that are.

    A selector may have an attribute `slot_bytes`, the memory that a slot takes in it;
    see `TableInfo.num_index_bytes`.

    Only an `OrderedSelector` may depend on the age of a slot. Any other selector may
    get old slots as if they were new: slots that a sample removes until it is complete
    (without replacement or with `max_times_sampled`), and slots of a restored table.
    """

    def insert(self, slots: Array, priorities: Array) -> None:
        """Adds slots, from the oldest to the youngest."""

    def delete(self, slots: Array) -> None:
        """Removes slots."""

    def update(self, slots: Array, priorities: Array) -> None:
        """Changes priorities; a slot may repeat, with the same priority each time."""

    def sample(self, num_items: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draws slots independently from those held; at least one is held.

        Returns:
          Slots `[n]` int64, and the probability `[n]` float64, above 0, of each draw.
        """


@runtime_checkable
class OrderedSelector(Selector, Protocol):
    """A selector without randomness: its slots have an order.

    A sample is the first slot each time, with probability 1.
    """

    def first(self, num_items: int) -> Array:
        """The first slots in order, `[n]` int64; fewer if fewer are held."""

    def insertion_order(self) -> Array:
        """All slots, in an order of insertion that would produce this selector.

        Returns:
          `[m]` integers in a new array; integers below 0 are not slots.
        """


def is_ordered(selector: Selector) -> TypeGuard[OrderedSelector]:
    """Replaces `isinstance`, which would check every method again at every sample."""
    return issubclass(type(selector), OrderedSelector)


def index_dtype(max_size: int) -> type[np.signedinteger]:
    """The dtype for slots: int32, which takes half the memory, where it is enough."""
    return np.int32 if max_size < 2**29 else np.int64


# For slots `[k]`, how often each may be drawn: `[k]` integers above 0.
Quota: TypeAlias = Callable[[Array], Array]


def draw(
    selector: Selector,
    num_items: int,
    quota: Quota | None,
    priorities: Array,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Draws slots, each at most as often as its quota allows.

    Args:
      selector: holds at least `num_items` slots, counted with their quotas.
      num_items: n.
      quota: how often each slot may be drawn; None for any number of times.
      priorities: `[max_size]`, of every slot.
      rng: the random stream.

    Returns:
      Slots `[n]` int64, and the probability `[n]` float64 of each draw when it was
      made.
    """
    if quota is None:
        return selector.sample(num_items, rng)
    if is_ordered(selector):
        first = selector.first(num_items)
        counts = np.minimum(quota(first), num_items)
        return np.repeat(first, counts)[:num_items], np.ones(num_items)
    return draw_with_rejection(selector, num_items, quota, priorities, rng)


def draw_with_rejection(
    selector: Selector,
    num_items: int,
    quota: Quota,
    priorities: Array,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Draws slots one after the other; a slot whose quota is used up is excluded.

    A draw that falls on an excluded slot is rejected and repeated. So the other slots
    are drawn with probabilities divided by one minus the share of the excluded ones.
    Arguments and results are those of `draw`.
    """
    slots, probabilities = np.empty(num_items, np.int64), np.empty(num_items)
    num_allowed: dict[int, int] = {}
    excluded: list[int] = []
    excluded_share, num_drawn, removed = 0.0, 0, []
    while num_drawn < num_items:
        num_before = num_drawn
        drawn, chances = selector.sample(num_items - num_drawn, rng)
        for slot, allowed in zip(drawn.tolist(), quota(drawn).tolist(), strict=True):
            num_allowed.setdefault(slot, allowed)
        for slot, chance in zip(drawn.tolist(), chances.tolist(), strict=True):
            if num_allowed[slot] == 0:
                continue
            slots[num_drawn] = slot
            probabilities[num_drawn] = min(1.0, chance / (1 - excluded_share))
            num_drawn += 1
            num_allowed[slot] -= 1
            if num_allowed[slot] == 0:
                excluded_share += chance
                excluded.append(slot)
        if num_drawn - num_before < len(drawn) / 2 and num_drawn < num_items:
            # Most draws were rejected: take the excluded slots out of the selector
            # until the sample is complete.
            selector.delete(np.array(excluded))
            removed += excluded
            excluded, excluded_share = [], 0.0
    if removed:
        selector.insert(np.array(removed), priorities[removed])
    return slots, probabilities

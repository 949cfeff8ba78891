"""Live samplers: which slots of a table a sample draws, and how likely each was."""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain, islice, repeat
from typing import Protocol

import numpy as np

from acmelike.replay import config as config_lib
from acmelike.replay.sum_tree import SumTree
from acmelike.types import Array

# Weights are cut here, so that no sum of them overflows.
_MAX_WEIGHT = 1e200


class Selector(Protocol):
    """Keeps track of the slots that hold an item, and draws from them.

    Slots are `[n]` int64 within [0, max_size), without repetition except in `update`;
    priorities are `[n]` float64. Callers insert slots that are not held, and delete and
    update slots that are.
    """

    def insert(self, slots: Array, priorities: Array) -> None:
        """Adds slots, in the order of their age; the last is the youngest.

        Raises:
          ValueError: a priority is negative or not finite; nothing was changed.
        """

    def delete(self, slots: Array) -> None:
        """Removes slots."""

    def update(self, slots: Array, priorities: Array) -> None:
        """Changes priorities; the last wins where a slot is given more than once.

        Raises:
          ValueError: a priority is negative or not finite; nothing was changed.
        """

    def sample(self, num_items: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draws slots `[n]` int64, and the probability `[n]` float64 of each.

        Raises:
          ValueError: no slot is held.
        """


def make_selector(config: config_lib.SamplerConfig, max_size: int) -> Selector:
    """The live sampler of a table of `max_size` slots."""
    if isinstance(config, config_lib.Prioritized):
        return PrioritizedSelector(max_size, config.exponent)
    if isinstance(config, config_lib.Uniform):
        return UniformSelector(max_size)
    return FifoSelector()


def checked_priorities(priorities: Array, num_items: int) -> Array:
    """Priorities as `[num_items]` float64.

    Raises:
      ValueError: they have another shape, or one is negative or not finite.
    """
    priorities = np.asarray(priorities, np.float64)
    if priorities.shape != (num_items,):
        raise ValueError(
            f"expected priorities of shape ({num_items},), got {priorities.shape}"
        )
    usable = (priorities >= 0) & (priorities < np.inf)
    if not usable.all():
        raise ValueError(
            f"expected finite priorities >= 0, got {priorities[np.argmin(usable)]}"
        )
    return priorities


class UniformSelector:
    """Draws every slot with the same probability, with replacement."""

    def __init__(self, max_size: int):
        # The slots held, in no order and without gaps; and where each slot is therein.
        self._held = np.empty(max_size, np.int64)
        self._position = np.full(max_size, -1, np.int64)
        self._size = 0

    def insert(self, slots: Array, priorities: Array) -> None:
        """See `Selector.insert`."""
        checked_priorities(priorities, len(slots))
        size = self._size + len(slots)
        self._held[self._size : size] = slots
        self._position[slots] = np.arange(self._size, size)
        self._size = size

    def delete(self, slots: Array) -> None:
        """See `Selector.delete`."""
        gaps = self._position[slots]
        self._position[slots] = -1
        size = self._size - len(slots)
        tail = self._held[size : self._size]
        movers = tail[self._position[tail] >= 0]
        gaps = gaps[gaps < size]
        self._held[gaps] = movers
        self._position[movers] = gaps
        self._size = size

    def update(self, slots: Array, priorities: Array) -> None:
        """See `Selector.update`."""
        checked_priorities(priorities, len(slots))

    def sample(self, num_items: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """See `Selector.sample`."""
        _check_not_empty(self._size)
        slots = self._held[rng.integers(self._size, size=num_items)]
        return slots, np.full(num_items, 1 / self._size)


class PrioritizedSelector:
    """Draws in proportion to a power of the priority, with replacement."""

    def __init__(self, max_size: int, exponent: float):
        self._exponent = exponent
        self._tree = SumTree(max_size)
        self._uniform = UniformSelector(max_size)

    def insert(self, slots: Array, priorities: Array) -> None:
        """See `Selector.insert`."""
        weights = self._weights(slots, priorities)
        self._uniform.insert(slots, priorities)
        self._tree.set(slots, weights)

    def delete(self, slots: Array) -> None:
        """See `Selector.delete`."""
        self._uniform.delete(slots)
        self._tree.set(slots, np.zeros(len(slots)))

    def update(self, slots: Array, priorities: Array) -> None:
        """See `Selector.update`."""
        self._tree.set(slots, self._weights(slots, priorities))

    def sample(self, num_items: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """See `Selector.sample`."""
        total = self._tree.total
        if total == 0:
            return self._uniform.sample(num_items, rng)
        slots = self._tree.find(rng.random(num_items) * total)
        return slots, self._tree.get(slots) / total

    def _weights(self, slots: Array, priorities: Array) -> Array:
        priorities = checked_priorities(priorities, len(slots))
        with np.errstate(over="ignore"):
            weights = np.minimum(priorities**self._exponent, _MAX_WEIGHT)
        return np.where(priorities > 0, weights, 0.0)


class FifoSelector:
    """Takes the oldest slots in order, from the oldest again when all were taken."""

    def __init__(self) -> None:
        self._by_age: OrderedDict[int, None] = OrderedDict()

    def insert(self, slots: Array, priorities: Array) -> None:
        """See `Selector.insert`."""
        checked_priorities(priorities, len(slots))
        self._by_age.update(dict.fromkeys(slots.tolist()))

    def delete(self, slots: Array) -> None:
        """See `Selector.delete`."""
        for slot in slots.tolist():
            del self._by_age[slot]

    def update(self, slots: Array, priorities: Array) -> None:
        """See `Selector.update`."""
        checked_priorities(priorities, len(slots))

    def sample(self, num_items: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """See `Selector.sample`."""
        _check_not_empty(len(self._by_age))
        oldest = islice(chain.from_iterable(repeat(self._by_age)), num_items)
        return np.fromiter(oldest, np.int64, num_items), np.ones(num_items)


def _check_not_empty(size: int) -> None:
    if size == 0:
        raise ValueError("expected at least 1 item to sample from, got 0")

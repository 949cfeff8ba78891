"""Samples of items that may not be taken any number of times."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from acmelike.replay.selectors import OrderedSelector, Selector, is_ordered
from acmelike.types import Array

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

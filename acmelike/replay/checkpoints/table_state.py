"""What a checkpoint has of a table besides the contents of its items."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from acmelike.errors import ConfigError
from acmelike.replay.config import TableConfig
from acmelike.replay.limiters import limits
from acmelike.replay.selectors import Selector, is_ordered, make_selector
from acmelike.replay.storage.row_subset import RowSubset
from acmelike.replay.storage.snapshot import Snapshot
from acmelike.types import Array

# What a checkpoint may say in the place of the code, besides the limiter.
_LIMITS = ("max_size", "max_bytes", "max_times_sampled", "replacement")
_LIMITERS = {
    kind.__name__: kind
    for kind in (
        limits.MinSize,
        limits.SamplesPerInsert,
        limits.Queue,
        limits.Stack,
        limits.Raw,
    )
}


def limits_to_json(config: TableConfig) -> dict[str, Any]:
    """The limits of a table; of a limiter that is not one of ours, only its name."""
    limiter: Any = config.rate_limiter
    kind = type(limiter).__name__
    settings = asdict(limiter) if _LIMITERS.get(kind) is type(limiter) else None
    values = {name: getattr(config, name) for name in _LIMITS}
    return values | {"limiter": kind, "settings": settings}


def with_limits(config: TableConfig, saved: dict[str, Any]) -> TableConfig:
    """A table with the limits that were saved.

    Raises:
      ConfigError: its limiter was not one of ours.
    """
    if saved["settings"] is None:
        raise ConfigError(
            f"table '{config.name}': the checkpoint does not say what its rate limiter "
            f"{saved['limiter']} was; restore it with the limits of the code"
        )
    limiter = _LIMITERS[saved["limiter"]](**saved["settings"])
    values = {name: saved[name] for name in _LIMITS}
    return replace(config, rate_limiter=limiter, **values)


def begin_save_order(
    selector: Selector, slots: RowSubset, copies: Snapshot, name: str
) -> None:
    """Saves the order in which a selector got slots: their places among these.

    Of a selector that knows none, it is the order of the slots.
    """
    if is_ordered(selector):
        order = selector.insertion_order()
        copies.later(name, lambda: _places(order, slots))
    else:
        copies.later(name, lambda: np.arange(slots.num_rows))


def _places(order: Array, slots: RowSubset) -> Array:
    place_of = np.empty(slots.stop, np.int64)
    place_of[slots.rows()] = np.arange(slots.num_rows)
    return place_of[order[order >= 0]]


def places_to_keep(
    config: TableConfig,
    order: Array,
    priorities: Array,
    times_sampled: Array,
    rng: np.random.Generator,
) -> Array:
    """Which of the saved items a table keeps; the others go as usual.

    Those go that were sampled often enough, and then those that it has no room for.

    Args:
      config: of the table.
      order: `[n]`, in which its remover got them.
      priorities: `[n]`.
      times_sampled: `[n]`.
      rng: for a remover that picks by chance.

    Returns:
      Their places, ascending.
    """
    num_items = len(priorities)
    remover = make_selector(config.remover, num_items + 1)
    remover.insert(order, priorities[order])
    is_kept = np.ones(num_items, bool)
    if config.max_times_sampled is not None:
        is_kept = times_sampled < config.max_times_sampled
        remover.delete(np.flatnonzero(~is_kept))
    for _ in range(np.count_nonzero(is_kept) - config.max_size):
        gone, _ = remover.sample(1, rng)
        remover.delete(gone)
        is_kept[gone] = False
    return np.flatnonzero(is_kept)


def slots_in_order(order: Array, kept: Array, slots: Array) -> Array:
    """The slots in which items now are, in the order of their insertion.

    Args:
      order: of all items that were saved, their places.
      kept: `[n]`, places of those that are still there.
      slots: `[n]` in which these are.
    """
    slot_of = np.full(len(order), -1)
    slot_of[kept] = slots
    found: Array = slot_of[order]
    return found[found >= 0]

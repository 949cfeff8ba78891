"""What a checkpoint has of a table besides the contents of its items."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from acmelike.replay import limits
from acmelike.replay.config import TableConfig
from acmelike.replay.selectors import OrderedSelector, Selector, make_selector
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
    """The limits of a table."""
    limiter: Any = config.rate_limiter
    values = {name: getattr(config, name) for name in _LIMITS}
    return values | {"limiter": type(limiter).__name__, "settings": asdict(limiter)}


def with_limits(config: TableConfig, saved: dict[str, Any]) -> TableConfig:
    """A table with the limits that were saved."""
    limiter = _LIMITERS[saved["limiter"]](**saved["settings"])
    values = {name: saved[name] for name in _LIMITS}
    return replace(config, rate_limiter=limiter, **values)


def places_in_order(selector: Selector, slots: Array) -> Array:
    """The order in which a selector got slots `[n]`, which ascend: their places."""
    if isinstance(selector, OrderedSelector):
        return np.searchsorted(slots, selector.insertion_order())
    return np.arange(len(slots))


def places_to_keep(
    config: TableConfig, order: Array, priorities: Array, rng: np.random.Generator
) -> Array:
    """Which of the saved items a table has room for; the others go as usual.

    Args:
      config: of the table.
      order: `[n]`, in which its remover got them.
      priorities: `[n]`.
      rng: for a remover that picks by chance.

    Returns:
      Their places, ascending.
    """
    num_items = len(priorities)
    remover = make_selector(config.remover, num_items + 1)
    remover.insert(order, priorities[order])
    is_kept = np.ones(num_items, bool)
    for _ in range(num_items - config.max_size):
        gone, _ = remover.sample(1, rng)
        remover.delete(gone)
        is_kept[gone] = False
    return np.flatnonzero(is_kept)


def array_path(folder: Path, table: str, name: str) -> Path:
    """The file of an array of a table."""
    return folder / f"{table}-{name}.npy"

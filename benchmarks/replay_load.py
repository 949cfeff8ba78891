"""What both sides of the replay benchmark store, and how their rates are taken.

This file needs NumPy only, as a peer's interpreter runs it too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

# A CartPole transition, 48 bytes: the shape and dtype of each column.
COLUMNS: dict[str, tuple[tuple[int, ...], str]] = {
    "observation": ((4,), "float32"),
    "action": ((), "int64"),
    "reward": ((), "float32"),
    "discount": ((), "float32"),
    "next_observation": ((4,), "float32"),
}
FRAMES = (20, 84, 84)  # Of one sequence, uint8.
SEQUENCE_BYTES = 20 * 84 * 84

WRITE_BATCH = 64  # Items that an adder of vectorised environments hands over at once.
READ_BATCH = 256
SEQUENCE_BATCH = 32
PRIORITY_EXPONENT = 0.6


def transitions(num_items: int) -> dict[str, Any]:
    """Columns `[n, ...]` of random transitions."""
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(size=(num_items, *shape)).astype(dtype)
        for name, (shape, dtype) in COLUMNS.items()
    }


def priorities(num_items: int) -> Any:
    """Random priorities `[n]` float64, above 0."""
    return np.random.default_rng(1).random(num_items) + 0.01


def sequences(num_items: int) -> Any:
    """Frames `[n, 20, 84, 84]` that do not compress, so that it costs nothing to."""
    return np.random.default_rng(0).integers(
        256, size=(num_items, *FRAMES), dtype=np.uint8
    )


def per_second(call: Callable[[], int], seconds: float) -> float:
    """What calls do in a second, each as many as it returns, after a warm-up."""
    _until(call, seconds / 5)
    num_done, taken = _until(call, seconds)
    return num_done / taken


def _until(call: Callable[[], int], seconds: float) -> tuple[int, float]:
    started, num_done, taken = time.perf_counter(), 0, 0.0
    while taken < seconds:
        num_done += call()
        taken = time.perf_counter() - started
    return num_done, taken

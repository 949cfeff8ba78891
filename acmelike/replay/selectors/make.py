"""Makes the selector that a configuration describes."""

from __future__ import annotations

from acmelike.replay.config import (
    Fifo,
    Lifo,
    MaxHeap,
    MinHeap,
    Prioritized,
    SelectorConfig,
    Uniform,
)
from acmelike.replay.selectors.base import Selector
from acmelike.replay.selectors.by_age import FifoSelector, LifoSelector
from acmelike.replay.selectors.heap import HeapSelector
from acmelike.replay.selectors.prioritized import PrioritizedSelector
from acmelike.replay.selectors.uniform import UniformSelector


def make_selector(config: SelectorConfig, max_size: int) -> Selector:
    """The selector of a table with `max_size` slots."""
    match config:
        case Uniform():
            return UniformSelector(max_size)
        case Prioritized(exponent=exponent):
            return PrioritizedSelector(max_size, exponent)
        case Fifo():
            return FifoSelector(max_size)
        case Lifo():
            return LifoSelector(max_size)
        case MinHeap():
            return HeapSelector(max_size, is_max=False)
        case MaxHeap():
            return HeapSelector(max_size, is_max=True)
        case _:
            selector: Selector = config(max_size)
            return selector

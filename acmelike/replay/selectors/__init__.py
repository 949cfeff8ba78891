"""Live selectors: which of its items a table samples, and which it gives up."""

from acmelike.replay.selectors.base import OrderedSelector, Selector, is_ordered
from acmelike.replay.selectors.by_age import FifoSelector, LifoSelector
from acmelike.replay.selectors.heap import HeapSelector
from acmelike.replay.selectors.make import make_selector
from acmelike.replay.selectors.prioritized import PrioritizedSelector
from acmelike.replay.selectors.uniform import UniformSelector

__all__ = [
    "FifoSelector",
    "HeapSelector",
    "LifoSelector",
    "OrderedSelector",
    "PrioritizedSelector",
    "Selector",
    "UniformSelector",
    "is_ordered",
    "make_selector",
]

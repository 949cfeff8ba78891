"""Replay: tables of items, who waits for whom, and both ends of the way through it."""

from acmelike.replay.config import (
    Fifo,
    Lifo,
    MaxHeap,
    MinHeap,
    Prioritized,
    SelectorConfig,
    TableConfig,
    Uniform,
    check_sample_size,
)
from acmelike.replay.limits import (
    MinSize,
    Queue,
    RateLimiterConfig,
    Raw,
    SamplesPerInsert,
    Stack,
)
from acmelike.replay.selectors import OrderedSelector, Selector
from acmelike.replay.service import Batches, Replay, Writer
from acmelike.replay.table import Sample, Table, TableInfo

__all__ = [
    "Batches",
    "Fifo",
    "Lifo",
    "MaxHeap",
    "MinHeap",
    "MinSize",
    "OrderedSelector",
    "Prioritized",
    "Queue",
    "RateLimiterConfig",
    "Raw",
    "Replay",
    "Sample",
    "SamplesPerInsert",
    "Selector",
    "SelectorConfig",
    "Stack",
    "Table",
    "TableConfig",
    "TableInfo",
    "Uniform",
    "Writer",
    "check_sample_size",
]

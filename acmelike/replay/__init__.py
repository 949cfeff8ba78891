"""Replay: tables, rate limiters, and the writers and iterators around them.

README.md beside this file has the way of the data, and why replay is made as it is.
"""

from acmelike.replay.clients.batches import Batches
from acmelike.replay.clients.trajectory_writer import TrajectoryWriter
from acmelike.replay.clients.writer import Writer
from acmelike.replay.config import (
    Fifo,
    Lifo,
    MaxHeap,
    MinHeap,
    Prioritized,
    Rows,
    SelectorConfig,
    TableConfig,
    Uniform,
    check_sample_size,
)
from acmelike.replay.limiters import (
    MinSize,
    Queue,
    RateLimiterConfig,
    Raw,
    SamplesPerInsert,
    Stack,
)
from acmelike.replay.message import PADDING, EpisodeEnd, Items, Message, Steps
from acmelike.replay.results import EpisodeInfo, Sample, TableInfo
from acmelike.replay.selectors.base import OrderedSelector, Selector
from acmelike.replay.service.replay import Replay, save_checkpoint
from acmelike.replay.tables.engine import Engine, check_engine
from acmelike.replay.tables.table import Table

__all__ = [
    "PADDING",
    "Batches",
    "Engine",
    "EpisodeEnd",
    "EpisodeInfo",
    "Fifo",
    "Items",
    "Lifo",
    "MaxHeap",
    "Message",
    "MinHeap",
    "MinSize",
    "OrderedSelector",
    "Prioritized",
    "Queue",
    "RateLimiterConfig",
    "Raw",
    "Replay",
    "Rows",
    "Sample",
    "SamplesPerInsert",
    "Selector",
    "SelectorConfig",
    "Stack",
    "Steps",
    "Table",
    "TableConfig",
    "TableInfo",
    "TrajectoryWriter",
    "Uniform",
    "Writer",
    "check_engine",
    "check_sample_size",
    "save_checkpoint",
]

"""Replay: tables of items, who waits for whom, and both ends of the way through it."""

from acmelike.replay.config import (
    Fifo,
    MinSize,
    Prioritized,
    RateLimiterConfig,
    SamplerConfig,
    SamplesPerInsert,
    TableConfig,
    Uniform,
    check_sample_size,
)
from acmelike.replay.service import Batches, Replay, Writer
from acmelike.replay.table import Sample, Table, TableInfo

__all__ = [
    "Batches",
    "Fifo",
    "MinSize",
    "Prioritized",
    "RateLimiterConfig",
    "Replay",
    "Sample",
    "SamplerConfig",
    "SamplesPerInsert",
    "Table",
    "TableConfig",
    "TableInfo",
    "Uniform",
    "Writer",
    "check_sample_size",
]

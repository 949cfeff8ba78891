"""acmelike's trials of the replay benchmark."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from dm_env import specs

from acmelike import Node, Program, launch
from acmelike.core import start
from acmelike.core.status import resident_bytes
from acmelike.replay import (
    Items,
    MinSize,
    Prioritized,
    Replay,
    Rows,
    SelectorConfig,
    TableConfig,
    Uniform,
    Writer,
)
from benchmarks import replay_load as load

SAMPLERS: dict[str, SelectorConfig] = {
    "uniform": Uniform(),
    "prioritized": Prioritized(exponent=load.PRIORITY_EXPONENT),
}
TRANSITION = {
    name: specs.Array(shape, np.dtype(dtype), name)
    for name, (shape, dtype) in load.COLUMNS.items()
}
# As much as a learner asks for ahead of need.
NUM_IN_FLIGHT = 2
# Items of one call that only fills a table.
FILL_BATCH = 2**16


def _table(name: str, sampler: SelectorConfig, signature: Any, size: int) -> Any:
    return TableConfig(
        name=name,
        signature=signature,
        max_size=size,
        sampler=sampler,
        rate_limiter=MinSize(min_size=1),
    )


@contextmanager
def _serving(tables: list[TableConfig], where: str) -> Iterator[Replay]:
    """A replay service in this process, or a client of one in another."""
    if where == "in process":
        yield Replay(tables, seed=0)
        return
    program = Program("replay")
    handle = program.add_node(Node(Replay, tables, seed=0), label="replay")
    with launch(program, "processes") as run:
        replay = run.client(handle)
        replay.infos()  # From now on it is there.
        yield replay


def _sampler(replay: Replay, table: str, batch: int) -> Callable[[], int]:
    """Takes a sample; between processes the next ones are under way meanwhile."""
    if isinstance(replay, Replay):
        return lambda: len(replay.sample(table, batch).keys)
    outstanding = deque(
        start(replay.sample, table, batch) for _ in range(NUM_IN_FLIGHT)
    )

    def take() -> int:
        sample = outstanding.popleft().result()
        outstanding.append(start(replay.sample, table, batch))
        return len(sample.keys)

    return take


def small_items(*, where: str, num_items: int, seconds: float) -> dict[str, Any]:
    """Items per second of each job, and bytes per item; a trial."""
    tables = [
        _table(name, sampler, TRANSITION, num_items)
        for name, sampler in SAMPLERS.items()
    ]
    data = load.transitions(num_items)
    batches = [
        {name: data[name][start : start + load.WRITE_BATCH] for name in data}
        for start in range(0, num_items, load.WRITE_BATCH)
    ]
    with _serving(tables, where) as replay:
        writer = Writer(replay)
        before, started = resident_bytes(), time.perf_counter()
        for batch in batches:
            writer.write([Items("uniform", batch)])
        seconds_to_insert = time.perf_counter() - started
        num_inserted = replay.info("uniform").size
        growth = resident_bytes() - before
        writer.write([Items("prioritized", data, load.priorities(num_items))])
        uniform = _sampler(replay, "uniform", load.READ_BATCH)
        prioritized = _sampler(replay, "prioritized", load.READ_BATCH)
        keys = replay.sample("prioritized", load.READ_BATCH).keys
        new_priorities = load.priorities(load.READ_BATCH)

        def update() -> int:
            return replay.update_priorities("prioritized", keys, new_priorities)

        return {
            "rates": {
                "insert": {"writer": num_inserted / seconds_to_insert},
                "sample uniformly": {"sample": load.per_second(uniform, seconds)},
                "sample by priority": {"sample": load.per_second(prioritized, seconds)},
                "update priorities": {"arrays": load.per_second(update, seconds)},
            },
            "bytes_per_item": growth / num_inserted,
        }


def sequences(*, where: str, num_items: int, seconds: float) -> dict[str, float]:
    """Bytes per second sampled, by how the sequences are stored; a trial."""
    frame = specs.Array(load.FRAMES[1:], np.uint8, "frame")
    sequence = specs.Array(load.FRAMES, np.uint8, "frames")
    rows = {"frames": Rows(column="frame", row=frame, length=load.FRAMES[0])}
    tables = [
        _table("shared rows", Uniform(), rows, num_items),
        _table("arrays of items", Uniform(), {"frames": sequence}, num_items),
    ]
    length = load.FRAMES[0]
    with _serving(tables, where) as replay:
        writer = Writer(replay)
        for index, frames in enumerate(load.sequences(num_items)):
            first = index * length
            numbers = np.arange(first, first + length)[None]
            writer.write(
                [
                    Items("shared rows", {"frames": numbers}),
                    Items("arrays of items", {"frames": frames[None]}),
                ],
                steps={"frame": frames},
                keep_from={"frame": first + length},
            )
        return {
            table.name: load.SEQUENCE_BYTES
            * load.per_second(
                _sampler(replay, table.name, load.SEQUENCE_BATCH), seconds
            )
            for table in tables
        }


def scaling(*, num_items: int, seconds: float) -> dict[str, float]:
    """Microseconds of each call on full tables of so many items; a trial."""
    tables = [
        _table(name, sampler, TRANSITION, num_items)
        for name, sampler in SAMPLERS.items()
    ]
    replay = Replay(tables, seed=0)
    data = load.transitions(min(FILL_BATCH, num_items))
    batch = load.transitions(load.WRITE_BATCH)
    new_priorities = load.priorities(len(data["action"]))
    # Twice around the table: all its memory is there, and the next insert evicts.
    for _ in range(2 * -(-num_items // len(new_priorities))):
        for name in SAMPLERS:
            replay.insert(name, data, new_priorities)
    calls: dict[str, Callable[[], Any]] = {}
    for name in SAMPLERS:
        calls[f"sample 256, {name}"] = lambda name=name: replay.sample(
            name, load.READ_BATCH
        )
        calls[f"insert 64, {name}"] = lambda name=name: replay.insert(name, batch)

    def microseconds(call: Callable[[], Any]) -> float:
        def one() -> int:
            call()
            return 1

        return 1e6 / load.per_second(one, seconds)

    return {what: microseconds(call) for what, call in calls.items()}


class Observed(Replay):
    """A replay service that also says what its process has imported."""

    def has_imported(self, module: str) -> bool:
        return module in sys.modules


def node(*, sampler: str, num_items: int) -> dict[str, float]:
    """How soon a replay node answers, and what it holds when it is full; a trial."""
    table = _table("transitions", SAMPLERS[sampler], TRANSITION, num_items)
    program = Program("replay")
    handle = program.add_node(Node(Observed, [table], seed=0), label="replay")
    batch = load.transitions(load.WRITE_BATCH)
    started = time.perf_counter()
    with launch(program, "processes") as run:
        replay = run.client(handle)
        replay.infos()
        seconds = time.perf_counter() - started
        writer = Writer(replay)
        before = run.status()["replay"].memory_bytes
        for _ in range(num_items // load.WRITE_BATCH):
            writer.write([Items("transitions", batch)])
        info = replay.info("transitions")
        return {
            "seconds": seconds,
            "has_jax": float(replay.has_imported("jax")),
            "resident_bytes": run.status()["replay"].memory_bytes - before,
            "num_bytes": info.num_bytes,
            "num_index_bytes": info.num_index_bytes,
        }

"""The trial of a checkpoint: how long callers of replay wait while it is made."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
from dm_env import specs

from acmelike import Node, Program, launch
from acmelike.replay import (
    Items,
    MinSize,
    Prioritized,
    Replay,
    Rows,
    TableConfig,
    Writer,
    save_checkpoint,
)
from benchmarks import replay_load as load

FRAME = specs.Array(load.FRAMES[1:], np.uint8, "frame")
STACK = 4  # Frames of an item, which it shares with its neighbours.
SAMPLE, INSERT, FILL = 32, 16, 8192  # Items of one call.


def stall(*, num_bytes: int, seconds: float) -> dict[str, float]:
    """The longest call of a caller, in seconds, without and with a checkpoint.

    Replay is in a process of its own. One caller samples, updates priorities and
    inserts all the time, into a full table of frames; another saves it.

    Args:
      num_bytes: of the frames in the table.
      seconds: for which calls are measured without a checkpoint.
    """
    num_items = num_bytes // int(np.prod(FRAME.shape))
    stacks = Rows(column="frame", row=FRAME, length=STACK)
    table = TableConfig(
        name="stacks",
        signature={"frames": stacks},
        max_size=num_items,
        sampler=Prioritized(exponent=load.PRIORITY_EXPONENT),
        rate_limiter=MinSize(min_size=1),
    )
    program = Program("checkpoint")
    handle = program.add_node(Node(Replay, [table], seed=0), label="replay")
    with launch(program, "processes") as run, tempfile.TemporaryDirectory() as folder:
        caller = _Caller(run.client(handle))
        for _ in range(0, num_items + FILL, FILL):
            caller.insert(FILL)
        without = caller.longest(lambda: time.sleep(seconds))
        replay = run.client(handle)
        started = time.perf_counter()
        during = caller.longest(lambda: save_checkpoint(replay, folder))
        taken = time.perf_counter() - started
    return {"without": without, "with": during, "seconds to save": taken}


class _Caller:
    """Uses replay as actors and learners do."""

    def __init__(self, replay: Replay):
        self._replay, self._writer = replay, Writer(replay)
        self._num_written = 0

    def insert(self, num_items: int) -> None:
        """Writes frames, and a stack that ends with each."""
        first = self._num_written
        self._num_written += num_items
        ends = np.arange(first, self._num_written)
        stacks = np.maximum(ends[:, None] + np.arange(1 - STACK, 1), 0)
        frames = np.full((num_items, *FRAME.shape), first % 251, np.uint8)
        self._writer.write(
            [Items("stacks", {"frames": stacks})],
            steps={"frame": frames},
            keep_from={"frame": self._num_written - STACK},
        )

    def longest(self, meanwhile: Callable[[], object]) -> float:
        """Seconds that the longest call takes while something else is done."""
        is_over, taken = Event(), [0.0]
        calls = itertools.cycle((self._sample, lambda: self.insert(INSERT)))

        def go_on() -> None:
            while not is_over.is_set():
                started = time.perf_counter()
                next(calls)()
                taken.append(time.perf_counter() - started)

        with ThreadPoolExecutor(1) as pool:
            caller = pool.submit(go_on)
            try:
                meanwhile()
            finally:
                is_over.set()
            caller.result()
        return max(taken)

    def _sample(self) -> None:
        keys = self._replay.sample("stacks", SAMPLE).keys
        self._replay.update_priorities("stacks", keys, np.ones(SAMPLE))

"""Small tables and items that all tests of replay use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from dm_env import specs

from acmelike.replay import (
    MinSize,
    Replay,
    SamplesPerInsert,
    Table,
    TableConfig,
    Uniform,
)
from acmelike.types import Array
from tests.replay.engines import ENGINES


class OpenReplay(Replay):
    """Replay whose tables a test can call without the guards of the service."""

    def table(self, name: str) -> Table:
        return self._tables[name]


def contents(replay: Replay, table: str = "table") -> list[tuple[float, float, int]]:
    """(number, priority, times sampled) of each item held; draws no sample."""
    held = replay.dump(table)
    columns = held["data"]["reward"].tolist(), held["priorities"], held["times_sampled"]
    return sorted(zip(*columns, strict=True))


SIGNATURE = {
    "pixels": specs.Array((2, 3), np.uint8, "pixels"),
    "reward": specs.Array((), np.float32, "reward"),
}

LIMITER = SamplesPerInsert(ratio=1, min_size=3, error_buffer=9)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    engine: str = request.param
    return engine


@pytest.fixture
def make_config() -> Callable[..., TableConfig]:
    def make(**changes: object) -> TableConfig:
        settings: dict[str, object] = {
            "name": "table",
            "signature": SIGNATURE,
            "max_size": 8,
            "sampler": Uniform(),
            "rate_limiter": MinSize(min_size=1),
        }
        return TableConfig(**(settings | changes))

    return make


@pytest.fixture
def make_items() -> Callable[..., dict[str, Array]]:
    """Items whose contents are their number: `make_items(3, 5)` is items 3 and 4."""

    def make(start: int, stop: int) -> dict[str, Array]:
        numbers = np.arange(start, stop)
        pixels = np.broadcast_to(numbers[:, None, None], (len(numbers), 2, 3))
        return {
            "pixels": pixels.astype(np.uint8),
            "reward": numbers.astype(np.float32),
        }

    return make


@pytest.fixture
def make_replay(
    make_config: Callable[..., TableConfig],
    make_items: Callable[..., dict[str, Array]],
) -> Callable[..., Replay]:
    """A table of six that got eight items, with 2 samples and 20 environment steps."""

    def make(part_bytes: int = 1 << 22, **changes: object) -> Replay:
        settings: dict[str, object] = {"rate_limiter": LIMITER, "max_size": 6} | changes
        replay = Replay([make_config(**settings)], seed=0, part_bytes=part_bytes)
        for start in (0, 4):
            replay.insert(
                "table",
                make_items(start, start + 4),
                np.array([3.0, 1.0, 2.0, 1.0]),
                num_env_steps=10,
            )
        replay.sample("table", 2)
        return replay

    return make


@pytest.fixture
def restored(
    make_config: Callable[..., TableConfig], tmp_path: Path
) -> Callable[..., Replay]:
    """A new service that restores the newest checkpoint."""

    def restore(
        limits: Literal["code", "checkpoint"] = "code",
        folder: Path = tmp_path,
        **changes: object,
    ) -> Replay:
        settings: dict[str, object] = {"rate_limiter": LIMITER, "max_size": 6} | changes
        return Replay(
            [make_config(**settings)], seed=1, restore=str(folder), limits=limits
        )

    return restore

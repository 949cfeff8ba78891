"""Small tables, for every test of replay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from dm_env import specs

from acmelike.replay import MinSize, TableConfig, Uniform
from acmelike.types import Array
from tests.replay.engines import ENGINES

SIGNATURE = {
    "pixels": specs.Array((2, 3), np.uint8, "pixels"),
    "reward": specs.Array((), np.float32, "reward"),
}


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
    """Items whose contents say which they are: `make_items(3, 5)` is items 3 and 4."""

    def make(start: int, stop: int) -> dict[str, Array]:
        numbers = np.arange(start, stop)
        pixels = np.broadcast_to(numbers[:, None, None], (len(numbers), 2, 3))
        return {
            "pixels": pixels.astype(np.uint8),
            "reward": numbers.astype(np.float32),
        }

    return make

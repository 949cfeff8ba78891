"""Ranges that configuration fields say in their types."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pytest

from acmelike.checks import FINITE, above, at_least, between, check_fields
from acmelike.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Settings:
    size: Annotated[int, at_least(1)] = 1
    limit: Annotated[int, at_least(0)] | None = None
    rate: Annotated[float, above(0)] = 1.0
    fraction: Annotated[float, between(0, 1)] = 0.5
    sizes: tuple[Annotated[int, at_least(1)], ...] = (1,)
    target: Annotated[float | None, FINITE] = None
    free: int = -1
    format: Literal["gif", "mp4"] = "gif"

    def __post_init__(self) -> None:
        check_fields(self, "settings")


def test_what_is_in_range_passes():
    Settings(limit=0, rate=2, fraction=1, sizes=(), target=-1e300)


def test_numbers_of_numpy_become_plain_ones():
    sizes = (np.int32(2), 3)
    made = Settings(size=np.int64(3), rate=np.float32(0.5), sizes=sizes)
    assert made == Settings(size=3, rate=0.5, sizes=(2, 3))
    numbers = (made.size, made.rate, *made.sizes)
    assert [type(x) for x in numbers] == [int, float, int, int]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "settings: size must be at least 1: 0"),
        ({"size": 1.5}, "settings: size must be a whole number: 1.5"),
        ({"size": True}, "settings: size must be a whole number: True"),
        ({"size": "2"}, "settings: size must be a whole number: 2"),
        ({"limit": -1}, "settings: limit must be at least 0: -1"),
        ({"rate": 0.0}, "settings: rate must be finite and above 0: 0.0"),
        ({"rate": math.inf}, "settings: rate must be finite and above 0: inf"),
        ({"rate": "fast"}, "settings: rate must be a number: fast"),
        ({"fraction": math.nan}, "settings: fraction must be between 0 and 1: nan"),
        ({"sizes": (4, 0)}, "settings: sizes must be at least 1: (4, 0)"),
        ({"target": math.inf}, "settings: target must be finite: inf"),
        (
            {"format": "mp3"},
            "settings: format must be one of gif, mp4: mp3; did you mean 'mp4'?",
        ),
        ({"format": 3}, "settings: format must be one of gif, mp4: 3"),
    ],
)
def test_what_is_not_is_refused_in_one_line(values, message):
    with pytest.raises(ConfigError) as refused:
        Settings(**values)
    assert str(refused.value) == message


def test_without_an_owner_the_message_begins_with_the_field():
    @dataclass(frozen=True)
    class Bare:
        size: Annotated[int, at_least(1)] = 0

    with pytest.raises(ConfigError, match=r"^size must be at least 1: 0$"):
        check_fields(Bare())

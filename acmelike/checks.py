"""Checks of what users set: ranges of fields, and whether a package is installed.

A violation of a range is a one-line ConfigError.

A field says its range in its type, and the class asks for the check once:

    @dataclass(frozen=True, kw_only=True)
    class Settings:
        batch_size: Annotated[int, at_least(1)] = 64
        discount: Annotated[float, between(0, 1)] = 0.99

        def __post_init__(self) -> None:
            check_fields(self)
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import math
import numbers
import typing
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, cast

from acmelike.errors import ConfigError, nearest


def is_installed(package: str) -> bool:
    """Whether a package is installed; a folder that has its name is none."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.has_location


class Range(NamedTuple):
    """Which numbers a field takes.

    Attributes:
      words: completes "the field must be ...".
      contains: whether a number is one of them.
    """

    words: str
    contains: Callable[[float], bool]


def at_least(minimum: float) -> Range:
    """Finite numbers from `minimum` on."""
    return Range(f"at least {minimum:g}", lambda x: minimum <= x < math.inf)


def above(minimum: float) -> Range:
    """Finite numbers greater than `minimum`."""
    return Range(f"finite and above {minimum:g}", lambda x: minimum < x < math.inf)


def between(minimum: float, maximum: float) -> Range:
    """Numbers from `minimum` to `maximum`, both included."""
    words = f"between {minimum:g} and {maximum:g}"
    return Range(words, lambda x: minimum <= x <= maximum)


FINITE = Range("finite", math.isfinite)


def check_fields(config: Any, owner: str = "") -> None:
    """Checks every field that has a range or choices; None passes where a range is.

    A tuple is checked element by element. A field whose type is `int` takes whole
    numbers only, and one whose type is a `Literal` its values. Numbers of NumPy become
    Python's.

    Args:
      config: an instance of a dataclass.
      owner: what the message begins with, such as "table 'x'"; "" for nothing.

    Raises:
      ConfigError: for the first field that is out of its range, or none of its choices.
    """
    config_class: Any = type(config)
    for name, choices in _choices_of(config_class):
        value = getattr(config, name)
        if value not in choices:
            words = f"one of {', '.join(map(str, choices))}"
            known = nearest(value, choices) if isinstance(value, str) else ""
            raise ConfigError(_message(owner, name, words, value) + known)
    for name, check, is_whole in _ranges_of(config_class):
        value = getattr(config, name)
        values = value if isinstance(value, tuple) else (value,)
        for number in values:
            if number is None:
                continue
            kind: Any = numbers.Integral if is_whole else numbers.Real
            if isinstance(number, bool) or not isinstance(number, kind):
                what = "a whole number" if is_whole else "a number"
                raise ConfigError(_message(owner, name, what, value))
            contains: Any = check.contains
            if not contains(number):
                raise ConfigError(_message(owner, name, check.words, value))
        if any(type(number).__module__ == "numpy" for number in values):
            plain = tuple(
                number.item() if type(number).__module__ == "numpy" else number
                for number in values
            )
            plain_value = plain if isinstance(value, tuple) else plain[0]
            object.__setattr__(config, name, plain_value)


def _message(owner: str, name: str, words: str, value: object) -> str:
    prefix = f"{owner}: " if owner else ""
    return f"{prefix}{name} must be {words}: {value}"


@functools.cache
def _choices_of(kind: Hashable) -> list[tuple[str, tuple[Any, ...]]]:
    """(name, values) of each field that takes some values only."""
    hints = typing.get_type_hints(cast(type, kind))
    literals = (
        (name, hint)
        for name, hint in hints.items()
        if typing.get_origin(hint) is typing.Literal
    )
    return [(name, typing.get_args(hint)) for name, hint in literals]


@functools.cache
def _ranges_of(kind: Hashable) -> list[tuple[str, Range, bool]]:
    """(name, range, whether it takes whole numbers only) of each field with a range."""
    hints = typing.get_type_hints(cast(type, kind), include_extras=True)
    found = []
    for field in dataclasses.fields(cast(Any, kind)):
        for part in (hints[field.name], *typing.get_args(hints[field.name])):
            ranges = [
                meta
                for meta in getattr(part, "__metadata__", ())
                if isinstance(meta, Range)
            ]
            if ranges:
                types = {part.__origin__, *typing.get_args(part.__origin__)}
                found.append((field.name, ranges[0], float not in types))
    return found

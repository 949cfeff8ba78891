"""What is asked of the numbers of a configuration, in one line where it is not so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from acmelike.errors import ConfigError


def check_ranges(
    config: Any,
    *,
    at_least: Mapping[str, float] = {},
    above_zero: Iterable[str] = (),
    fractions: Iterable[str] = (),
) -> None:
    """Refuses fields that are out of their ranges; None and what is not named passes.

    Args:
      config: whose fields they are.
      at_least: the lowest values of fields.
      above_zero: fields that are above zero and finite; of a tuple, every element.
      fractions: fields from 0 to 1.

    Raises:
      ConfigError: for the first that is not.
    """
    for name, least in at_least.items():
        value = getattr(config, name)
        if value is not None and not least <= value < math.inf:
            raise ConfigError(f"{name} must be at least {least}: {value}")
    for name in above_zero:
        value = getattr(config, name)
        if isinstance(value, tuple):
            if not all(0 < element < math.inf for element in value):
                raise ConfigError(f"{name} must be above 0: {value}")
        elif value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{name} must be finite and above 0: {value}")
    for name in fractions:
        value = getattr(config, name)
        if value is not None and not 0 <= value <= 1:
            raise ConfigError(f"{name} must be between 0 and 1: {value}")

"""When a run ends, and how often it is evaluated and recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from acmelike.checks import FINITE, at_least, check_fields


@dataclass(frozen=True, kw_only=True)
class Goal:
    """When a run ends, and how often it is evaluated; counted in environment steps.

    Attributes:
      max_env_steps: the budget in environment steps, over all actors.
      stop_at_return: end as soon as two evaluations in a row reach this mean return;
        None to use up the budget.
      evaluate_every: environment steps between two evaluations.
      record_every: environment steps between two records of the counters; more if the
        environments are fast.
    """

    max_env_steps: Annotated[int, at_least(1)] = 100_000
    stop_at_return: Annotated[float, FINITE] | None = None
    evaluate_every: Annotated[int, at_least(1)] = 1_000
    record_every: Annotated[int, at_least(1)] = 250

    def __post_init__(self) -> None:
        check_fields(self)

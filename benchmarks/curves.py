"""When a learning curve was at its target; one rule for every benchmark."""

from __future__ import annotations

from collections.abc import Sequence

# Of fifty judgements one is at the target by luck, whatever was learned. So the bars
# are on two in a row, by which the programs themselves end.
IN_A_ROW = 2


def reached(
    values: Sequence[float],
    mean_returns: Sequence[float],
    target: float,
    in_a_row: int = IN_A_ROW,
) -> float | None:
    """The value of the judgement by which so many in a row were at the target, or None.

    Args:
      values: of each judgement, the environment steps or seconds when it was due.
      mean_returns: of each judgement.
      target: the least mean return that counts.
      in_a_row: how many judgements.
    """
    so_far = 0
    for value, mean in zip(values, mean_returns, strict=True):
        so_far = so_far + 1 if mean >= target else 0
        if so_far == in_a_row:
            return value
    return None

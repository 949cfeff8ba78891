"""When a run looks at its counters, when it evaluates, and when it ends.

Everything here counts environment steps. There are no clocks and no calls, so that the
decisions can be read and tested without a program.
"""

from __future__ import annotations

from acmelike.evaluation.goal import Goal

# Each look calls replay and the learner, which takes some of their time. If environment
# steps are fast, the looks per second are limited instead.
MAX_LOOKS_PER_SECOND = 10

# One evaluation over a few episodes can reach the target by luck.
NUM_EVALUATIONS_AT_TARGET = 2


class Schedule:
    """Decides for one run when something is due.

    Args:
      goal: of the run.
    """

    def __init__(self, goal: Goal):
        self._goal = goal
        self._num_due = 0
        self._num_at_target = 0

    @property
    def next_evaluation(self) -> int:
        """The number of environment steps at which the next evaluation is due."""
        return (self._num_due + 1) * self._goal.evaluate_every

    def next_look(self, env_steps: int, seconds: float) -> int:
        """The number of environment steps at which something may be due again.

        Args:
          env_steps: made so far.
          seconds: in which they were made; 0 if no time is known, as in the first
            second of a run, or under the launcher `serial`, whose time is logical.
        """
        steps = self._goal.record_every
        if seconds >= 1:
            steps = max(steps, int(env_steps / seconds / MAX_LOOKS_PER_SECOND))
        return min(env_steps + steps, self.next_evaluation, self._goal.max_env_steps)

    def mark_evaluated(self, env_steps: int) -> None:
        """Marks all evaluations due by now as ordered."""
        self._num_due = env_steps // self._goal.evaluate_every

    def reaches_target(self, mean_return: float) -> bool:
        """Counts one evaluation; returns whether enough in a row reach the target."""
        target = self._goal.stop_at_return
        if target is None or mean_return < target:
            self._num_at_target = 0
        else:
            self._num_at_target += 1
        return self._num_at_target == NUM_EVALUATIONS_AT_TARGET

    def end_reason(self, env_steps: int, *, is_target_reached: bool) -> str | None:
        """Why the run ends now; None if it does not."""
        goal = self._goal
        if is_target_reached:
            return f"the return reached {goal.stop_at_return} twice in a row"
        if env_steps >= goal.max_env_steps:
            return f"the budget of {goal.max_env_steps} environment steps is used"
        return None

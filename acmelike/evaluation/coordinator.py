"""The coordinator: counts, orders evaluations, records, and ends the run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from acmelike.core import now, sleep, stop_run, updating, when
from acmelike.evaluation.policy_file import PolicyFile
from acmelike.files import append_json_line
from acmelike.learners import Learner
from acmelike.policies import PortablePolicy
from acmelike.replay import Replay
from acmelike.types import Array, Nested


@dataclass(frozen=True, kw_only=True)
class Goal:
    """When a run is over, and how often it is looked at. All in environment steps.

    Attributes:
      max_env_steps: the budget.
      stop_at_return: two evaluations in a row whose mean return reaches it end the run;
        None to use the budget up.
      evaluate_every: between evaluations.
      record_every: between looks at the counters; more where they go by fast.
    """

    max_env_steps: int
    stop_at_return: float | None = None
    evaluate_every: int = 1_000
    record_every: int = 250


# Each look costs replay, the learner and whoever waits for them some of their time.
MAX_LOOKS_PER_SECOND = 10


class Evaluation(NamedTuple):
    """An evaluation that somebody has to make.

    Attributes:
      number: how many evaluations were due by then.
      why_over: of the one that judges the run, why it is over; None for the others.
      env_steps: done when it was ordered.
      version: of the parameters.
      policy: of the agent.
      parameters: to act with.
    """

    number: int
    why_over: str | None
    env_steps: int
    version: int
    policy: PortablePolicy
    parameters: Nested


class Progress(NamedTuple):
    """How far the run is.

    Attributes:
      env_steps: counted by replay.
      learner_steps: updates made.
      mean_return: of the latest evaluation; None before the first.
      best_return: of all evaluations; None before the first.
    """

    env_steps: int
    learner_steps: int
    mean_return: float | None
    best_return: float | None


class Coordinator:
    """A worker; each step looks at the counters and does what is due.

    Args:
      goal: when the run is over.
      replay: counts environment steps.
      table: the table's name.
      learner: has the parameters.
      metrics: the path of the file to which records are appended.
      policy_file: where the parameters of each evaluation are written when it is made,
        in the place of those before; None for nowhere.
    """

    def __init__(
        self,
        *,
        goal: Goal,
        replay: Replay,
        table: str,
        learner: Learner,
        metrics: str,
        policy_file: PolicyFile | None = None,
    ):
        self._goal, self._metrics, self._policy_file = goal, Path(metrics), policy_file
        self._replay, self._table, self._learner = replay, table, learner
        self._started: float | None = None
        self._looking_since = 0.0
        self._num_evaluations = 0
        self._policy: PortablePolicy | None = None
        self._ordered: Evaluation | None = None
        self._under_way: Evaluation | None = None
        self._reached: Evaluation | None = None
        self._num_reached_in_a_row = 0
        self._progress = Progress(0, 0, None, None)

    # --- What others may call --------------------------------------------------------

    def _none_due(self) -> str | None:
        if self._ordered is not None:
            return None
        return f"the next evaluation is due at {self._next_due()} environment steps"

    @when(_none_due)
    def next_evaluation(self) -> Evaluation:
        """The evaluation that is due; it is handed out once."""
        assert self._ordered is not None
        self._under_way, self._ordered = self._ordered, None
        return self._under_way

    def report(self, number: int, returns: Array) -> None:
        """Takes the returns `[E]` of an evaluation; the final one ends the run."""
        task = self._under_way
        if task is None or task.number != number:
            raise ValueError(f"evaluation {number} is not under way")
        self._under_way = None
        mean = float(np.mean(returns))
        best = self._progress.best_return
        best = mean if best is None else max(mean, best)
        self._progress = self._progress._replace(mean_return=mean, best_return=best)
        record = {
            "env_steps": task.env_steps,
            "learner_steps": task.version,
            "mean_return": mean,
            "std_return": float(np.std(returns)),
            "num_episodes": len(returns),
        }
        if self._policy_file is not None:
            self._policy_file.write(task.policy, task.parameters, record)
        self._record("evaluation" if task.why_over is None else "end", **record)
        if task.why_over is not None:
            stop_run(task.why_over)
        target = self._goal.stop_at_return
        if target is not None:
            reached = mean >= target
            self._num_reached_in_a_row = reached * (self._num_reached_in_a_row + 1)
            if self._num_reached_in_a_row == 2:
                self._reached = task

    def progress(self) -> Progress:
        """How far the run is."""
        return self._progress

    # --- Its own work ----------------------------------------------------------------

    def step(self) -> None:
        """Waits for the next few environment steps, and does what is due then."""
        env_steps = self._replay.past_env_steps(self._next_look())
        # Read once, as a report that comes late may still set it.
        reached = self._reached
        why_over = self._why_over(reached, env_steps)
        if why_over is not None:
            self._replay.stop_inserts("the run is over but for its final evaluation")
            env_steps = self._replay.num_env_steps()
        self._look(env_steps)
        if why_over is not None:
            self._order(env_steps, reached, why_over)
            sleep(None, "the final evaluation")
        elif env_steps >= self._next_due():
            self._order(env_steps, None, None)

    def _next_look(self) -> int:
        """The environment steps at which there is something to do."""
        goal = self._goal
        if self._started is None:
            return 1
        to_record = self._progress.env_steps + self._steps_between_looks()
        return min(to_record, self._next_due(), goal.max_env_steps)

    def _steps_between_looks(self) -> int:
        seconds = now() - self._looking_since
        if seconds < 1:  # Too early to say; under `serial` time stands still.
            return self._goal.record_every
        per_second = self._progress.env_steps / seconds
        return max(self._goal.record_every, int(per_second / MAX_LOOKS_PER_SECOND))

    def _next_due(self) -> int:
        """The environment steps at which the next evaluation is due."""
        return (self._num_evaluations + 1) * self._goal.evaluate_every

    def _why_over(self, reached: Evaluation | None, env_steps: int) -> str | None:
        goal = self._goal
        if reached is not None:
            return f"the return reached {goal.stop_at_return} twice in a row"
        if env_steps >= goal.max_env_steps:
            return f"the budget of {goal.max_env_steps} environment steps is used"
        return None

    def _look(self, env_steps: int) -> None:
        """Records the counters."""
        if self._started is None:
            self._started, self._looking_since = time.perf_counter(), now()
        learner, table = self._learner.progress(), self._replay.info(self._table)
        with updating(self):
            self._progress = self._progress._replace(
                env_steps=env_steps, learner_steps=learner.num_updates
            )
        self._record(
            "progress",
            env_steps=env_steps,
            learner_steps=learner.num_updates,
            loss=learner.loss,
            metrics={k: v for k, v in learner.metrics.items() if k != "loss"},
            staleness_mean=learner.staleness_mean,
            samples_per_insert=table.samples_per_insert,
            replay_size=table.size,
        )

    def _order(
        self, env_steps: int, reached: Evaluation | None, why_over: str | None
    ) -> None:
        """Makes an evaluation due, in the place of one that nobody has taken yet.

        It is of the parameters of `reached`, or of the newest if there is none.
        """
        if self._policy is None:
            self._policy = self._learner.policy()
        judged = self._learner.parameters() if reached is None else reached
        number = env_steps // self._goal.evaluate_every
        with updating(self):
            self._num_evaluations = number
            self._ordered = Evaluation(
                *(number, why_over, env_steps, judged.version),
                *(self._policy, judged.parameters),
            )

    def _record(self, event: str, **values: Any) -> None:
        seconds = time.perf_counter() - (self._started or time.perf_counter())
        line = {"event": event, **values, "time": {"seconds": round(seconds, 4)}}
        append_json_line(self._metrics, line)

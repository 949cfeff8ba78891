"""The coordinator: the node that orders evaluations, records a run, and ends it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optree

from acmelike.core import idempotent, now, sleep, stop_run, updating, when
from acmelike.errors import NonFinite
from acmelike.evaluation.goal import Goal
from acmelike.evaluation.policy_file import PolicyFile
from acmelike.evaluation.records import (
    RecordWriter,
    make_evaluation_record,
    make_progress_record,
)
from acmelike.evaluation.schedule import Schedule
from acmelike.files import write_whole
from acmelike.learners import Learner
from acmelike.policies import PortablePolicy
from acmelike.replay import Replay
from acmelike.types import Array, Nested, Versioned

logger = logging.getLogger("acmelike")


class EvaluationTask(NamedTuple):
    """An evaluation to be made.

    Attributes:
      number: of the task; it is unique.
      end_reason: why the run ends after this evaluation; None if it continues.
      env_steps: environment steps made when the task was ordered.
      version: of the parameters.
      policy: of the agent.
      parameters: to act with.
      is_again: whether it is a second evaluation of these parameters, because the first
        may have been the best by luck.
    """

    number: int
    end_reason: str | None
    env_steps: int
    version: int
    policy: PortablePolicy
    parameters: Nested
    is_again: bool = False


class Progress(NamedTuple):
    """How far a run is.

    Attributes:
      env_steps: environment steps, as replay counts them.
      learner_steps: updates of the parameters.
      mean_return: of the latest evaluation; None before the first.
      best_return: the highest mean return of all evaluations; None before the first.
      training_return: the mean of the last 100 episodes of the actors, which explore;
        None before the first.
    """

    env_steps: int
    learner_steps: int
    mean_return: float | None
    best_return: float | None
    training_return: float | None = None


class Coordinator:
    """A worker; each step waits for environment steps, then does the work that is due.

    An evaluator asks for the next task and reports the returns. A run ends with a
    final evaluation: of the parameters that reached the target, or of the newest ones
    when the budget is used.

    Args:
      goal: when the run ends.
      replay: counts the environment steps.
      table: the name of the table whose statistics are recorded.
      learner: has the parameters.
      metrics: the path of the file that records are appended to.
      policy_file: overwritten with the evaluated parameters after each evaluation; None
        to save no policy.
      best_policy_file: overwritten with parameters that a second, unrecorded evaluation
        finds better than all before; None to save no best policy.
      video_format: of the videos that evaluators send, which are written into the
        folder `videos/` beside the records.
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
        best_policy_file: PolicyFile | None = None,
        video_format: str = "gif",
    ):
        self._schedule, self._records = Schedule(goal), RecordWriter(Path(metrics))
        self._replay, self._table, self._learner = replay, table, learner
        self._policy_file, self._best_policy_file = policy_file, best_policy_file
        # Beside the records.
        self._videos, self._video_format = Path(metrics).parent / "videos", video_format
        self._started_at: float | None = None
        self._policy: PortablePolicy | None = None
        self._ordered: EvaluationTask | None = None
        self._under_way: EvaluationTask | None = None
        self._reached_target: EvaluationTask | None = None
        self._again: EvaluationTask | None = None
        self._best_again: float | None = None
        self._num_tasks = 0
        self._progress = Progress(0, 0, None, None)
        self._metrics: Mapping[str, float] = {}

    # --- Its service -----------------------------------------------------------------

    def _none_due(self) -> str | None:
        tasks = (self._again, self._ordered, self._under_way)
        if any(task is not None for task in tasks):
            return None
        due = self._schedule.next_evaluation
        return f"the next evaluation is due at {due} environment steps"

    @idempotent
    @when(_none_due)
    def next_evaluation(self) -> EvaluationTask:
        """Returns the task that is due, until its result is reported.

        An evaluator reports before it requests another task. So a request while a task
        is under way comes from the replacement of an evaluator that failed.
        """
        if self._under_way is None:
            if self._again is not None:
                self._under_way, self._again = self._again, None
            else:
                self._under_way, self._ordered = self._ordered, None
        assert self._under_way is not None
        return self._under_way

    def report(self, number: int, returns: Array, video: bytes = b"") -> None:
        """Records the result of a task; the last result of the final one ends the run.

        Args:
          number: of the task.
          returns: `[E]`, one of each episode.
          video: of one more episode, the content of a file; empty for none.

        Raises:
          ValueError: this task is not the one that was returned last.
        """
        task = self._under_way
        if task is None or task.number != number:
            raise ValueError(f"evaluation {number} is not under way")
        record = make_evaluation_record(task.env_steps, task.version, returns)
        if task.is_again:
            self._judge_again(task, record)
        else:
            self._judge(task, record)
        # Only now: if a file cannot be written, another evaluator gets the task again.
        self._under_way = None
        if video:
            self._write_video(task, video)
        if task.end_reason is not None and self._again is None:
            stop_run(task.end_reason)

    @idempotent
    def progress(self) -> Progress:
        """Returns how far the run is."""
        return self._progress

    @idempotent
    def record_metrics(self, node: str, metrics: Mapping[str, float]) -> None:
        """Adds another node's numbers to progress records until it sends newer ones.

        In `metrics.jsonl` each number has the name "node/name".

        Args:
          node: the node's name in the records, such as its label.
          metrics: the numbers, by name.

        Raises:
          TypeError, ValueError: a value is not a number.
        """
        numbers = {f"{node}/{name}": float(value) for name, value in metrics.items()}
        self._metrics = {**self._metrics, **numbers}

    def _judge(self, task: EvaluationTask, record: dict[str, Any]) -> None:
        mean, best = record["mean_return"], self._progress.best_return
        best = mean if best is None else max(mean, best)
        self._progress = self._progress._replace(mean_return=mean, best_return=best)
        if self._policy_file is not None:
            self._policy_file.write(task.policy, task.parameters, record)
        self._records.write("end" if task.end_reason else "evaluation", record)
        if task.end_reason is None and self._schedule.reaches_target(mean):
            self._reached_target = task
        if self._best_policy_file is not None and self._is_best(mean):
            self._num_tasks += 1
            self._again = task._replace(number=self._num_tasks, is_again=True)

    def _write_video(self, task: EvaluationTask, video: bytes) -> None:
        name = f"{task.env_steps:010}.{self._video_format}"
        try:
            self._videos.mkdir(exist_ok=True)
            write_whole(self._videos / name, video)
        except OSError as error:  # Such as a full disk; the run needs no video.
            logger.warning("cannot write the video %s: %s", name, error.strerror)

    def _judge_again(self, task: EvaluationTask, record: dict[str, Any]) -> None:
        if self._is_best(record["mean_return"]):
            assert self._best_policy_file is not None
            self._best_policy_file.write(task.policy, task.parameters, record)
            self._best_again = record["mean_return"]

    def _is_best(self, mean_return: float) -> bool:
        return self._best_again is None or mean_return > self._best_again

    # --- Its own work ----------------------------------------------------------------

    def step(self) -> None:
        """Waits for the next environment steps, then records and orders what is due."""
        env_steps = self._replay.past_env_steps(self._next_look())
        # Read once: a report may arrive late and set it during this step.
        reached = self._reached_target
        end_reason = self._schedule.end_reason(
            env_steps, is_target_reached=reached is not None
        )
        if end_reason is not None:
            self._replay.stop_inserts("the run is over but for its final evaluation")
            env_steps = self._replay.num_env_steps()
        judged: EvaluationTask | Versioned | None = None
        if end_reason is not None or env_steps >= self._schedule.next_evaluation:
            # Before the counters are read: they are never behind these parameters.
            judged = reached or self._learner.parameters()
        self._record_progress(env_steps)
        if judged is not None:
            _check_parameters(judged)
            self._order(env_steps, judged, end_reason)
        if end_reason is not None:
            sleep(None, "the final evaluation")

    def _next_look(self) -> int:
        if self._started_at is None:
            return 1  # The clock of the records starts with the first step.
        seconds = now() - self._started_at
        return self._schedule.next_look(self._progress.env_steps, seconds)

    def _record_progress(self, env_steps: int) -> None:
        if self._started_at is None:
            self._records.start()
            self._started_at = now()
        learner, table = self._learner.progress(), self._replay.info(self._table)
        episodes = self._replay.episodes()
        with updating(self):
            self._progress = self._progress._replace(
                env_steps=env_steps,
                learner_steps=learner.num_updates,
                training_return=episodes.mean_return,
            )
        record = make_progress_record(
            env_steps, learner, table, episodes, self._metrics
        )
        self._records.write("progress", record)

    def _order(
        self,
        env_steps: int,
        judged: EvaluationTask | Versioned,
        end_reason: str | None,
    ) -> None:
        """Makes a task due; it replaces one that no evaluator has asked for yet.

        Args:
          env_steps: made so far.
          judged: has the parameters to evaluate.
          end_reason: why the run ends after it, or None.
        """
        if self._policy is None:
            self._policy = self._learner.policy()
        with updating(self):
            self._schedule.mark_evaluated(env_steps)
            self._num_tasks += 1
            self._ordered = EvaluationTask(
                self._num_tasks,
                end_reason,
                env_steps,
                judged.version,
                self._policy,
                judged.parameters,
            )


def _check_parameters(judged: EvaluationTask | Versioned) -> None:
    """Refuses parameters with NaN, whose actions would be meaningless.

    The loss of the update that made them may have been finite. Then the learner would
    notice the NaN only in the loss of the next update.

    Raises:
      NonFinite: a number in them is NaN.
    """
    for leaf in optree.tree_leaves(judged.parameters):
        array = np.asarray(leaf)
        is_float = array.dtype.kind in "fc" or array.dtype.name == "bfloat16"
        if is_float and np.isnan(array).any():
            raise NonFinite(f"the parameters have nan after {judged.version} updates")

"""The coordinator as a plain object: what is due, what is recorded, when it is over."""

import errno
import json
from functools import partial

import numpy as np
import pytest

from acmelike import load_policy
from acmelike.environments import make_environment_spec
from acmelike.errors import ConfigError, NonFinite, NotReady, RunStopped
from acmelike.evaluation.coordinator import Coordinator
from acmelike.evaluation.goal import Goal
from acmelike.evaluation.policy_file import PolicyFile
from acmelike.evaluation.schedule import Schedule
from acmelike.learners import Learner
from acmelike.replay import Replay
from acmelike.types import Versioned
from tests.counting_agent import Clock, CountingBuilder, make_items

SPEC = make_environment_spec(Clock(1))


class World:
    """A coordinator between a replay and a learner, all of them plain objects.

    Args:
      folder: for the file of records.
      **goal: of the run; an evaluation is due every 10 environment steps.
    """

    def __init__(self, folder, keeps_best=False, **goal):
        builder = CountingBuilder(replacement=True)
        self.replay = Replay([builder.make_table(SPEC)], seed=0)
        self.learner = Learner(
            builder=builder, spec=SPEC, replay=self.replay, table="items", seed=0
        )
        self.metrics = folder / "metrics.jsonl"
        make_file = partial(
            PolicyFile, builder=builder, spec=SPEC, environment_factory=Clock
        )
        settings = {"max_env_steps": 100, "evaluate_every": 10, "record_every": 5}
        self.coordinator = Coordinator(
            goal=Goal(**(settings | goal)),
            replay=self.replay,
            table="items",
            learner=self.learner,
            metrics=str(self.metrics),
            policy_file=make_file(path=str(folder / "policy.zip")),
            best_policy_file=make_file(path=str(folder / "best_policy.zip"))
            if keeps_best
            else None,
        )

    def act(self, num_env_steps):
        """Acts for so many environment steps, which the coordinator then sees."""
        self.replay.insert("items", make_items(rewards=[1]), None, num_env_steps)
        self.coordinator.step()

    def end(self, num_env_steps=1):
        """The same, when the coordinator will find that the run is over."""
        with pytest.raises(NotReady, match="the final evaluation"):
            self.act(num_env_steps)

    def evaluate(self, *returns):
        """Makes the evaluation that is due, with these returns."""
        task = self.coordinator.next_evaluation()
        self.coordinator.report(task.number, np.array(returns))
        return task

    def records(self):
        return [json.loads(line) for line in self.metrics.read_text().splitlines()]


def test_an_evaluation_is_due_every_so_many_steps(tmp_path):
    world = World(tmp_path)
    reason = r"Coordinator\.next_evaluation: the next evaluation is due at 10 env"
    for num_env_steps in (1, 8):
        world.act(num_env_steps)
        with pytest.raises(NotReady, match=reason):
            world.coordinator.next_evaluation()
    world.learner.step()
    world.act(3)
    task = world.coordinator.next_evaluation()
    assert (task.number, task.env_steps, task.version) == (1, 12, 2)
    assert task.parameters["count"] == 2
    world.coordinator.report(task.number, np.array([1.0]))
    with pytest.raises(NotReady, match="due at 20"):
        world.coordinator.next_evaluation()


def test_who_asks_while_one_is_under_way_gets_it_again(tmp_path):
    """The evaluator that had it has failed, and was restarted."""
    world = World(tmp_path, max_env_steps=10)
    world.end(10)
    lost = world.coordinator.next_evaluation()
    again = world.coordinator.next_evaluation()
    assert again is lost and again.end_reason is not None
    with pytest.raises(RunStopped, match="the budget of 10 environment steps is used"):
        world.coordinator.report(again.number, np.array([1.0]))


def test_a_task_that_was_lost_comes_before_one_that_was_ordered_since(tmp_path):
    world = World(tmp_path)
    world.act(10)
    lost = world.coordinator.next_evaluation()
    world.act(10)
    again = world.evaluate(1.0)
    later = world.evaluate(2.0)
    assert again is lost and (again.env_steps, later.env_steps) == (10, 20)


def test_a_task_whose_result_cannot_be_stored_is_due_again(tmp_path, monkeypatch):
    world = World(tmp_path, max_env_steps=10)
    world.end(10)
    task = world.coordinator.next_evaluation()

    def full_disk(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(PolicyFile, "write", full_disk)
        world.coordinator.report(task.number, np.array([1.0]))
    assert world.coordinator.next_evaluation() is task
    with pytest.raises(RunStopped, match="the budget of"):
        world.coordinator.report(task.number, np.array([1.0]))
    assert world.records()[-1]["event"] == "end"


def test_the_counters_are_never_behind_the_parameters_that_are_judged(
    tmp_path, monkeypatch
):
    world = World(tmp_path, max_env_steps=10)
    episodes = world.replay.episodes

    def learns_meanwhile():
        world.learner.step()
        return episodes()

    monkeypatch.setattr(world.replay, "episodes", learns_meanwhile)
    world.end(10)
    task = world.coordinator.next_evaluation()
    assert task.version <= world.records()[-1]["learner_steps"]
    assert task.version < world.learner.parameters().version


def test_a_new_evaluation_replaces_one_that_was_not_begun(tmp_path):
    world = World(tmp_path)
    world.act(10)
    world.act(25)
    assert world.evaluate(1.0).env_steps == 35
    with pytest.raises(NotReady, match="due at 40"):
        world.coordinator.next_evaluation()


def test_it_looks_again_only_after_some_steps(tmp_path):
    world = World(tmp_path, record_every=5)
    with pytest.raises(NotReady, match="environment steps 0 of 1"):
        world.coordinator.step()
    world.act(2)
    with pytest.raises(NotReady, match="environment steps 2 of 7"):
        world.coordinator.step()


def test_it_looks_less_often_where_steps_go_by_fast():
    schedule = Schedule(
        Goal(max_env_steps=10_000, evaluate_every=10_000, record_every=5)
    )
    assert schedule.next_look(1_000, 0.5) == 1_005  # Too early to know the rate.
    assert schedule.next_look(2_000, 2.0) == 2_100  # A tenth of a second at 1000/s.
    assert schedule.next_look(20, 2.0) == 25
    assert schedule.next_look(9_990, 0.1) == 9_995
    assert schedule.next_look(9_999, 0.1) == 10_000


@pytest.mark.parametrize(
    ("goal", "next_look"),
    [
        ({"max_env_steps": 12, "evaluate_every": 20}, 12),
        ({"max_env_steps": 100, "evaluate_every": 11}, 11),
        ({"max_env_steps": 100, "evaluate_every": 20}, 14),
    ],
)
def test_it_looks_when_there_is_something_to_do(tmp_path, goal, next_look):
    world = World(tmp_path, record_every=5, **goal)
    world.act(9)
    with pytest.raises(NotReady, match=f"environment steps 9 of {next_look}"):
        world.coordinator.step()


def test_one_evaluation_that_reaches_the_goal_does_not_end_the_run(tmp_path):
    world = World(tmp_path, stop_at_return=5)
    world.act(10)
    world.evaluate(5, 5)
    world.act(10)
    world.evaluate(5, 4)  # a mean of 4.5
    world.act(10)
    world.evaluate(6, 6)
    world.act(10)
    assert world.coordinator.next_evaluation().end_reason is None


def test_two_in_a_row_end_it_with_the_parameters_of_the_second(tmp_path):
    world = World(tmp_path, stop_at_return=5)
    world.act(10)
    world.evaluate(4, 6)
    world.learner.step()
    world.act(10)
    second = world.evaluate(6, 6)
    world.learner.step()  # It continues, and may become worse.
    world.end(5)
    final = world.coordinator.next_evaluation()
    assert final.env_steps == 25
    assert final.version == second.version == 2
    assert final.parameters is second.parameters
    with pytest.raises(RunStopped, match="the return reached 5 twice in a row"):
        world.coordinator.report(final.number, np.array([1, 2]))


def test_without_a_goal_returns_end_nothing(tmp_path):
    world = World(tmp_path)
    for _ in range(4):
        world.act(10)
        assert world.evaluate(1e9).end_reason is None


def test_the_budget_ends_it_with_the_newest_parameters(tmp_path):
    world = World(tmp_path, max_env_steps=30, stop_at_return=5)
    world.act(10)
    world.evaluate(5)
    world.learner.step()
    world.end(20)
    with pytest.raises(NotReady, match="the run is over but for its final evaluation"):
        world.act(1)
    world.learner.step()
    final = world.coordinator.next_evaluation()
    assert (final.env_steps, final.version) == (30, 2)
    with pytest.raises(RunStopped, match="the budget of 30 environment steps is used"):
        world.coordinator.report(final.number, np.array([7]))


def test_parameters_with_nan_are_never_judged(tmp_path, monkeypatch):
    world = World(tmp_path)
    world.act(10)
    world.evaluate(5)
    kept = (tmp_path / "policy.zip").read_bytes()
    wrong = Versioned(7, {"a": np.ones(2, np.int64), "b": np.float32([0, np.nan])})
    monkeypatch.setattr(world.learner, "parameters", lambda: wrong)
    with pytest.raises(NonFinite, match="the parameters have nan after 7 updates"):
        world.act(10)
    with pytest.raises(NotReady):
        world.coordinator.next_evaluation()
    assert (tmp_path / "policy.zip").read_bytes() == kept


def test_an_evaluation_that_ends_late_does_not_change_why_it_is_over(tmp_path):
    world = World(tmp_path, max_env_steps=30, stop_at_return=5)
    world.act(10)
    world.evaluate(5)
    world.act(10)
    late = world.coordinator.next_evaluation()
    world.end(10)
    world.coordinator.report(late.number, np.array([5]))
    with pytest.raises(RunStopped, match="the budget of 30 environment steps is used"):
        world.evaluate(5)


def test_only_the_evaluation_under_way_can_be_reported(tmp_path):
    world = World(tmp_path)
    with pytest.raises(ValueError, match="evaluation 1 is not under way"):
        world.coordinator.report(1, np.array([0]))
    world.act(10)
    with pytest.raises(ValueError, match="evaluation 1 is not under way"):
        world.coordinator.report(1, np.array([0]))
    world.evaluate(0)
    with pytest.raises(ValueError, match="evaluation 1 is not under way"):
        world.coordinator.report(1, np.array([0]))


def test_progress_has_the_latest_and_the_best_return(tmp_path):
    world = World(tmp_path)
    assert world.coordinator.progress()[:4] == (0, 0, None, None)
    for mean, best in [(-3, -3), (2, 2), (1, 2)]:
        world.act(10)
        world.evaluate(mean - 1, mean + 1)
        assert world.coordinator.progress()[2:4] == (mean, best)
    world.learner.step()
    world.act(10)
    assert world.coordinator.progress()[:4] == (40, 2, 1, 2)


def test_the_policy_left_is_that_of_the_latest_evaluation(tmp_path):
    world = World(tmp_path, stop_at_return=5)
    world.act(1)
    world.learner.step()
    world.act(9)
    assert not (tmp_path / "policy.zip").exists()
    world.evaluate(1)
    assert load_policy(tmp_path).record == {
        "env_steps": 10,
        "learner_steps": 2,
        "mean_return": 1.0,
        "std_return": 0.0,
        "num_episodes": 1,
    }
    world.act(10)
    world.evaluate(6)
    world.learner.step()
    world.act(10)
    world.evaluate(6)
    world.learner.step()  # Goes on, and is not what was judged.
    world.end(5)
    with pytest.raises(RunStopped):
        world.evaluate(3)
    left = load_policy(tmp_path)
    assert (left.record["learner_steps"], left.record["mean_return"]) == (4, 3)
    assert left.act([0.0]) == 4


def test_records(tmp_path):
    world = World(tmp_path, max_env_steps=21)
    world.act(1)
    world.learner.step()  # takes the one item four times
    world.act(10)
    world.evaluate(1, 3)
    world.end(10)
    with pytest.raises(RunStopped):
        world.evaluate(4)
    records = world.records()
    # What the clock says is in one place, so that two runs can be compared.
    seconds = [record.pop("time")["seconds"] for record in records]
    assert seconds == sorted(seconds) and seconds[0] >= 0
    spread = {
        f"{name}_{key}": value
        for name, value in (("staleness", 0.5), ("times_sampled", 4))
        for key in ("p50", "p90", "max")
    }
    assert records == [
        {
            "event": "progress",
            "env_steps": 1,
            "learner_steps": 0,
            "loss": None,
            "metrics": {},
            "staleness_mean": 0.0,
            "samples_per_insert": 0.0,
            "replay_size": 1,
            "num_episodes": 0,
        },
        {
            "event": "progress",
            "env_steps": 11,
            "learner_steps": 2,
            "loss": 1.0,
            "metrics": {"loss": 1.0, "max_reward": 1.0},
            "staleness_mean": 0.5,
            **spread,
            "samples_per_insert": 2.0,
            "replay_size": 2,
            "num_episodes": 0,
        },
        {
            "event": "evaluation",
            "env_steps": 11,
            "learner_steps": 2,
            "mean_return": 2.0,
            "std_return": 1.0,
            "num_episodes": 2,
        },
        {
            "event": "progress",
            "env_steps": 21,
            "learner_steps": 2,
            "loss": 1.0,
            "metrics": {"loss": 1.0, "max_reward": 1.0},
            "staleness_mean": 0.5,
            **spread,
            "samples_per_insert": 4 / 3,
            "replay_size": 3,
            "num_episodes": 0,
        },
        {
            "event": "end",
            "env_steps": 21,
            "learner_steps": 2,
            "mean_return": 4.0,
            "std_return": 0.0,
            "num_episodes": 1,
        },
    ]


def test_other_nodes_record_numbers_beside_those_of_the_learner(tmp_path):
    world = World(tmp_path)
    world.coordinator.record_metrics("probe", {"height": 3, "width": np.float32(0.5)})
    world.act(5)
    world.coordinator.record_metrics("probe", {"height": 4})
    world.act(5)
    assert [record["metrics"] for record in world.records()] == [
        {"probe/height": 3.0, "probe/width": 0.5},
        {"probe/height": 4.0, "probe/width": 0.5},
    ]
    with pytest.raises(ValueError, match="could not convert string to float"):
        world.coordinator.record_metrics("probe", {"height": "high"})


def test_videos_are_files_named_after_the_environment_steps(tmp_path, caplog):
    world = World(tmp_path)
    for content in (b"one", b"two"):
        world.act(10)
        task = world.coordinator.next_evaluation()
        world.coordinator.report(task.number, np.array([1.0]), content)
    folder = tmp_path / "videos"
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {"0000000010.gif": b"one", "0000000020.gif": b"two"}
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.touch()  # Nothing can be written there now, and the run goes on.
    world.act(10)
    task = world.coordinator.next_evaluation()
    world.coordinator.report(task.number, np.array([1.0]), b"three")
    assert "cannot write the video 0000000030.gif" in caplog.text


# --- The best policy ----------------------------------------------------------------


def test_what_may_be_the_best_is_evaluated_again(tmp_path):
    world = World(tmp_path, keeps_best=True)
    world.act(10)
    first = world.evaluate(5.0)
    assert not (tmp_path / "best_policy.zip").exists()
    again = world.evaluate(3.0, 5.0)
    assert again.is_again and again.parameters is first.parameters
    best = load_policy(tmp_path, best=True)
    assert (best.record["mean_return"], best.record["num_episodes"]) == (4.0, 2)
    # The second evaluation stands in no record.
    events = [line["event"] for line in world.records()]
    assert events == ["progress", "evaluation"]
    assert world.coordinator.progress().best_return == 5.0
    with pytest.raises(NotReady, match="due at 20"):
        world.coordinator.next_evaluation()


def test_luck_does_not_make_a_policy_the_best(tmp_path):
    world = World(tmp_path, keeps_best=True)
    world.act(10)
    world.evaluate(5.0)
    world.evaluate(4.0)
    world.learner.step()
    world.act(10)
    assert world.evaluate(4.5).version == 2
    assert world.evaluate(3.5).is_again
    assert load_policy(tmp_path, best=True).record["learner_steps"] == 0
    world.act(10)
    world.evaluate(3.9)  # Not above the best, which is 4.
    with pytest.raises(NotReady, match="due at 40"):
        world.coordinator.next_evaluation()
    world.act(10)
    world.evaluate(4.5)
    world.evaluate(4.1)
    assert load_policy(tmp_path, best=True).record["learner_steps"] == 2


def test_every_evaluation_has_a_number_of_its_own(tmp_path):
    world = World(tmp_path, keeps_best=True)
    world.act(10)
    numbers = [world.evaluate(1.0).number, world.evaluate(1.0).number]
    world.act(10)
    assert len({*numbers, world.evaluate(0.5).number}) == 3


def test_a_run_ends_when_its_last_policy_was_evaluated_again(tmp_path):
    world = World(tmp_path, keeps_best=True, max_env_steps=10)
    world.end(10)
    assert world.evaluate(1.0).end_reason is not None
    task = world.coordinator.next_evaluation()
    assert task.is_again
    with pytest.raises(RunStopped, match="the budget of 10 environment steps is used"):
        world.coordinator.report(task.number, np.array([1.0]))
    assert load_policy(tmp_path, best=True).record["mean_return"] == 1.0


def test_a_last_policy_that_is_not_the_best_ends_the_run_at_once(tmp_path):
    world = World(tmp_path, keeps_best=True, max_env_steps=20)
    world.act(10)
    world.evaluate(5.0)
    world.evaluate(5.0)
    world.end(10)
    task = world.coordinator.next_evaluation()
    with pytest.raises(RunStopped):
        world.coordinator.report(task.number, np.array([4.0]))


def test_without_keep_best_there_is_none(tmp_path):
    world = World(tmp_path)
    world.act(10)
    world.evaluate(5.0)
    with pytest.raises(ConfigError, match=r"leaves best_policy\.zip with --keep-best"):
        load_policy(tmp_path, best=True)

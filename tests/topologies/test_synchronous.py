"""Lock-step: one version of the parameters in every batch, and the newest one."""

import json
import os
import signal
from functools import partial

import pytest

from acmelike import (
    ConfigError,
    Experiment,
    Goal,
    Layout,
    NodeFailed,
    launch,
    make_actor_learner,
    make_synchronous,
)
from acmelike.adders import unroll_signature
from acmelike.environments.place import current_place
from acmelike.replay import TableConfig
from tests.counting_agent import Clock, CountingBuilder, LagBuilder

LAUNCHERS = ("serial", "threads", "processes")


def make_clock(seed):
    return Clock(5)


class Mortal(Clock):
    """Kills its process at its eighth step, and notes it in a file."""

    def __init__(self, path):
        super().__init__(5)
        self._path, self._num_steps = path, 0

    def step(self, action):
        self._num_steps += 1
        if self._num_steps == 8:
            with open(self._path, "a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


def make_mortal_or_clock(seed, path):
    return Mortal(path) if current_place().node == "actor/0" else Clock(5)


def losses(
    folder,
    launcher,
    make_topology,
    *,
    builder,
    num_actors=2,
    environment=make_clock,
    max_env_steps=240,
    **layout,
):
    """Runs some steps; the lag of every batch that was recorded."""
    layout = {"num_envs_per_actor": 2, "num_eval_episodes": 1, **layout}
    experiment = Experiment(
        builder=builder,
        environment_factory=environment,
        layout=Layout(num_actors=num_actors, **layout),
        goal=Goal(max_env_steps=max_env_steps, evaluate_every=100, record_every=1),
        metrics=str(folder / "metrics.jsonl"),
    )
    system = make_topology(experiment)
    with launch(system.program, launcher) as running:
        running.wait(timeout=60)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [r["loss"] for r in records if r.get("loss") is not None], records


SOME_CACHERS = [pytest.param(num, marks=pytest.mark.slow) for num in (1, 2)]


@pytest.mark.parametrize("num_cachers", [0, *SOME_CACHERS])
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_no_batch_is_older_than_the_parameters(tmp_path, launcher, num_cachers):
    builder = LagBuilder(batch_size=4, num_updates_per_call=2)
    found, records = losses(
        *(tmp_path, launcher, make_synchronous),
        builder=builder,
        num_cachers=num_cachers,
    )
    # Of those at which the coordinator looked: how often is certain under serial only.
    assert len(found) > (3 if launcher == "serial" else 0)
    assert set(found) == {0.0}
    # Of two updates, one is made one version after what the data was collected with.
    last = [record for record in records if record["event"] == "progress"][-1]
    assert last["staleness_mean"] == 0.5
    assert records[-1]["learner_steps"] > 10


@pytest.mark.slow
@pytest.mark.parametrize("num_cachers", [0, 1])
def test_an_actor_that_is_killed_is_restarted_and_no_batch_is_older(
    tmp_path, num_cachers
):
    deaths = tmp_path / "deaths"
    found, records = losses(
        *(tmp_path, "processes", make_synchronous),
        builder=LagBuilder(batch_size=4, num_updates_per_call=2),
        environment=partial(make_mortal_or_clock, path=str(deaths)),
        max_env_steps=70,
        num_cachers=num_cachers,
    )
    # Two unrolls of three steps, and then it is killed within the next one.
    assert 2 <= len(deaths.read_text()) <= 5
    assert set(found) == {0.0}
    assert records[-1]["env_steps"] >= 70


class WrongBuilder(LagBuilder):
    """Its table wants longer unrolls than its adder makes."""

    def make_table(self, spec):
        signature = unroll_signature(spec, self.unroll_length + 1)
        return TableConfig.queue("unrolls", signature, self.queue_size)


@pytest.mark.parametrize("launcher", ["serial", "threads"])
def test_unrolls_that_replay_refuses_end_the_run(tmp_path, launcher):
    with pytest.raises(NodeFailed, match=r"actor/[01].*table 'unrolls'"):
        losses(
            *(tmp_path, launcher, make_synchronous), builder=WrongBuilder(batch_size=4)
        )


def test_without_lock_step_some_are(tmp_path):
    builder = LagBuilder(batch_size=2, num_updates_per_call=2)
    found, _ = losses(tmp_path, "serial", make_actor_learner, builder=builder)
    assert max(found) > 0


def test_an_agent_that_uses_items_again_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="counting cannot run in lock-step: it uses"):
        losses(tmp_path, "serial", make_synchronous, builder=CountingBuilder())


def test_batches_of_another_size_are_refused(tmp_path):
    builder = LagBuilder(batch_size=5)
    with pytest.raises(ConfigError, match="batches of 5, and 2 actors of 2 environme"):
        losses(tmp_path, "serial", make_synchronous, builder=builder)


def test_actors_that_come_and_go_are_refused(tmp_path):
    builder = LagBuilder(batch_size=4)
    with pytest.raises(ConfigError, match=r"in lock-step all actors .* got 5"):
        losses(*(tmp_path, "serial", make_synchronous), builder=builder, max_actors=5)


def test_actors_that_would_miss_a_version_are_refused(tmp_path):
    builder = LagBuilder(batch_size=4)
    with pytest.raises(ConfigError, match="parameter_interval must be 1, got 2"):
        losses(
            *(tmp_path, "serial", make_synchronous),
            builder=builder,
            parameter_interval=2,
        )


def test_more_cachers_than_actors_are_refused(tmp_path):
    builder = LagBuilder(batch_size=4)
    with pytest.raises(ConfigError, match="num_cachers must be at most 2, the number"):
        losses(*(tmp_path, "serial", make_synchronous), builder=builder, num_cachers=3)


def test_without_lock_step_an_actor_may_leave_versions_out(tmp_path):
    builder = LagBuilder(batch_size=2, num_updates_per_call=2)
    often, _ = losses(tmp_path, "serial", make_actor_learner, builder=builder)
    rarely, _ = losses(
        *(tmp_path, "serial", make_actor_learner),
        builder=builder,
        parameter_interval=20,
        num_cachers=1,
    )
    assert max(rarely) > max(often)

"""Central inference: actors without a network, and batches that form by themselves."""

import json
import os
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from acmelike import Experiment, Goal, Layout, make_central_inference
from acmelike.actors.central import EnvironmentWorker, InferenceQueue, InferenceServer
from acmelike.agent import PolicyInputs
from acmelike.agents.dqn import DQNBuilder, DQNConfig
from acmelike.core import sleep
from acmelike.environments import CatchFactory
from acmelike.errors import ConfigError, EnvironmentFault, NodeFailed, RunError
from acmelike.launchers import launch
from acmelike.learners import Learner
from acmelike.topologies.names import TOPOLOGIES
from tests.agents.settings import configure
from tests.counting_agent import Clock, CountingBuilder, LagBuilder

LAUNCHERS = ("serial", "threads", pytest.param("processes", marks=pytest.mark.slow))
LAYOUT = Layout(num_actors=3, num_envs_per_actor=2, num_eval_episodes=1)


def make_clock(seed):
    return Clock(5)


def make_system(folder, builder=None, *, environment=make_clock, layout=LAYOUT, **goal):
    experiment = Experiment(
        builder=builder or LagBuilder(),
        environment_factory=environment,
        layout=layout,
        goal=Goal(**({"max_env_steps": 240, "evaluate_every": 100} | goal)),
        metrics=str(folder / "metrics.jsonl"),
    )
    return make_central_inference(experiment)


def find(program, label):
    return next(e for e in program.entries.values() if e.label == label)


def run(folder, launcher, **settings):
    """Runs to the end; returns the records without their times."""
    system = make_system(folder, **settings)
    with launch(system.program, launcher) as running:
        running.wait(timeout=60)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        del record["time"]
    return records


class Kept(InferenceQueue):
    """InferenceQueue that a test may look at after the run."""

    def __init__(self, **settings):
        super().__init__(**settings)
        KEPT.append(self)


KEPT = []


def run_for_statistics(folder, *, late=(), **settings):
    """Runs in turn, some actors late; returns what batches there were."""
    system = make_system(folder, **settings)
    find(system.program, "requests").node.constructor = Kept
    for label in late:
        find(system.program, label).node.constructor = Late
    with launch(system.program, "serial") as running:
        running.wait(timeout=60)
    return KEPT.pop().statistics()


class Late(EnvironmentWorker):
    """Takes time for each step, longer than batches wait."""

    def step(self):
        sleep(0.005, "slow environments")
        super().step()


# --- The program ------------------------------------------------------------------


def test_actors_have_environments_and_nothing_else(tmp_path):
    program = make_system(tmp_path).program
    program.validate()
    assert set(program.edges()) == {
        *((f"actor/{i}", "requests") for i in range(3)),
        ("inference", "requests"),
        ("inference", "replay"),
        ("inference", "learner"),
        ("learner", "replay"),
        ("coordinator", "learner"),
        ("coordinator", "replay"),
        ("evaluator", "coordinator"),
    }
    for i in range(3):
        entry = find(program, f"actor/{i}")
        assert entry.node.constructor is EnvironmentWorker
        assert set(entry.node.kwargs) == {
            *("environment_factory", "num_envs", "index", "requests", "seed")
        }


def test_the_inference_node_and_what_it_waits_for_share_a_process(tmp_path):
    entries = make_system(tmp_path).program.entries.values()
    places = {entry.label: entry.process for entry in entries if entry.process}
    assert places == {"requests": "inference", "inference": "inference"}
    kinds = {entry.label: entry.node.constructor for entry in entries}
    assert kinds["requests"] is InferenceQueue and kinds["inference"] is InferenceServer
    assert kinds["learner"] is Learner


def test_it_has_a_name_on_the_command_line():
    assert TOPOLOGIES["central_inference"] is make_central_inference


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("inference_batch_size", -1, "inference_batch_size must be at least 0: -1"),
        (
            "inference_wait_seconds",
            -1.0,
            "inference_wait_seconds must be at least 0: -1",
        ),
        ("inference_wait_seconds", float("inf"), "at least 0: inf"),
    ],
)
def test_layouts_that_are_refused(field, value, words):
    with pytest.raises(ConfigError, match=words):
        replace(LAYOUT, **{field: value})


def test_a_batch_that_can_never_form_is_refused(tmp_path):
    layout = replace(LAYOUT, inference_batch_size=7)
    with pytest.raises(ConfigError, match="must be at most 6, the environments of al"):
        make_system(tmp_path, layout=layout)


def test_actors_that_come_and_go_are_refused(tmp_path):
    layout = replace(LAYOUT, max_actors=9)
    with pytest.raises(
        ConfigError, match=r"with central inference all actors .* got 9"
    ):
        make_system(tmp_path, layout=layout)


def place_noise(random, num_envs, *, index):
    return np.full(num_envs, index)


class PlacedBuilder(CountingBuilder):
    """Its actors draw different random numbers."""

    def make_policy_inputs(self, spec, place):
        return PolicyInputs(noise=partial(place_noise, index=place.index))


def test_actors_that_differ_in_more_than_states_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="counting cannot run with central inference"):
        make_system(tmp_path, PlacedBuilder())


# --- Its runs ---------------------------------------------------------------------


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_it_runs_to_its_end(tmp_path, launcher):
    end = run(tmp_path, launcher)[-1]
    assert end["event"] == "end" and end["env_steps"] >= 240
    # An update for every 4 unrolls of 3 time steps, but for what is on its way.
    assert end["learner_steps"] >= 240 / (4 * 3) - 1


def test_all_make_a_batch_at_once(tmp_path):
    found = run_for_statistics(tmp_path)
    assert found.num_by_all == found.num_batches > 40
    assert found.mean_size == found.largest == 6


@pytest.mark.parametrize(
    ("wanted", "most"), [(1, 2), (2, 2), (3, 2), (4, 4), (5, 4), (6, 6), (0, 6)]
)
def test_a_batch_is_of_whole_actors_and_never_larger(tmp_path, wanted, most):
    layout = replace(LAYOUT, inference_batch_size=wanted)
    builder = LagBuilder(batch_size=2)
    found = run_for_statistics(tmp_path, builder=builder, layout=layout)
    assert found.largest == most
    # Nobody starves: all actors bring the run to its end.
    assert found.num_environments >= 240


@pytest.mark.parametrize(("batch_size", "formed"), [(2, "size"), (4, "time")])
def test_batches_form_without_those_who_are_late(tmp_path, batch_size, formed):
    """Under `serial` time passes when nobody can run, so the test does not wait."""
    found = run_for_statistics(
        tmp_path,
        late=("actor/0", "actor/1"),
        builder=LagBuilder(batch_size=2),
        layout=replace(LAYOUT, inference_batch_size=batch_size),
    )
    num = {"size": found.num_by_size, "time": found.num_by_time}
    assert num[formed] > 20
    assert found.mean_size < 4
    assert batch_size == 4 or found.num_by_time == 0


@pytest.mark.parametrize(
    "launcher", ["threads", pytest.param("processes", marks=pytest.mark.slow)]
)
def test_an_actor_goes_on_without_the_others(tmp_path, launcher):
    system = make_system(tmp_path, builder=LagBuilder(batch_size=2))
    for label in ("actor/0", "actor/1"):
        node = find(system.program, label).node
        node.constructor, node.kwargs = Absent, {}
    with launch(system.program, launcher) as running:
        assert "budget" in running.wait(timeout=60)


class Absent:
    """A node that never asks for anything."""

    def step(self):
        sleep(None, "nothing to do")


def test_two_serial_runs_are_equal(tmp_path):
    config = configure(
        DQNConfig,
        hidden_sizes=(8,),
        batch_size=4,
        num_updates_per_call=2,
        min_size=20,
        samples_per_insert=1.0,
        actor_priorities=True,
        n_step=3,
    )
    found = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        settings = {"builder": DQNBuilder(config=config), "environment": CatchFactory()}
        found.append(run(folder, "serial", **settings))
    assert found[0] == found[1]
    assert found[0][-1]["learner_steps"] > 10


# --- What fails -------------------------------------------------------------------


class Mortal(Clock):
    """Does what a test says at its tenth time step."""

    def __init__(self, end):
        super().__init__(5)
        self.end, self.num_steps = end, 0

    def step(self, action):
        self.num_steps += 1
        if self.num_steps == 10:
            self.end()
        return super().step(action)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def complain():
    raise ValueError("no more")


def make_dying(seed):
    return Mortal(die)


def make_complaining(seed):
    return Mortal(complain)


@pytest.mark.slow
def test_a_killed_actor_ends_the_run_and_is_named(tmp_path):
    layout = replace(LAYOUT, max_restarts=0)
    system = make_system(
        tmp_path, environment=make_dying, layout=layout, evaluate_every=10_000
    )
    with pytest.raises(RunError, match=r"actor/[012].*SIGKILL"):
        with launch(system.program, "processes") as running:
            running.wait(timeout=60)


@pytest.mark.slow
def test_actors_that_are_killed_are_started_again(tmp_path):
    """Each makes ten steps and is killed; together they use the budget."""
    layout = replace(LAYOUT, max_restarts=100)
    records = run(
        tmp_path,
        "processes",
        environment=make_dying,
        layout=layout,
        max_env_steps=80,
        evaluate_every=1_000,
    )
    assert records[-1]["event"] == "end" and records[-1]["env_steps"] >= 80


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_failing_environment_ends_the_run_and_its_actor_is_named(tmp_path, launcher):
    layout = replace(LAYOUT, max_restarts=0)
    system = make_system(
        tmp_path, environment=make_complaining, layout=layout, evaluate_every=10_000
    )
    with pytest.raises(NodeFailed, match=r"actor/[012].* no more") as caught:
        with launch(system.program, launcher) as running:
            running.wait(timeout=60)
    assert isinstance(caught.value.__cause__, EnvironmentFault)

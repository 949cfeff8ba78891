"""Actors, replay, learner, evaluator and coordinator as one program."""

import json
import subprocess
import sys
import traceback
from collections import Counter
from pathlib import Path

import jax
import pytest

from acmelike import Experiment, Goal, Layout, make_actor_learner, node_seed
from acmelike.agents.dqn import DQNBuilder, DQNConfig, losses
from acmelike.environments import CatchFactory, make_environment_factory
from acmelike.errors import ConfigError
from acmelike.graph.elastic import members
from acmelike.launchers import launch
from tests.agents.settings import configure

NUM_ENVS = 4
ROOT = Path(__file__).parents[2]


def make_dqn(**settings):
    """A DQN that is small enough to learn `Catch` in seconds."""
    defaults = {
        "hidden_sizes": (32,),
        "n_step": 1,
        "learning_rate": 3e-3,
        "decay_updates": 3_000,
        "batch_size": 32,
        "num_updates_per_call": 8,
        "target_update_period": 20,
        "size": 5_000,
        "min_size": 200,
        "samples_per_insert": 16.0,
        "epsilon_alpha": 1.0,
    }
    return DQNBuilder(config=configure(DQNConfig, **(defaults | settings)))


def make_system(
    folder,
    *,
    builder=None,
    environment="Catch",
    num_actors=2,
    max_actors=None,
    num_eval_episodes=20,
    seed=0,
    layout=(),
    **goal,
):
    if isinstance(environment, str):
        environment = make_environment_factory(environment)
    experiment = Experiment(
        builder=builder or make_dqn(),
        environment_factory=environment,
        layout=Layout(
            num_actors=num_actors,
            max_actors=max_actors,
            num_envs_per_actor=NUM_ENVS,
            num_eval_episodes=num_eval_episodes,
            **dict(layout),
        ),
        goal=Goal(**({"max_env_steps": 600, "evaluate_every": 500} | goal)),
        seed=seed,
        metrics=str(folder / "metrics.jsonl"),
    )
    return make_actor_learner(experiment)


def run(folder, launcher="serial", **settings):
    """Runs to the end; returns why it ended, and the records without their times."""
    system = make_system(folder, **settings)
    with launch(system.program, launcher) as running:
        reason = running.wait(timeout=60)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        del record["time"]
    return reason, records


def events(records, event):
    return [record for record in records if record["event"] == event]


# --- The program -----------------------------------------------------------------


def test_its_edges(tmp_path):
    program = make_system(tmp_path).program
    program.validate()
    assert set(program.edges()) == {
        ("actor/0", "learner"),
        ("actor/0", "replay"),
        ("actor/1", "learner"),
        ("actor/1", "replay"),
        ("learner", "replay"),
        ("coordinator", "learner"),
        ("coordinator", "replay"),
        ("evaluator", "coordinator"),
    }


def test_the_handles_are_of_its_nodes(tmp_path):
    system = make_system(tmp_path, num_actors=3)
    handles = (
        system.replay,
        system.learner,
        system.coordinator,
        system.evaluator,
    )
    assert [system.program.entry(handle).label for handle in handles] == [
        "replay",
        "learner",
        "coordinator",
        "evaluator",
    ]


def test_every_node_has_a_seed_of_its_own(tmp_path):
    entries = make_system(tmp_path, seed=7).program.entries.values()
    seeds = {entry.label: entry.node.kwargs.get("seed") for entry in entries}
    assert seeds.pop("coordinator") is None  # nothing about it is random
    assert len(seeds) == 5
    assert set(seeds.values()) == {node_seed(7)}


def test_a_window_narrower_than_a_batch_is_refused(tmp_path):
    builder = make_dqn(error_buffer=100)
    # 8 updates of 32 items, and 16 for an insert.
    with pytest.raises(ConfigError, match=r"too narrow for a sample of 256 .* to 136"):
        make_system(tmp_path, builder=builder)
    assert list(tmp_path.iterdir()) == []


def test_an_environment_that_the_agent_cannot_act_in_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="dqn needs discrete actions"):
        make_system(tmp_path, environment="Pendulum-v1")


@pytest.mark.parametrize(
    "name", ["num_actors", "num_envs_per_actor", "num_eval_episodes"]
)
def test_a_layout_without_one_of_its_parts_is_refused(name):
    layout = {"num_actors": 1, "num_envs_per_actor": 1, "num_eval_episodes": 1}
    with pytest.raises(ConfigError, match=f"{name} must be at least 1: 0"):
        Layout(**(layout | {name: 0}))


@pytest.mark.parametrize("num_actors, num_writers", [(2, 1_000), (300, 1_200)])
def test_replay_remembers_the_writers_of_all_actors(tmp_path, num_actors, num_writers):
    system = make_system(tmp_path, num_actors=num_actors)
    replay = system.program.entry(system.replay).node
    assert replay.kwargs["max_writers"] == num_writers


@pytest.mark.parametrize("may_exceed", [False, True])
def test_replay_is_told_whether_it_may_exceed_the_memory(tmp_path, may_exceed):
    layout = {"replay_may_exceed_memory": True} if may_exceed else {}
    system = make_system(tmp_path, layout=layout)
    replay = system.program.entry(system.replay).node
    assert replay.kwargs["may_exceed_memory"] is may_exceed


def test_a_run_has_28_environments_unless_it_is_told():
    layout = Layout()
    assert (layout.num_envs, layout.num_envs_of_evaluator) == (8, 20)


@pytest.mark.parametrize(
    ("num_episodes", "setting", "num_envs"),
    [(300, None, 20), (5, None, 5), (300, 50, 50), (5, 8, 5)],
)
def test_many_episodes_are_played_in_few_environments(
    tmp_path, num_episodes, setting, num_envs
):
    layout = {"num_eval_envs": setting}
    system = make_system(tmp_path, num_eval_episodes=num_episodes, layout=layout)
    evaluator = system.program.entry(system.evaluator).node
    assert evaluator.kwargs["num_episodes"] == num_episodes
    assert evaluator.kwargs["num_envs"] == num_envs


def test_actors_that_come_and_go_keep_their_places(tmp_path):
    system = make_system(tmp_path, num_actors=2, max_actors=8)
    program = system.program
    started = {label for label in program.labels_of("actor")} - program.absent
    assert started == {"actor/0", "actor/4"}  # Of the ladder of all eight.
    entries = {entry.label: entry for entry in program.entries.values()}
    assert len([label for label in entries if label.startswith("actor/")]) == 8


def test_actors_that_come_and_go_have_equal_shares_of_the_cachers(tmp_path):
    layout = {"num_cachers": 2}
    system = make_system(tmp_path, num_actors=2, max_actors=8, layout=layout)
    program = system.program
    nodes = {entry.label: entry.node for entry in program.entries.values()}
    for num_actors in (2, 4, 8):
        started = members(list(program.labels_of("actor")), num_actors)
        cachers = Counter(
            str(nodes[label].kwargs["parameter_source"]) for label in started
        )
        assert set(cachers.values()) == {num_actors // 2}


@pytest.mark.parametrize(
    "setting", [{"inference_batch_size": 8}, {"inference_wait_seconds": 0.1}]
)
def test_settings_of_central_inference_are_refused_without_it(tmp_path, setting):
    with pytest.raises(ConfigError, match=f"{next(iter(setting))} is of central inf"):
        make_system(tmp_path, layout=setting)


@pytest.mark.parametrize(
    ("layout", "num_gpus"),
    [
        ({}, None),
        ({"learner_gpus": 0.5}, 0.5),
        ({"learner_device": "cpu"}, 0),
        ({"learner_device": "cpu", "learner_gpus": 0}, 0),
        ({"learner_device": "gpu"}, 1),
        ({"learner_device": "gpu", "learner_gpus": 0.5}, 0.5),
    ],
)
def test_a_learner_asks_for_the_gpu_that_it_computes_on(tmp_path, layout, num_gpus):
    system = make_system(tmp_path, layout=layout)
    learner = system.program.entry(system.learner)
    assert learner.resources.num_gpus == num_gpus
    assert learner.node.kwargs["device"] == layout.get("learner_device", "auto")


# --- Its runs --------------------------------------------------------------------


def test_two_serial_runs_of_cartpole_are_equal(tmp_path):
    found = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        found.append(
            run(
                folder,
                environment="CartPole-v1",
                max_env_steps=2_000,
                num_eval_episodes=4,
            )
        )
    assert found[0] == found[1]


class CountedSteps(CatchFactory):
    """Catch that keeps in `STEPS` every step that begins no episode."""

    def __call__(self, seed):
        environment = super().__call__(seed)
        step = environment.step

        def counted(action):
            STEPS.append(action)  # of several threads
            return step(action)

        environment.step = counted
        return environment


STEPS = []


@pytest.mark.parametrize("launcher", ["serial", "threads"])
def test_what_is_counted_agrees(tmp_path, launcher):
    STEPS.clear()
    builder = make_dqn(error_buffer=600)
    reason, records = run(
        tmp_path,
        launcher,
        environment=CountedSteps(),
        num_eval_episodes=2,
        builder=builder,
    )
    assert reason == "the budget of 600 environment steps is used"
    last, end = events(records, "progress")[-1], records[-1]
    assert end["event"] == "end"
    assert last["env_steps"] == end["env_steps"] >= 600

    # What the environments did beyond it: the evaluations of two episodes of nine
    # steps, the longer of which both environments go on to, and the steps that replay
    # has not admitted: one of each environment, and eight that were written ahead.
    num_ahead = 0 if launcher == "serial" else 8
    evaluated = 2 * 9 * (1 + len(events(records, "evaluation")))
    not_admitted = 2 * NUM_ENVS * (1 + num_ahead)
    assert 0 <= len(STEPS) - evaluated - last["env_steps"] <= not_admitted
    # With one step to an item, they differ by items of a message admitted in part.
    in_part = last["env_steps"] - last["replay_size"]
    assert 0 <= in_part < 2 * NUM_ENVS * max(1, num_ahead)

    config, table = builder.config, builder.config.replay
    for record in events(records, "progress"):
        inserted = record["replay_size"]
        sampled = record["samples_per_insert"] * inserted
        ahead = (inserted - table.min_size) * table.samples_per_insert - sampled
        assert ahead <= 600
        assert sampled == 0 or ahead >= -600
    # Every item sampled was learned from, but for batches that are on their way: two
    # asked for, one taken, and one more that the device has, where it works ahead.
    on_their_way = round(sampled / config.batch_size) - end["learner_steps"]
    num_batches = 3 if launcher == "serial" else 4
    assert 0 <= on_their_way <= num_batches * config.num_updates_per_call


@pytest.mark.slow
def test_without_compilation_the_loss_stands_under_the_loop(tmp_path, monkeypatch):
    """A breakpoint in the loss shows the way from the launcher to it in one stack."""
    stacks, td_errors = [], losses.td_errors

    def watched(*args, **kwargs):
        stacks.append(traceback.extract_stack())
        return td_errors(*args, **kwargs)

    def run_in(name):
        folder = tmp_path / name
        folder.mkdir()
        return run(
            folder,
            builder=make_dqn(
                hidden_sizes=(),  # every operation and shape costs time of its own
                dueling=False,
                batch_size=4,
                num_updates_per_call=2,
                min_size=8,
                samples_per_insert=1.0,
            ),
            environment=CatchFactory(rows=3, columns=2),
            num_eval_episodes=4,
            max_env_steps=32,
        )

    _, compiled = run_in("compiled")
    monkeypatch.setattr(losses, "td_errors", watched)
    jax.config.update("jax_disable_jit", True)
    try:
        _, plain = run_in("plain")
    finally:
        jax.config.update("jax_disable_jit", False)

    # Each call makes two updates. The learner may make one while the last evaluation,
    # which is of the parameters before it, is being made.
    assert len(stacks) - plain[-1]["learner_steps"] in (0, 2) and len(stacks) > 2
    way = [
        ("node_thread.py", "_loop"),
        ("learners/learner.py", "step"),
        ("dqn/learner.py", "update"),
        ("dqn/losses.py", "dqn_loss"),
    ]
    for stack in stacks:
        frames = [(Path(f.filename).as_posix(), f.name) for f in stack]
        places = [
            next(
                i
                for i, (file, f) in enumerate(frames)
                if file.endswith(end) and f == name
            )
            for end, name in way
        ]
        assert places == sorted(places)

    # And it computes the same.
    assert len(plain) == len(compiled)
    for record, other in zip(plain, compiled, strict=True):
        metrics = pytest.approx(other.pop("metrics", {}), rel=1e-4)
        assert record.pop("metrics", {}) == metrics
        assert record == {
            name: pytest.approx(value, rel=1e-4)
            if type(value) is float or name == "metrics"
            else value
            for name, value in other.items()
        }


def test_observations_without_numbers_are_refused_before_the_start(tmp_path):
    environment = "tests.programs.broken_envs:Empty-v0"
    with pytest.raises(ConfigError, match="observations have no numbers"):
        make_system(tmp_path, environment=environment)


def test_a_program_is_made_without_jax():
    code = """
import sys
import acmelike as al
from acmelike.agents import dqn

experiment = al.Experiment(
    builder=dqn.DQNBuilder(config=dqn.DQNConfig()),
    environment_factory=al.make_environment_factory("Catch"),
)
al.make_actor_learner(experiment).program.validate()
assert "jax" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_name_in_the_place_of_a_factory_is_refused_in_one_line():
    words = r"pass al\.make_environment_factory\('ALE/Pong-v5'\)"
    with pytest.raises(ConfigError, match=words):
        Experiment(builder=make_dqn(), environment_factory="ALE/Pong-v5")

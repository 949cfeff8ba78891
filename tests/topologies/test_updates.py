"""No worker of the product forgets `updating`, as the check under `serial` says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from acmelike import (
    Experiment,
    Goal,
    Layout,
    Node,
    NodeFailed,
    RewardSettings,
    launch,
    make_actor_learner,
    make_central_inference,
    make_synchronous,
    sleep,
)
from tests.counting_agent import Clock, CountingBuilder, LagBuilder

LAYOUT = Layout(num_actors=2, num_envs_per_actor=2, num_eval_episodes=1)
# Each topology, and an agent that fits it.
TOPOLOGIES = {
    make_actor_learner: CountingBuilder(prioritized=True),
    make_synchronous: LagBuilder(),
    make_central_inference: LagBuilder(),
}
# Every worker of the product, and a topology that has it.
WORKERS = {
    "actor/0": make_actor_learner,
    "learner": make_actor_learner,
    "cacher/0": make_actor_learner,
    "coordinator": make_actor_learner,
    "evaluator": make_actor_learner,
    "inference": make_central_inference,
    "actor/1": make_central_inference,
}

# What a run may have besides.
MORE = {
    "layout": replace(LAYOUT, num_cachers=1, parameter_interval=3),
    "rewards": RewardSettings(scale=0.5, clip=1.0),
}


def make_clock(seed):
    return Clock(5)


def make_system(folder, topology, *, layout=LAYOUT, **settings):
    return topology(
        Experiment(
            builder=TOPOLOGIES[topology],
            environment_factory=make_clock,
            layout=layout,
            goal=Goal(max_env_steps=120, evaluate_every=40),
            metrics=str(folder / "metrics.jsonl"),
            policy=str(folder / "policy.zip"),
            **settings,
        )
    )


@pytest.mark.parametrize(
    ("topology", "has_more"),
    [*((topology, False) for topology in TOPOLOGIES), (make_actor_learner, True)],
)
def test_the_check_finds_nothing_in_the_product(tmp_path, topology, has_more):
    best_policy = tmp_path / "best_policy.zip"
    more = {"best_policy": str(best_policy), **MORE} if has_more else {}
    system = make_system(tmp_path, topology, **more)
    with launch(system.program, "serial", check=True) as run:
        assert run.wait(60) == "the budget of 120 environment steps is used"
    assert best_policy.exists() == has_more


def forgetful(kind):
    """The worker, with a counter of its steps that a method reads and that is set
    without `updating`."""

    class Forgetful(kind):
        counted = 0

        def step(self):
            self.counted += 1
            return super().step()

        def num_counted(self):
            return self.counted

    return Forgetful


def peek(worker):
    while True:
        worker.num_counted()
        sleep(0.0, "another look")
        yield


@pytest.mark.parametrize(("label", "topology"), WORKERS.items())
def test_the_check_finds_a_forgotten_one_in_each_worker(tmp_path, label, topology):
    layout = replace(LAYOUT, num_cachers=1) if "cacher" in label else LAYOUT
    program = make_system(tmp_path, topology, layout=layout).program
    handle, entry = next(
        (handle, entry)
        for handle, entry in program.entries.items()
        if entry.label == label
    )
    entry.node.constructor = forgetful(entry.node.constructor)
    program.add_node(Node(peek, handle), label="peek")
    with pytest.raises(NodeFailed) as caught:
        with launch(program, "serial", check=True) as run:
            run.wait(60)
    assert caught.value.label == label
    assert f"node '{label}': its step sets 'counted'" in str(caught.value)
    assert f"{label}.num_counted" in str(caught.value)


@pytest.mark.parametrize(
    ("module", "label", "attribute"),
    [
        ("acmelike.learners.learner", "learner", "_num_updates|_published"),
        ("acmelike.evaluation.coordinator", "coordinator", "_ordered"),
    ],
)
def test_the_check_finds_what_the_product_would_have_forgotten(
    tmp_path, monkeypatch, module, label, attribute
):
    class Nothing:
        def __init__(self, service):
            pass

        def __enter__(self):
            pass

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(f"{module}.updating", Nothing)
    system = make_system(tmp_path, make_actor_learner)
    words = f"node '{label}': its step sets '({attribute})'"
    with pytest.raises(NodeFailed, match=words):
        with launch(system.program, "serial", check=True) as run:
            run.wait(60)

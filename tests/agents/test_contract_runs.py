"""What every agent's runs keep: equal for equal seeds, compiled once, and learning."""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import jax
import numpy as np
import pytest

from acmelike import Experiment, Goal, Layout, load_policy
from acmelike.evaluation.evaluator import Evaluator
from acmelike.evaluation.policy_file import read_policy
from acmelike.launchers import launch
from acmelike.learners import Learner
from acmelike.learners.functions import make_functions
from tests.agents import contract
from tests.agents.contract import AGENTS, NUM_ACTORS, NUM_ENVS, VARIANTS


class Run(NamedTuple):
    """How a run ended, its records without their times, and its policy's parameters."""

    reason: str
    records: list[dict[str, Any]]
    parameters: Any


def run(
    folder,
    agent,
    launcher="serial",
    *,
    replaced=(),
    num_eval_episodes=4,
    seed=0,
    **goal,
):
    """Runs an agent to its end, with other classes in the place of its nodes'."""
    folder.mkdir(exist_ok=True)
    experiment = Experiment(
        builder=agent.builder,
        environment_factory=agent.factory,
        layout=Layout(
            num_actors=NUM_ACTORS,
            num_envs_per_actor=NUM_ENVS,
            num_eval_episodes=num_eval_episodes,
        ),
        goal=Goal(**({"max_env_steps": 400, "evaluate_every": 100} | goal)),
        seed=seed,
        metrics=str(folder / "metrics.jsonl"),
        policy=str(folder / "policy.zip"),
    )
    system = agent.topology(experiment)
    for entry in system.program.entries.values():
        node = entry.node
        node.constructor = dict(replaced).get(node.constructor, node.constructor)
    with launch(system.program, launcher) as running:
        reason = running.wait(timeout=100)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) | {"time": None} for line in lines]
    return Run(reason, records, read_policy(folder / "policy.zip").parameters)


# --- Compiled once, and equal for equal seeds -------------------------------------


class Compilations(logging.Handler):
    """Keeps what JAX says that it compiles, and what nodes did meanwhile."""

    def __init__(self):
        super().__init__()
        self.log = []

    def emit(self, record):
        text = record.getMessage()
        if text.startswith("Compiling "):
            self.log.append(text)


WATCHED = Compilations()
# For both runs, as compiling takes most of their time.
FUNCTIONS: dict[bytes, Any] = {}


def compiled_once(agent, device):
    """The functions of an agent; equal agents have equal pickles."""
    key = cloudpickle.dumps((agent, device))
    if key not in FUNCTIONS:
        FUNCTIONS[key] = make_functions(agent, device)
    return FUNCTIONS[key]


UPDATE, EVALUATION = "an update", "an evaluation"


class WatchedLearner(Learner):
    def step(self):
        super().step()
        WATCHED.log.append(UPDATE)


class WatchedEvaluator(Evaluator):
    def step(self):
        super().step()
        WATCHED.log.append(EVALUATION)


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """Two runs of an agent with one seed, and what was compiled when in the first.

    Its policies are compiled, as those of large networks are.
    """
    found = {}

    def run_twice(name):
        if name not in found:
            found[name] = [
                watched_run(tmp_path_factory.mktemp("run"), AGENTS[name])
                for _ in range(2)
            ]
        return found[name]

    return run_twice


def watched_run(folder, agent):
    WATCHED.log.clear()
    replaced = [(Learner, WatchedLearner), (Evaluator, WatchedEvaluator)]
    logging.getLogger("jax").addHandler(WATCHED)
    jax.config.update("jax_log_compiles", True)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("acmelike.actors.inference.MAX_FOR_NUMPY", 0)
            patch.setattr("acmelike.learners.learner.make_functions", compiled_once)
            return run(folder, agent, replaced=replaced), tuple(WATCHED.log)
    finally:
        jax.config.update("jax_log_compiles", False)
        logging.getLogger("jax").removeHandler(WATCHED)


# Variants that differ in their losses only, or see stacks of one array, are left out,
# as compiling takes seconds.
MORE = VARIANTS | {"impala with an lstm", "r2d2", "sac", "td3"}
RUN = [
    pytest.param(name, marks=pytest.mark.slow if name in MORE else [])
    for name in AGENTS
    if not name.startswith("plain") and not name.endswith("on stacks")
]


@pytest.mark.parametrize("name", RUN)
def test_nothing_is_compiled_after_the_first_updates_and_evaluation(twice, name):
    (_, log), _ = twice(name)
    warm = max(log.index(EVALUATION), log.index(UPDATE)) + 1
    assert any("update" in text for text in log[:warm])
    assert log[warm:].count(UPDATE) > 2 and EVALUATION in log[warm:]
    assert set(log[warm:]) == {UPDATE, EVALUATION}


@pytest.mark.parametrize("name", RUN)
def test_two_serial_runs_with_one_seed_are_equal(twice, name):
    (first, _), (second, _) = twice(name)
    assert first.records == second.records
    assert first.records[-1]["learner_steps"] > 5
    jax.tree.map(np.testing.assert_array_equal, first.parameters, second.parameters)


def test_another_seed_is_another_run(tmp_path, twice):
    (first, _), _ = twice("reinforce")
    assert run(tmp_path, AGENTS["reinforce"], seed=1).records != first.records


def test_lag_is_reported(twice):
    """In updates: none in lock-step, but PPO makes four of each batch."""
    lags = {}
    for name in ("impala", "ppo", "reinforce"):
        (found, _), _ = twice(name)
        lags[name] = found.records[-2]["staleness_mean"]
    assert lags["impala"] > 0.5
    assert (lags["ppo"], lags["reinforce"]) == (1.5, 0)


# --- Under every launcher ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "launcher"),
    [
        ("impala", "threads"),
        pytest.param("impala", "processes", marks=pytest.mark.slow),
        ("ppo", "threads"),
        pytest.param("ppo", "processes", marks=pytest.mark.slow),
        ("impala with an lstm", "threads"),
        pytest.param("impala with an lstm", "processes", marks=pytest.mark.slow),
    ],
)
def test_each_topology_has_an_agent_that_runs_under_every_launcher(
    tmp_path, name, launcher
):
    """Under `serial` all of them ran above."""
    reason, records, _ = run(tmp_path, AGENTS[name], launcher)
    assert reason == "the budget of 400 environment steps is used"
    assert records[-1]["learner_steps"] > 5


# --- Learning ---------------------------------------------------------------------

OFF_POLICY = {"num_updates_per_call": 8, "learning_rate": 3e-3}
DQN = OFF_POLICY | {
    "hidden_sizes": (32,),
    "batch_size": 32,
    "target_update_period": 20,
    "min_size": 200,
    "samples_per_insert": 16.0,
    "epsilon_alpha": 1.0,
}
R2D2 = OFF_POLICY | {
    "hidden_sizes": (32,),
    "lstm_size": 16,
    "sequence_length": 8,
    "overlap": 4,
    "burn_in": 2,
    "batch_size": 16,
    "target_update_period": 20,
    "min_size": 50,
    "samples_per_insert": 16.0,
    "epsilon_alpha": 1.0,
}
SAC = OFF_POLICY | {
    "hidden_sizes": (32,),
    "batch_size": 32,
    "min_size": 200,
    "samples_per_insert": 16.0,
    "target_rate": 0.02,
    "initial_temperature": 0.1,
}
TD3 = {name: value for name, value in SAC.items() if "temperature" not in name}
ACTOR_CRITIC = {"hidden_sizes": (32,), "unroll_length": 16, "learning_rate": 1e-2}
IMPALA = ACTOR_CRITIC | {"batch_size": 8}


class Task(NamedTuple):
    """What an agent of some size has to reach, and within how many steps.

    On Catch chance is -1/3 and the best is 1; for SAC's see `Point`.
    """

    name: str
    builder: Any
    budget: int
    score: float = 0.9


TASKS = [
    Task("dqn", contract.make_dqn(**DQN), 4_000),
    Task("ape-x dqn", contract.make_dqn(**DQN, actor_priorities=True), 4_000),
    Task("impala", contract.make_impala(**IMPALA), 30_000),
    Task("impala with an lstm", contract.make_impala(**IMPALA, lstm_size=32), 60_000),
    Task("ppo", contract.make_ppo(**ACTOR_CRITIC), 30_000),
    Task("r2d2", contract.make_r2d2(**R2D2), 20_000),
    Task("sac", contract.make_sac(**SAC), 6_000, score=-0.4),
    Task("td3", contract.make_td3(**TD3), 6_000, score=-0.4),
    Task("reinforce", contract.make_reinforce(unroll_length=16), 40_000),
]


QUICK = ("dqn", "ppo", "reinforce")


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(task, marks=[] if task.name in QUICK else pytest.mark.slow)
        for task in TASKS
    ],
    ids=lambda task: task.name,
)
def test_it_learns_its_task(tmp_path, task):
    agent = AGENTS[task.name]._replace(builder=task.builder)
    reason, records, _ = run(
        tmp_path,
        agent,
        max_env_steps=task.budget,
        stop_at_return=task.score,
        evaluate_every=task.budget // 20,
        num_eval_episodes=20,
    )
    assert reason == f"the return reached {task.score} twice in a row"
    # What is left of it in the folder is what did.
    assert load_policy(tmp_path).record["learner_steps"] == records[-1]["learner_steps"]


# --- And how little an agent is ---------------------------------------------------


def test_an_agent_is_less_than_150_lines():
    files = Path(__file__).parents[1].joinpath("reinforce").glob("*.py")
    lengths = {file.name: len(file.read_text().splitlines()) for file in files}
    assert set(lengths) == {"builder.py", "learner.py"}
    assert sum(lengths.values()) < 150

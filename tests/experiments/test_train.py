"""`al.train` and `al.evaluate`, as a script or a notebook calls them."""

import errno
import gc
import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import types
from collections import Counter

import flax.linen as nn
import nbformat
import numpy as np
import pytest
from dm_env import specs

import acmelike as al
from acmelike.agents import dqn
from acmelike.agents.parts.settings import ReplaySettings
from acmelike.environments import Catch
from acmelike.environments.adapters import atari
from acmelike.experiments import recorded_run, watch
from acmelike.experiments.command import train_command
from acmelike.experiments.config import parse_kwargs
from acmelike.experiments.process import interrupts_kept
from acmelike.experiments.program import find_program
from acmelike.files import append_json_line, read_json_lines
from acmelike.telemetry import notebook, plots
from tests.programs.broken_envs import Hangs, Raises, Stumbles, Walk
from tests.programs.small import SMALL as SMALL_FLAGS

SMALL = {
    "max_env_steps": 120,
    "evaluate_every": 50,
    "num_eval_episodes": 2,
    "num_actors": 1,
    "hidden_sizes": [16],
    "batch_size": 8,
    "num_updates_per_call": 2,
    "replay": {"min_size": 50},
}


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A node in a long compilation as its run ends is waited for, however slow."""
    monkeypatch.setattr(recorded_run, "GRACE_SECONDS", 60.0)


def train(out, *args, **settings):
    settings = {"launch": "serial", "out": str(out), **SMALL, **settings}
    return al.train("dqn", *args, **settings)


def test_it_returns_policy_curves_and_folder(tmp_path, capsys):
    run = train(tmp_path, "Catch", seed=3, optimizer={"learning_rate": 5e-4})
    assert run.folder == tmp_path
    assert run.summary == json.loads((tmp_path / "summary.json").read_text())
    assert run.summary["status"] == "completed"
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["seed"] == 3 and config["environment"] == "Catch"
    assert config["agent"]["hidden_sizes"] == [16]
    assert config["agent"]["replay"] == {
        **json.loads(json.dumps(vars(dqn.DQNConfig().replay))),
        "min_size": 50,
    }
    assert config["agent"]["optimizer"]["learning_rate"] == 5e-4

    assert run.curves.keys() >= {"env_steps", "mean_return", "std_return", "seconds"}
    assert len({values.shape for values in run.curves.values()}) == 1
    assert np.all(np.diff(run.curves["env_steps"]) > 0)
    assert run.curves["mean_return"][-1] == run.summary["final_return"]
    assert run.metrics["learner_steps"][-1] == run.summary["learner_steps"] > 0
    assert np.isfinite(run.metrics["loss"][-1])
    assert run.policy.act(np.zeros((10, 5))) in (0, 1, 2)
    assert "environment steps, in" in repr(run)
    assert "the budget of 120 environment steps is used" in capsys.readouterr().out


class Generous(Catch):
    """Pays 7 for each of the nine steps of an episode."""

    def step(self, action):
        step = super().step(action)
        return step if step.first() else step._replace(reward=np.float32(7))


def test_a_policy_is_evaluated_where_one_likes(tmp_path):
    run = train(tmp_path, "Catch")
    returns = al.evaluate(run.policy, num_episodes=3, seed=1)
    assert returns.shape == (3,) and set(returns) <= {-1.0, 1.0}
    assert np.array_equal(al.evaluate(tmp_path, num_episodes=3, seed=1), returns)
    other = al.evaluate(
        run.policy,
        num_episodes=2,
        environment=lambda seed: Generous(rows=10, columns=5, seed=seed),
    )
    assert other.tolist() == [63.0, 63.0]


def test_an_environment_may_be_what_makes_it(tmp_path):
    run = train(tmp_path, lambda: Catch(rows=6, columns=5, seed=0), launch="threads")
    assert run.summary["environment"] == "a lambda"
    assert run.policy.spec.observations.shape == (6, 5)
    assert al.evaluate(tmp_path, num_episodes=2).shape == (2,)


def test_an_environment_may_have_arguments(tmp_path):
    arguments = {"map_name": "8x8", "is_slippery": False}
    run = train(
        tmp_path,
        "FrozenLake-v1",
        environment_kwargs=arguments,
        max_episode_steps=10,
    )
    assert run.policy.spec.observations.num_values == 64
    config = json.loads((tmp_path / "config.json").read_text())
    assert parse_kwargs(config["environment_kwargs"]) == arguments


@pytest.fixture
def game(monkeypatch):
    """The name of a game, which needs no package here and shows three numbers."""
    monkeypatch.setitem(sys.modules, "ale_py", types.ModuleType("ale_py"))
    monkeypatch.setattr(atari, "make_atari", lambda name, settings: Walk())
    return "ALE/Pong-v5"


def test_a_game_is_stacked_in_python_as_on_the_command_line(tmp_path, game):
    args = [*SMALL_FLAGS["dqn"], "--environment", game, "--max-env-steps", "60"]
    args += ["--launch", "serial", "--out", str(tmp_path / "command")]
    assert train_command(find_program("dqn"), args) == 0
    single = al.make_environment_factory(game)
    # What the docs have for an `Experiment`.
    stacked = al.FrameStackFactory(inner=single, num_frames=4)
    in_python = train(tmp_path / "python", game).policy
    for policy in (in_python, al.load_policy(tmp_path / "command")):
        assert policy.spec.observations.shape == (4, 3)
        assert policy.environment_factory == stacked
    other = train(tmp_path / "single", game, frame_stack=1).policy
    assert other.environment_factory == single


def test_a_mask_in_the_info_says_what_a_policy_may_do(tmp_path):
    settings = {"action_mask_from_info": True, "max_episode_steps": 10}
    policy = train(tmp_path, "Taxi-v4", **settings).policy
    taxi = policy.environment_factory(seed=0)
    step = taxi.reset()
    for _ in range(20):
        action = policy.act(step.observation)
        assert step.observation["action_mask"][action] == 1
        step = taxi.step(action)
    taxi.close()


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["a=1", "b=0.5"], {"a": 1, "b": 0.5}),
        (["a=true", "b=False", "c=none"], {"a": True, "b": False, "c": None}),
        (
            ["a=[1, 2]", "b='x y'", "c=8x8", "d="],
            {"a": [1, 2], "b": "x y", "c": "8x8", "d": ""},
        ),
        (["a=b=c"], {"a": "b=c"}),
    ],
)
def test_arguments_on_the_command_line_are_literals_or_texts(texts, found):
    assert parse_kwargs(texts) == found


@pytest.mark.parametrize(
    "value", ["{[1]: 2}", "-" * 10_000 + "1"], ids=["a list as key", "too deep"]
)
def test_an_argument_that_python_cannot_read_is_refused(value):
    with pytest.raises(al.ConfigError, match="value of a cannot be read: ") as caught:
        parse_kwargs([f"a={value}"])
    assert "\n" not in str(caught.value)


def test_the_best_policy_is_kept_beside_the_last(tmp_path):
    run = train(tmp_path, "Catch", keep_best=True)
    assert run.best_policy.record["learner_steps"] in run.curves["learner_steps"]
    assert al.evaluate(run.best_policy, num_episodes=2).shape == (2,)
    with pytest.raises(al.ConfigError, match="there is no best policy"):
        train(tmp_path / "other", "Catch").best_policy  # noqa: B018


def test_an_agent_may_be_given_whole(tmp_path):
    agent = dqn.DQNConfig(
        hidden_sizes=(8,),
        batch_size=4,
        replay=ReplaySettings(min_size=40),
    )
    settings = {"max_env_steps": 60, "num_eval_episodes": 2, "launch": "serial"}
    run = al.train("dqn", "Catch", agent=agent, out=str(tmp_path), **settings)
    config = json.loads((run.folder / "config.json").read_text())
    assert config["agent"]["hidden_sizes"] == [8]


class Halves(nn.Module):
    """A network of the user's own."""

    size: int = 4

    @nn.compact
    def __call__(self, observations):
        return nn.relu(nn.Dense(self.size)(observations.reshape(-1, 50) / 2))


@pytest.mark.parametrize("network", [Halves, Halves(size=3)])
def test_settings_may_be_what_json_does_not_have(tmp_path, network):
    run = train(
        tmp_path / "run",
        "Catch",
        network=network,
        seed=np.int64(3),
        max_env_steps=np.int32(60),
        optimizer={"learning_rate": np.float32(1e-3)},
    )
    config = json.loads((run.folder / "config.json").read_text())
    assert (config["seed"], config["max_env_steps"]) == (3, 60)
    assert "Halves" in config["agent"]["network"]
    assert run.summary["seed"] == 3
    assert al.evaluate(run.policy, num_episodes=1).shape == (1,)


def test_the_folder_may_be_a_path(tmp_path):
    run = al.train("dqn", "Catch", launch="serial", out=tmp_path / "run", **SMALL)
    assert run.folder == tmp_path / "run"
    assert run.summary["end_reason"] == "the budget of 120 environment steps is used"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seeds": 1}, "unknown setting 'seeds'; did you mean 'seed'"),
        ({"hidden_size": 1}, "unknown setting 'hidden_size'; did you mean 'hidden_siz"),
        ({"replay": {"sise": 3}}, "unknown setting 'sise'; did you mean 'size'"),
        ({"batch_size": 0}, "batch_size must be at least 1: 0"),
        ({"agent": dqn.DQNConfig()}, "give agent or its settings, not both: hidden"),
        ({"replay": 100_000}, r"replay has settings of its own \(.*size.*100000"),
        ({"optimizer": 3e-4}, r"optimizer has settings of its own \(learning_rate"),
        ({"video": 1}, "video has settings of its own"),
        ({"video": None}, "video has settings of its own .* not None"),
        ({"draw": "x.svg"}, "draw is for the command line"),
        ({"launch": "everywhere"}, "launcher"),
        ({"topology": "sync"}, "one of actor_learner, .*: sync; did you mean 'synch"),
        ({"place": ["actr=pack"]}, "actr"),
        (
            {
                "log": ["tensorboard"],
                "launch": "processes",
                "place": ["replay=gpus:99"],
            },
            "replay",
        ),
        ({"rank": 1}, "rank is for --launch hosts"),
        ({"max_actors": 4}, "under serial all actors are there from the beginning"),
        ({"inference_batch_size": 2}, "inference_batch_size is of central inference"),
        ({"learner_device": "cuda"}, "must be one of auto, cpu, gpu: cuda"),
        ({"learner_device": "gpu"}, "learner_device is gpu, and JAX finds no such"),
        (
            {"learner_device": "gpu", "launch": "processes"},
            r"no host has what node 'learner' needs \(1 cpu, 1 gpu\)",
        ),
        (
            {"learner_device": "gpu", "learner_gpus": 0, "launch": "processes"},
            "learner_gpus must be above 0 with learner_device gpu: 0",
        ),
        (
            {"learner_device": "cpu", "learner_gpus": 0.5},
            "learner_gpus must be 0 with learner_device cpu: 0.5",
        ),
        ({"environment_kwargs": ["x"]}, "must be KEY=VALUE, such as continuous=false"),
        ({"environment_kwargs": {"x": object()}}, "pass a function that makes the env"),
        ({"environment_kwargs": {"x": np.ones(2)}}, "pass a function that makes the e"),
    ],
)
def test_mistakes_are_said_before_anything_is_there(tmp_path, settings, words):
    out = tmp_path / "run"
    with pytest.raises(al.ConfigError, match=words) as caught:
        train(out, "Catch", **settings)
    assert "\n" not in str(caught.value)
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("launch", ["serial", "threads", "processes"])
def test_a_run_whose_learner_is_told_where_to_compute_ends_well(tmp_path, launch):
    run = train(tmp_path, "Catch", launch=launch, learner_device="cpu")
    assert run.summary["learner_steps"] > 0


@pytest.mark.slow
def test_a_learner_that_was_given_a_gpu_without_jax_for_it_says_so(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "99")
    words = "node 'learner' failed in its constructor: .*: learner_device is gpu, and"
    with pytest.raises(al.NodeFailed, match=words) as caught:
        train(tmp_path, "Catch", launch="processes", learner_device="gpu")
    assert "\n" not in str(caught.value)


class TwoRewards(Catch):
    def reward_spec(self):
        return specs.Array((2,), np.float32)


class NamedActions(Catch):
    def action_spec(self):
        return {"move": specs.DiscreteArray(3)}


SHARED = Catch()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (TwoRewards, r"the spec of rewards is not scalar but has shape \(2,\)"),
        (NamedActions, r"the spec of actions is not one array but \{'move'"),
        (lambda: SHARED, "returned the same environment again, and each actor needs"),
    ],
)
def test_an_environment_that_cannot_be_used_is_refused_before_anything_is_there(
    tmp_path, environment, words
):
    with pytest.raises(al.ConfigError, match=words):
        train(tmp_path / "run", environment)
    assert not (tmp_path / "run").exists()


def test_a_second_run_at_the_same_time_is_refused(tmp_path):
    refused = []

    def train_second():
        try:
            train(tmp_path / "second", "Catch")
        except al.ConfigError as error:
            refused.append(str(error))

    def make():
        if not refused:
            thread = threading.Thread(target=train_second)
            thread.start()
            thread.join()
        return Catch()

    assert train(tmp_path / "first", make).summary["status"] == "completed"
    assert len(refused) == 1 and "at work in this process already" in refused[0]
    assert not (tmp_path / "second").exists()
    train(tmp_path / "second", "Catch")


def test_a_curve_that_cannot_be_drawn_ends_no_run_in_a_notebook(
    tmp_path, monkeypatch, caplog
):
    def no_latex(*args, **kwargs):
        raise RuntimeError("latex could not be found")

    monkeypatch.setattr(notebook, "draw_curve", no_latex)
    metrics = tmp_path / "metrics.jsonl"
    view = notebook.NotebookView(metrics, title="dqn", target=None)
    for env_steps in (1, 2):
        append_json_line(metrics, {"event": "evaluation", "env_steps": env_steps})
        view.show_curve()
    assert caplog.messages == [
        "the notebook shows no curve: RuntimeError: latex could not be found"
    ]


def test_an_unknown_program_is_named():
    with pytest.raises(al.ConfigError, match="unknown program 'dqm'; did you mean"):
        al.train("dqm", "Catch")


def test_an_environment_that_fails_ends_the_run_with_its_error(tmp_path):
    with pytest.raises(al.NodeFailed, match="actor/0"):
        train(tmp_path, Raises)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "failed" and "actor/0" in summary["error"]


class Wanders(Catch):
    """Goes to another working directory, and stays there."""

    def __init__(self, seed):
        super().__init__(rows=10, columns=5, seed=seed)
        os.chdir("/")


def test_an_environment_may_change_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = train("run", Wanders)
    assert run.folder == tmp_path / "run"
    assert json.loads((tmp_path / "run/summary.json").read_text())["env_steps"] >= 120
    assert (tmp_path / "run/curve.png").exists() and run.policy.record


def test_the_files_of_an_experiment_stay_where_it_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    factory = al.make_environment_factory(Wanders)  # It looks at one.
    os.chdir(tmp_path)
    config = dqn.DQNConfig(
        hidden_sizes=(16,),
        batch_size=8,
        num_updates_per_call=2,
        replay=ReplaySettings(min_size=50),
    )
    experiment = al.Experiment(
        builder=dqn.DQNBuilder(config=config),
        environment_factory=factory,
        layout=al.Layout(num_actors=1, num_eval_episodes=2),
        goal=al.Goal(max_env_steps=120, evaluate_every=50),
        policy="policy.zip",
        best_policy="best_policy.zip",
    )
    system = al.make_actor_learner(experiment)
    with al.launch(system.program, "serial") as run:
        run.wait()
    assert {path.name for path in tmp_path.iterdir()} == {
        "metrics.jsonl",
        "policy.zip",
        "best_policy.zip",
    }


HAS_SAID = threading.Event()


class Slow(Catch):
    """Is not made before somebody has said so."""

    def __init__(self, seed):
        assert HAS_SAID.wait(30.0)
        super().__init__(rows=10, columns=5, seed=seed)


def test_an_environment_that_takes_long_to_make_is_told_of(tmp_path, monkeypatch):
    lines = []

    def say(line):
        lines.append(line)
        HAS_SAID.set()

    monkeypatch.setattr(recorded_run, "_SLOW_SECONDS", 0.0)
    monkeypatch.setattr(watch, "say", say)
    train(tmp_path, Slow)
    assert lines[0] == "making Slow to check it and to read its specs"


NODES = []


class Placed(Catch):
    """Notes the node that makes it."""

    def __init__(self, seed, environment_place):
        super().__init__(rows=10, columns=5, seed=seed)
        NODES.append(environment_place.node)


def test_two_environments_are_made_in_the_launcher_and_the_others_in_nodes(tmp_path):
    NODES.clear()
    train(tmp_path, Placed, num_envs_per_actor=3)
    # One to check that it can be made, and one to read its specs.
    assert Counter(NODES) == {"": 2, "actor/0": 3, "evaluator": 2}


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HANDLERS = set()


def take_signal(number, frame):
    """Handles a signal for an environment."""


class TakesSignals(Catch):
    """Handles signals itself where it may, and notes in each step who does."""

    def __init__(self, seed):
        super().__init__(rows=10, columns=5, seed=seed)
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                signal.signal(number, take_signal)

    def step(self, action):
        HANDLERS.update(map(signal.getsignal, ENDING))
        return super().step(action)


@pytest.fixture
def handlers():
    """The handlers of signals before the test, and after it again."""
    before = {number: signal.getsignal(number) for number in ENDING}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


def test_an_environment_takes_no_signals_from_the_launcher(tmp_path, handlers):
    HANDLERS.clear()
    train(tmp_path, TakesSignals)
    assert HANDLERS and take_signal not in HANDLERS
    assert {number: signal.getsignal(number) for number in ENDING} == handlers


def test_a_run_may_outlive_its_environments(tmp_path, monkeypatch):
    monkeypatch.setattr(Stumbles, "has_stumbled", False)
    run = train(
        tmp_path,
        "tests.programs.broken_envs:Stumbles-v0",
        environment_kwargs={"length": 7},
        restart_environments=3,
        step_timeout=60.0,
        num_eval_envs=1,
    )
    log = (tmp_path / "logs" / "run.log").read_text()
    assert "it is made again (1 of 3)" in log
    assert run.summary["num_dropped_episodes"] == 1
    *_, last = read_json_lines(tmp_path / "metrics.jsonl")
    assert last["mean_return"] == 7


@pytest.fixture
def heeds_interrupts():
    """A process that a shell has started in the background ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_interrupts")
def test_an_interrupt_in_a_callback_that_drops_exceptions_is_not_lost():
    def interrupt(phase, info):
        gc.callbacks.remove(interrupt)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), interrupts_kept():
        gc.callbacks.append(interrupt)
        gc.collect()
        assert interrupt not in gc.callbacks
        threading.Event().wait(30.0)


SIGNALS = [
    "SIGINT",
    pytest.param("SIGTERM", marks=pytest.mark.slow),
    pytest.param("SIGHUP", marks=pytest.mark.slow),
]


@pytest.fixture(params=SIGNALS)
def ending(request, heeds_interrupts):
    """A signal that this process does not handle, but for SIGINT as Python does."""
    number = signal.Signals[request.param]
    if number == signal.SIGINT:
        yield number
        return
    before = signal.signal(number, signal.SIG_DFL)
    yield number
    assert signal.signal(number, before) == signal.SIG_DFL


def test_a_signal_leaves_a_whole_folder(tmp_path, ending):
    def interrupt_when_it_runs():
        while not (tmp_path / "metrics.jsonl").exists():
            is_over.wait(0.01)
        signal.pthread_kill(threading.main_thread().ident, ending)

    is_over = threading.Event()
    thread = threading.Thread(target=interrupt_when_it_runs)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, "Catch", launch="threads", max_env_steps=10**9)
    thread.join()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "interrupted"


@pytest.fixture
def hung(monkeypatch):
    """The processes of environments that hang in a step, until the test is over."""
    may_go_on = threading.Event()
    monkeypatch.setattr(Hangs, "hung", queue.SimpleQueue())
    monkeypatch.setattr(Hangs, "has_hung", threading.Event())
    monkeypatch.setattr(Hangs, "may_go_on", may_go_on)
    monkeypatch.setattr(recorded_run, "GRACE_SECONDS", 0.2)
    yield Hangs.hung
    may_go_on.set()
    for thread in threading.enumerate():
        if thread.name.startswith(("node ", "environment")):
            thread.join(30.0)


@pytest.mark.usefixtures("heeds_interrupts")
@pytest.mark.parametrize("launch", ["serial", "threads"])
def test_what_an_environment_that_hangs_has_started_ends_with_an_interrupt(
    tmp_path, hung, launch
):
    found = []

    def interrupt_when_it_hangs():
        found.append(hung.get(timeout=60.0))
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    other = subprocess.Popen(["sleep", "1000"])  # It is none of the run's.
    thread = threading.Thread(target=interrupt_when_it_hangs)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, "tests.programs.broken_envs:Hangs-v0", launch=launch)
        thread.join()
        assert found[0].wait(30.0) == -signal.SIGTERM
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(
    "flags", [[], ["--step-timeout", "0.5", "--restart-environments", "1"]]
)
def test_what_an_environment_that_hangs_has_started_ends_with_a_complete_run(
    tmp_path, hung, flags
):
    args = [*SMALL_FLAGS["dqn"], "--launch", "threads", "--out", str(tmp_path), *flags]
    args += ["--environment", "tests.programs.broken_envs:HangsForOne-v0"]
    args += ["--num-actors", "2", "--num-envs-per-actor", "1", "--max-env-steps", "60"]
    assert train_command(find_program("dqn"), args) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert hung.get_nowait().wait(30.0) == -signal.SIGTERM


def test_what_an_environment_needs_to_close_does_not_end_with_the_run(tmp_path, hung):
    train(tmp_path, "tests.programs.broken_envs:ClosesSlowly-v0", launch="threads")
    started = hung.get_nowait()
    with pytest.raises(subprocess.TimeoutExpired):
        started.wait(0.2)
    Hangs.may_go_on.set()
    assert started.wait(30.0) == -signal.SIGKILL  # By its close.


NOTEBOOK = """
import acmelike as al
from acmelike.experiments import watch
watch.PROGRESS_SECONDS = 0.1
run = al.train("dqn", "Catch", out={out!r}, **{settings!r})
"""


@pytest.mark.slow
def test_a_notebook_shows_a_line_and_a_curve(tmp_path):
    cells = [NOTEBOOK.format(out=str(tmp_path / "run"), settings=SMALL), "run"]
    notebook = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, cells)])
    nbformat.write(notebook, tmp_path / "notebook.ipynb")
    where = {name: str(tmp_path) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR")}
    # As a process of its own: a kernel's client keeps sockets and threads.
    execute = "from nbclient.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", execute, "notebook.ipynb", "--output=executed.ipynb"],
        cwd=tmp_path,
        env={**os.environ, **where},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    training, result = nbformat.read(tmp_path / "executed.ipynb", 4).cells
    shown = [output.data for output in training.outputs if "data" in output]
    assert sum("image/png" in data for data in shown) == 1
    assert any(" s | " in data.get("text/plain", "") for data in shown)
    assert result.outputs[0].data["text/plain"].startswith("<TrainedRun: return")


SCRIPT = """
import acmelike as al
run = al.train("dqn", "Catch", launch="processes", out={out!r}, **{settings!r})
print(run)
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["file", "-c", "-"])
def test_a_script_needs_no_guard(tmp_path, way):
    script = SCRIPT.format(out=str(tmp_path / "run"), settings=SMALL)
    (tmp_path / "script.py").write_text(script)
    words = {"file": ["script.py"], "-c": ["-c", script], "-": ["-"]}[way]
    ended = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        input=script if way == "-" else None,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("<TrainedRun: return") == 1


@pytest.mark.slow
def test_rewards_may_be_scaled_and_returns_stay(tmp_path):
    run = train(tmp_path, "Catch", rewards={"scale": 10.0, "clip": 5.0})
    assert set(al.evaluate(run.policy, num_episodes=4)) <= {-1.0, 1.0}
    assert np.nanmax(np.abs(run.metrics["training_return"])) <= 1.0
    # The learner sees rewards of 5.
    other = train(tmp_path / "other", "Catch")
    assert np.nanmax(run.metrics["loss"]) > 3 * np.nanmax(other.metrics["loss"])


def test_records_are_written_for_other_tools(tmp_path):
    run = train(tmp_path, "Catch", log="csv")
    lines = (tmp_path / "evaluation.csv").read_text().splitlines()
    assert len(lines) == 1 + len(run.curves["mean_return"])
    assert (tmp_path / "training.csv").exists()


def test_a_run_whose_pictures_cannot_be_drawn_is_complete(tmp_path, monkeypatch):
    def full_disk(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(plots, "plot_metrics", full_disk)
    run = train(tmp_path, "Catch")
    assert run.summary["status"] == "completed"
    log = (tmp_path / "logs" / "run.log").read_text()
    assert "the run has no pictures: OSError" in log


def test_an_unknown_logger_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(al.ConfigError, match=r"log must be some of .*: 'cvs'.*csv"):
        train(tmp_path / "run", "Catch", log=["cvs"])
    assert not (tmp_path / "run").exists()


def test_observations_of_several_arrays_are_learned_from(tmp_path):
    """Blackjack: the sum of the player, the card of the dealer, and an ace or not."""
    run = train(tmp_path, "Blackjack-v1", launch="threads")
    assert run.policy.act((14, 10, 0)) in (0, 1)
    with pytest.raises(ValueError, match="without '2'"):
        run.policy.act((14, 10))
    assert al.evaluate(run.policy, num_episodes=5, num_envs=2).shape == (5,)


class Global(Catch):
    """Catch whose ball begins where the global generators say."""

    def reset(self):
        first = super().reset()
        self._ball_column = int(random.random() * 3 + np.random.randint(3))
        return first._replace(observation=self._board())


@pytest.mark.slow
def test_a_serial_run_repeats_where_environments_share_global_generators(tmp_path):
    random.seed(5)
    np.random.seed(6)
    expected = random.Random(5).random(), np.random.RandomState(6).random()
    told = []
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        run = train(tmp_path / folder, Global, seed=seed)
        told.append([run.metrics["training_return"], run.metrics["loss"]])
    np.testing.assert_array_equal(told[0], told[1])
    assert not np.array_equal(told[0], told[2])
    # Whoever called still has the generators as they were.
    assert (random.random(), np.random.random()) == expected


@pytest.mark.slow
def test_the_last_line_says_which_policy_had_the_return(tmp_path, capsys):
    settings = {"stop_at_return": -1.0, "max_env_steps": 1_000, "evaluate_every": 100}
    run = train(tmp_path, "Catch", **settings)
    told, last = run.summary, capsys.readouterr().out.splitlines()[-1]
    assert told["final_learner_steps"] < told["learner_steps"]
    assert f"with the policy of {told['final_learner_steps']} updates; in all" in last

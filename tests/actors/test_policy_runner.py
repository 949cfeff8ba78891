"""Acting with a policy: in NumPy where that is faster, else compiled; no difference."""

import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import dm_env
import jax
import numpy as np
import pytest
from dm_env import specs

from acmelike.actors import policy_runner
from acmelike.actors.policy_runner import Inference
from acmelike.agent import PolicyOutput
from acmelike.types import VectorStep

SPEC = SimpleNamespace(actions=specs.DiscreteArray(1_000, np.int64))


@dataclass(frozen=True)
class Countdown:
    """Its state counts its steps; actions add parameters, state and noise up."""

    needs_jax: bool

    def init(self, num_envs):
        return np.arange(num_envs) * 100

    def noise(self, random, num_envs):
        return random.integers(10, size=num_envs)

    def act(self, parameters, state, observation, noise):
        SEEN.add(isinstance(observation, np.ndarray))
        action = (parameters["w"].sum() + state + noise).astype(np.int32)
        return PolicyOutput(action, state + 1, {"state": state})


SEEN: set[bool] = set()


def step(num_envs, begins=()):
    """A time step of so many environments, of which some begin an episode."""
    kinds = np.full(num_envs, dm_env.StepType.MID, np.int8)
    kinds[list(begins)] = dm_env.StepType.FIRST
    scalars = np.zeros(num_envs, np.float32)
    return VectorStep(kinds, scalars, scalars, np.zeros((num_envs, 1)))


def actions(*, needs_jax, num_envs=3, num_parameters=4, seed=0):
    SEEN.clear()
    acting = Inference(Countdown(needs_jax), SPEC, num_envs=num_envs, seed=seed)
    acting.set_parameters({"w": np.ones(num_parameters, np.int32)})
    found = [acting.act(step(num_envs))[0] for _ in range(4)]
    acting.set_parameters({"w": np.zeros(num_parameters, np.int32)})
    found.append(acting.act(step(num_envs))[0])
    assert {action.dtype for action in found} == {np.dtype(np.int64)}
    return np.stack(found)


def test_state_and_noise_move_on_and_parameters_are_the_last_set():
    found = actions(needs_jax=False)
    noise = found - np.arange(3) * 100 - np.array([[4], [5], [6], [7], [4]])
    assert (noise >= 0).all() and (noise < 10).all()
    assert len({tuple(row) for row in noise}) > 1
    np.testing.assert_array_equal(found, actions(needs_jax=False))
    assert (found != actions(needs_jax=False, seed=1)).any()


def test_numpy_and_jax_act_alike():
    by_numpy = actions(needs_jax=False)
    assert SEEN == {True}
    by_jax = actions(needs_jax=True)
    assert SEEN == {False}  # traced
    np.testing.assert_array_equal(by_numpy, by_jax)


@pytest.mark.parametrize("needs_jax", [False, True])
def test_a_state_begins_anew_where_an_episode_does(needs_jax):
    acting = Inference(Countdown(needs_jax), SPEC, num_envs=3, seed=0)
    acting.set_parameters({"w": np.ones(4, np.int32)})
    for begins in [(0, 1, 2), (), (1,)]:
        _, extras = acting.act(step(3, begins))
    assert isinstance(extras["state"], np.ndarray)
    np.testing.assert_array_equal(extras["state"], [2, 100, 202])


@pytest.mark.parametrize(
    ("num_envs", "num_parameters", "is_numpy"),
    [(2, 50, True), (2, 51, False), (1, 100, True), (101, 1, False)],
)
def test_large_networks_and_many_environments_are_compiled(
    monkeypatch, num_envs, num_parameters, is_numpy
):
    monkeypatch.setattr(policy_runner, "MAX_FOR_NUMPY", 100)
    jax.clear_caches()
    actions(needs_jax=False, num_envs=num_envs, num_parameters=num_parameters)
    assert {is_numpy} == SEEN


def test_acting_with_numpy_imports_no_jax():
    code = """
import sys
import numpy as np
from acmelike.agent import ActorPlace
from acmelike.actors import Actor, Evaluator
from acmelike.actors.policy_runner import Inference
from acmelike.environments import VectorEnvironment, make_environment_factory
from acmelike.environments import make_environment_spec
from agents.dqn.builder import DQNBuilder
from agents.dqn.config import DQNConfig

factory = make_environment_factory("CartPole-v1")
spec = make_environment_spec(factory(0))
builder = DQNBuilder(config=DQNConfig())
policy = builder.make_policy(spec, ActorPlace(index=0, num_actors=1, num_envs=2))
layer = {"weights": np.ones((4, 3), np.float32), "biases": np.ones(3, np.float32)}
head = {"weights": np.ones((3, 2), np.float32), "biases": np.ones(2, np.float32)}
acting = Inference(policy, spec, num_envs=2, seed=0)
acting.set_parameters({"torso": [layer], "advantage": head, "value": head})
acting.act(VectorEnvironment(factory, num_envs=2, seed=0).reset())
sys.exit("jax" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)

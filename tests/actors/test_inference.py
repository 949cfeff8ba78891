"""Acting with a policy: in NumPy where that is faster, else compiled; no difference."""

import subprocess
import sys
from types import SimpleNamespace

import dm_env
import jax
import numpy as np
import pytest
from dm_env import specs

from acmelike.actors import inference
from acmelike.actors.compiled import compile_policy
from acmelike.actors.inference import Inference, as_actions
from acmelike.agent import PolicyOutput
from acmelike.errors import ContractError
from acmelike.types import VectorStep
from tests.actors.policies import as_it_is, inputs_of, with_text

SPEC = SimpleNamespace(actions=specs.DiscreteArray(1_000, np.int64))


class Countdown:
    """Its state counts its steps; actions add parameters, state and noise up."""

    def init(self, num_envs):
        return np.arange(num_envs, dtype=np.int32) * 100

    def noise(self, random, num_envs):
        return random.integers(10, size=num_envs, dtype=np.int32)

    def act(self, parameters, state, observation, noise):
        SEEN.add(isinstance(observation, np.ndarray))
        action = (parameters["w"].sum() + state + noise).astype(np.int32)
        return PolicyOutput(action, state + 1, {"state": state})


# How each may be evaluated: called in NumPy, as text, or compiled.
WAYS = ("numpy", "text", "jax")


def make_policy(way, parameters):
    if way == "text":
        return with_text(Countdown(), parameters, (1,))
    return as_it_is(Countdown(), needs_jax=way == "jax")


SEEN: set[bool] = set()


def step(num_envs, begins=()):
    """A time step of so many environments, of which some begin an episode."""
    kinds = np.full(num_envs, dm_env.StepType.MID, np.int8)
    kinds[list(begins)] = dm_env.StepType.FIRST
    scalars = np.zeros(num_envs, np.float32)
    return VectorStep(kinds, scalars, scalars, np.zeros((num_envs, 1)))


def make_inference(way, num_envs, parameters, seed=0):
    policy = make_policy(way, parameters)
    SEEN.clear()
    return Inference(policy, inputs_of(Countdown()), SPEC, num_envs=num_envs, seed=seed)


def actions(*, way, num_envs=3, num_parameters=4, seed=0):
    parameters = {"w": np.ones(num_parameters, np.int32)}
    acting = make_inference(way, num_envs, parameters, seed)
    acting.set_parameters(parameters)
    found = [acting.act(step(num_envs))[0] for _ in range(4)]
    acting.set_parameters({"w": np.zeros(num_parameters, np.int32)})
    found.append(acting.act(step(num_envs))[0])
    assert {action.dtype for action in found} == {np.dtype(np.int64)}
    return np.stack(found)


def test_state_and_noise_move_on_and_parameters_are_the_last_set():
    found = actions(way="numpy")
    noise = found - np.arange(3) * 100 - np.array([[4], [5], [6], [7], [4]])
    assert (noise >= 0).all() and (noise < 10).all()
    assert len({tuple(row) for row in noise}) > 1
    np.testing.assert_array_equal(found, actions(way="numpy"))
    assert (found != actions(way="numpy", seed=1)).any()


def test_numpy_text_and_jax_act_alike():
    jax.clear_caches()
    compile_policy.cache_clear()
    by_numpy = actions(way="numpy")
    assert SEEN == {True}
    by_text = actions(way="text")
    assert not SEEN  # The text does not call it.
    by_jax = actions(way="jax")
    assert SEEN == {False}  # traced
    np.testing.assert_array_equal(by_numpy, by_jax)
    np.testing.assert_array_equal(by_numpy, by_text)


@pytest.mark.parametrize("way", WAYS)
def test_a_state_is_reset_where_an_episode_starts(way):
    parameters = {"w": np.ones(4, np.int32)}
    acting = make_inference(way, 3, parameters)
    acting.set_parameters(parameters)
    for begins in [(0, 1, 2), (), (1,)]:
        _, extras = acting.act(step(3, begins))
    assert isinstance(extras["state"], np.ndarray)
    np.testing.assert_array_equal(extras["state"], [2, 100, 202])


@pytest.mark.parametrize(
    ("num_envs", "num_parameters", "is_text"),
    [(2, 50, True), (2, 51, False), (1, 100, True), (101, 1, False)],
)
def test_large_networks_and_many_environments_are_compiled(
    monkeypatch, num_envs, num_parameters, is_text
):
    monkeypatch.setattr(inference, "MAX_FOR_NUMPY", 100)
    jax.clear_caches()
    compile_policy.cache_clear()
    actions(way="text", num_envs=num_envs, num_parameters=num_parameters)
    assert (set() if is_text else {False}) == SEEN


def test_what_an_actor_imports_has_no_jax():
    code = """
import sys
from acmelike.actors import Actor
from acmelike.actors.central import InferenceServer
from acmelike.actors.inference import Inference
from acmelike.evaluation.evaluator import Evaluator
from acmelike.agents.dqn import DQNBuilder, DQNConfig
sys.exit("jax" in sys.modules or "flax" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_actions_keep_what_is_behind_their_point():
    actions = np.array([1, 2], np.int32)
    assert as_actions(actions, np.dtype(np.int32)) is actions
    assert as_actions(actions, np.dtype(np.uint8)).dtype == np.uint8
    with pytest.raises(TypeError, match="actions of float32, and the env"):
        as_actions(np.array([0.9], np.float32), np.dtype(np.int64))
    with pytest.raises(ValueError, match=r"actions \[1, 300\], and .* are int8, which"):
        as_actions(np.array([1, 300]), np.dtype(np.int8))


class Bare(Countdown):
    """Forgets to put its actions into a `PolicyOutput`."""

    def act(self, parameters, state, observation, noise):
        return super().act(parameters, state, observation, noise).action


@pytest.mark.parametrize("way", WAYS)
def test_an_act_that_returns_bare_actions_is_refused(way):
    parameters = {"w": np.ones(2)}
    with pytest.raises(
        ContractError, match=r"act must return PolicyOutput\(action, state\)"
    ):
        if way == "text":
            with_text(Bare(), parameters, (1,))
            return  # Without an error, which fails this test.
        policy = as_it_is(Bare(), needs_jax=way == "jax")
        acting = Inference(policy, inputs_of(Bare()), SPEC, num_envs=2, seed=0)
        acting.set_parameters(parameters)
        acting.act(step(2))

"""Acting: what the noise does, and that actors do without JAX."""

import functools
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from acmelike.agents.sac.bounds import Bounds
from acmelike.agents.sac.gaussian import Gaussian
from acmelike.agents.sac.networks import PolicyNetwork
from acmelike.agents.sac.policy import SquashedGaussian

ROOT = Path(__file__).parents[3]
NETWORK = PolicyNetwork(num_actions=2, hidden_sizes=(8,))
BOUNDS = Bounds(shape=(2,), low=(-2.0, 0.0), high=(2.0, 10.0))
FIRST = jax.device_get(NETWORK.init(jax.random.key(0), (3,)))
# As if something had been learned: at first the head is zero.
PARAMETERS = jax.tree.map(
    lambda x: x + np.linspace(-0.5, 0.4, x.size, dtype="f").reshape(x.shape), FIRST
)
POLICY = SquashedGaussian(network=NETWORK, bounds=BOUNDS)
GREEDY = SquashedGaussian(network=NETWORK, bounds=BOUNDS, is_greedy=True)


def act(policy, observations, seed=0):
    noise = policy.noise(np.random.default_rng(seed), len(observations))
    acted = policy.act(PARAMETERS, policy.init(len(observations)), observations, noise)
    assert acted.state == () and not acted.extras
    return acted.action


def test_actions_are_distributed_as_the_network_says():
    observations = np.tile(np.array([[0.5, -1, 2]], np.float32), (20_000, 1))
    gaussian = NETWORK.apply(PARAMETERS, observations[:1])
    action = act(POLICY, observations)
    assert (action.shape, action.dtype) == ((20_000, 2), np.float32)
    u = np.arctanh(BOUNDS.unscale(action).astype(np.float64))
    # Four standard deviations of the mean of 20,000, and as much for the deviation.
    std = np.exp(gaussian.log_std[0])
    np.testing.assert_allclose(u.mean(axis=0), gaussian.mean[0], atol=0.03 * std.max())
    np.testing.assert_allclose(u.std(axis=0), std, rtol=0.02)


def test_the_first_actions_are_on_both_sides_of_the_middle():
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    gaussian = NETWORK.apply(FIRST, observations)
    np.testing.assert_array_equal(gaussian.mean, np.zeros((5, 2)))
    np.testing.assert_array_equal(gaussian.log_std, np.zeros((5, 2)))


def test_greedy_is_the_action_of_the_mean():
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    action = act(GREEDY, observations)
    mean = NETWORK.apply(PARAMETERS, observations).mean
    np.testing.assert_allclose(action, BOUNDS.scale(np.tanh(mean)), rtol=1e-6)
    np.testing.assert_array_equal(action, act(GREEDY, observations, seed=1))
    assert (action != act(POLICY, observations)).any()


def test_both_kinds_share_one_compilation():
    num_traces = 0

    @functools.partial(jax.jit, static_argnums=0)
    def traced(policy, *args):
        nonlocal num_traces
        num_traces += 1
        return policy.act(*args)

    observations = np.zeros((2, 3), np.float32)
    for policy in (POLICY, GREEDY):
        traced(policy, PARAMETERS, (), observations, np.zeros((2, 2), np.float32))
    assert num_traces == 1
    elsewhere = Bounds(shape=(2,), low=(0.0, 0.0), high=(1.0, 1.0))
    assert SquashedGaussian(network=NETWORK, bounds=elsewhere) != POLICY


@pytest.mark.parametrize("head", [-1e4, 1e4])
def test_deviations_stay_within_limits(head):
    parameters = jax.tree.map(np.copy, PARAMETERS)
    parameters["head"]["biases"][2:] = head
    gaussian = NETWORK.apply(parameters, np.zeros((1, 3), np.float32))
    assert isinstance(gaussian, Gaussian)
    np.testing.assert_array_equal(
        gaussian.log_std, np.full((1, 2), 2 if head > 0 else -20)
    )


def test_acting_imports_no_jax():
    script = """
import sys
import numpy as np
from acmelike.agent import ActorPlace
from acmelike.environments import GymnasiumFactory, VectorEnvironment
from agents.sac.builder import SACBuilder
from agents.sac.config import SACConfig

builder = SACBuilder(config=SACConfig(hidden_sizes=(4,)))
pendulum = GymnasiumFactory(name="Pendulum-v1")
environment = VectorEnvironment(pendulum, num_envs=2, seed=0)
spec = environment.spec
builder.check(spec)
builder.make_table(spec)
adder = builder.make_adder(2)
policy = builder.make_policy(spec, ActorPlace(index=0, num_actors=1, num_envs=2))
parameters = {
    "torso": [{"weights": np.ones((3, 4), "f"), "biases": np.ones(4, "f")}],
    "head": {"weights": np.ones((4, 2), "f"), "biases": np.ones(2, "f")},
}
step = environment.reset()
noise = policy.noise(np.random.default_rng(0), 2)
action = policy.act(parameters, policy.init(2), step.observation, noise).action
environment.step(action)
assert "jax" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)

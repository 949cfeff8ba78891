"""Acting: what the noise does, and that actors do without JAX."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from dm_env import specs

from acmelike.agents.parts.bounds import Bounds
from acmelike.agents.parts.gaussian import Gaussian
from acmelike.agents.sac import SACConfig
from acmelike.agents.sac.agent import SACBuilder
from acmelike.agents.sac.learner import SAC
from tests.agents.compiled import first_parameters
from tests.agents.settings import make_spec

ROOT = Path(__file__).parents[3]
BOUNDS = Bounds(shape=(2,), low=(-2.0, 0.0), high=(2.0, 10.0))
SPEC = make_spec(actions=specs.BoundedArray((2,), np.float32, BOUNDS.low, BOUNDS.high))
BUILDER = SACBuilder(config=SACConfig(hidden_sizes=(8,)))
AGENT = SAC(BUILDER.config, SPEC)
FIRST = first_parameters(AGENT)
# As if something had been learned: at first the head is zero.
PARAMETERS = jax.tree.map(
    lambda x: x + np.linspace(-0.5, 0.4, x.size, dtype="f").reshape(x.shape), FIRST
)
EXPLORING = BUILDER.make_policy_inputs(SPEC, None)
GREEDY = BUILDER.make_greedy_inputs(SPEC)


def act(inputs, observations, seed=0):
    num_envs = len(observations)
    noise = inputs.noise(np.random.default_rng(seed), num_envs)
    output = AGENT.act(PARAMETERS, inputs.init(num_envs), observations, noise)
    assert output.state == () and not output.extras
    return np.asarray(output.action)


def test_actions_are_distributed_as_the_network_says():
    observations = np.tile(np.array([[0.5, -1, 2]], np.float32), (20_000, 1))
    gaussian = AGENT.policy.apply(PARAMETERS, observations[:1])
    action = act(EXPLORING, observations)
    assert (action.shape, action.dtype) == ((20_000, 2), np.float32)
    u = np.arctanh(BOUNDS.unscale(action).astype(np.float64))
    # Four standard deviations of the mean of 20,000, and as much for the deviation.
    std = np.exp(gaussian.log_std[0])
    np.testing.assert_allclose(u.mean(axis=0), gaussian.mean[0], atol=0.03 * std.max())
    np.testing.assert_allclose(u.std(axis=0), std, rtol=0.02)


def test_the_first_actions_are_on_both_sides_of_the_middle():
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    gaussian = AGENT.policy.apply(FIRST, observations)
    np.testing.assert_array_equal(gaussian.mean, np.zeros((5, 2)))
    np.testing.assert_array_equal(gaussian.log_std, np.zeros((5, 2)))


def test_greedy_is_the_action_of_the_mean():
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    action = act(GREEDY, observations)
    mean = AGENT.policy.apply(PARAMETERS, observations).mean
    np.testing.assert_allclose(action, BOUNDS.scale(np.tanh(mean)), rtol=1e-6)
    np.testing.assert_array_equal(action, act(GREEDY, observations, seed=1))
    assert (action != act(EXPLORING, observations)).any()


@pytest.mark.parametrize("head", [-1e4, 1e4])
def test_deviations_stay_within_limits(head):
    parameters = jax.tree.map(np.copy, PARAMETERS)
    parameters["params"]["head"]["bias"][2:] = head
    gaussian = AGENT.policy.apply(parameters, np.zeros((1, 3), np.float32))
    assert isinstance(gaussian, Gaussian)
    np.testing.assert_array_equal(
        gaussian.log_std, np.full((1, 2), 2 if head > 0 else -20)
    )


def test_what_an_actor_needs_imports_no_jax():
    script = """
import pickle
import sys
import numpy as np
from acmelike.actors import Actor
from acmelike.actors.inference import Inference
from acmelike.agent import ActorPlace
from acmelike.agents.sac import SACBuilder, SACConfig
from acmelike.environments import GymnasiumFactory, VectorEnvironment

builder = SACBuilder(config=SACConfig(hidden_sizes=(4,)))
pendulum = GymnasiumFactory(name="Pendulum-v1")
environment = VectorEnvironment(pendulum, num_envs=2, seed=0)
spec = environment.spec
builder.check(spec)
builder.make_table(spec)
adder = builder.make_adder(2)
place = ActorPlace(index=0, num_actors=1, num_envs=2)
inputs = builder.make_policy_inputs(spec, place)
policy, parameters = pickle.load(open(sys.argv[1], "rb"))
inference = Inference(policy, inputs, spec, num_envs=2, seed=0)
inference.set_parameters(parameters)
environment.step(inference.act(environment.reset())[0])
assert "jax" not in sys.modules and "flax" not in sys.modules
"""
    import pickle
    import tempfile

    from acmelike.environments import GymnasiumFactory, VectorEnvironment
    from acmelike.policies import make_portable

    pendulum = GymnasiumFactory(name="Pendulum-v1")
    spec = VectorEnvironment(pendulum, num_envs=2, seed=0).spec
    builder = SACBuilder(config=SACConfig(hidden_sizes=(4,)))
    agent = builder.make_agent(spec)
    parameters = first_parameters(agent)
    policy = make_portable(builder, spec, parameters)
    with tempfile.NamedTemporaryFile(suffix=".pkl") as file:
        pickle.dump((policy, parameters), file)
        file.flush()
        subprocess.run([sys.executable, "-c", script, file.name], cwd=ROOT, check=True)

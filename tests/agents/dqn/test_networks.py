"""The head of the Q-network: shapes, and what makes it dueling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from acmelike.agents.dqn import DQNConfig
from acmelike.agents.dqn.learner import DQN
from tests.agents.compiled import first_parameters
from tests.agents.settings import make_spec

OBSERVATION = jnp.arange(12.0).reshape(2, 2, 3) / 6


def make_agent(observation, hidden_sizes=(8,), **settings):
    config = DQNConfig(hidden_sizes=hidden_sizes, **settings)
    spec = make_spec(observation.shape[1:], actions=specs.DiscreteArray(4))
    return DQN(config, spec)


def init(**settings):
    agent = make_agent(OBSERVATION, **settings)
    return jax.jit(agent.network.apply), first_parameters(agent)


def shifted(parameters, num_units, by):
    """The parameters, with the bias of the layer of so many units moved."""

    def shift(bias):
        return bias + by if bias.shape == (num_units,) else bias

    return jax.tree.map(shift, parameters)


def test_advantages_have_a_mean_of_zero():
    apply, parameters = init(dueling=True)
    q = apply(parameters, OBSERVATION)
    # The value is the one layer of one unit: it alone moves the mean of the values,
    # and it moves all of them.
    more_value = apply(shifted(parameters, 1, 7.0), OBSERVATION)
    np.testing.assert_allclose(more_value, q + 7, rtol=1e-5)
    more_advantage = apply(shifted(parameters, 4, 7.0), OBSERVATION)
    np.testing.assert_allclose(more_advantage, q, atol=1e-5)
    one_advantage = shifted(parameters, 4, jnp.array([4.0, 0, 0, 0]))
    np.testing.assert_allclose(
        apply(one_advantage, OBSERVATION) - q, [[3, -1, -1, -1]] * 2, atol=1e-5
    )


def test_without_dueling_each_value_is_its_own():
    apply, parameters = init(dueling=False)
    q = apply(parameters, OBSERVATION)
    moved = apply(shifted(parameters, 4, jnp.array([4.0, 0, 0, 0])), OBSERVATION)
    np.testing.assert_allclose(moved - q, [[4, 0, 0, 0]] * 2, atol=1e-5)


@pytest.mark.parametrize("dueling", [True, False])
@pytest.mark.parametrize("hidden_sizes", [(), (8, 5)])
@pytest.mark.parametrize(
    "observation",
    [
        np.ones((5, 3), np.float32),
        np.ones((5, 2, 3, 1), np.uint8),
        np.arange(5, dtype=np.int32),  # scalars, such as the states of a maze
    ],
)
def test_any_observation_becomes_values(dueling, hidden_sizes, observation):
    agent = make_agent(observation, hidden_sizes, dueling=dueling)
    state = jax.eval_shape(agent.init, jax.random.key(0))
    parameters = agent.parameters(state)
    q = jax.eval_shape(agent.network.apply, parameters, observation)
    assert (q.shape, q.dtype) == ((5, 4), jnp.float32)
    assert len(jax.tree.leaves(parameters)) == 2 * (len(hidden_sizes) + 1 + dueling)

"""The optimizer: flat or not, it does the same."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from acmelike.agents.parts.optimizer import MAX_FOR_FLAT, TrainingState, make_adam
from acmelike.agents.parts.settings import OptimizerSettings

SETTINGS = OptimizerSettings(
    learning_rate=0.1, final_fraction=0.5, decay_updates=4, max_gradient_norm=1.0
)


@pytest.mark.parametrize("size", [3, MAX_FOR_FLAT])
def test_it_is_adam_of_gradients_cut_to_their_norm_over_all_arrays(size):
    # The norm is that of all gradients together, whether few parameters are one array
    # or many remain as they are.
    parameters = {"a": jnp.zeros(size), "b": jnp.ones((2, 2))}
    gradients = {"a": jnp.full(size, 3.0), "b": jnp.full((2, 2), -4.0)}
    norm = np.sqrt(size * 9 + 4 * 16)
    expected_optimizer = optax.adam(optax.linear_schedule(0.1, 0.05, 4))
    cut = jax.tree.map(lambda x: x / norm, gradients)
    optimizer = make_adam(SETTINGS)
    state, expected = optimizer.init(parameters), expected_optimizer.init(parameters)
    update, expected_update = map(
        jax.jit, (optimizer.update, expected_optimizer.update)
    )
    for _ in range(6):
        changes, state = update(gradients, state, parameters)
        wanted, expected = expected_update(cut, expected, parameters)
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4), changes, wanted
        )


@pytest.mark.parametrize("size", [3, MAX_FOR_FLAT])
def test_the_norm_of_the_gradients_is_from_before_they_are_limited(size):
    def loss(parameters):
        return 0.5 * (jnp.sum(parameters["a"] ** 2) + parameters["b"] ** 2)

    optimizer = make_adam(SETTINGS)  # It limits the norm to 1.
    parameters = {"a": jnp.zeros(size).at[1].set(3.0), "b": jnp.float32(4.0)}
    state = TrainingState.init(parameters, optimizer)
    assert state.optimizer.gradient_norm == 0
    # The gradients are the parameters: 3 and 4. Adam makes them 2.9 and 3.9.
    state = state.updated(optimizer, jax.grad(loss)(state.parameters))
    assert state.optimizer.gradient_norm == pytest.approx(5.0)
    state = state.updated(optimizer, jax.grad(loss)(state.parameters))
    assert state.optimizer.gradient_norm == pytest.approx(np.hypot(2.9, 3.9))


def test_few_parameters_are_one_array():
    def largest(size):
        state = make_adam(SETTINGS).init({"a": jnp.ones(size), "b": jnp.ones(2)})
        return max(leaf.size for leaf in jax.tree.leaves(state))

    assert largest(3) == 5
    assert largest(MAX_FOR_FLAT) == MAX_FOR_FLAT


def test_without_decay_and_limit_it_is_plain_adam():
    settings = OptimizerSettings(
        learning_rate=0.1, final_fraction=1.0, max_gradient_norm=None
    )
    parameters = {"a": jnp.ones(3), "b": jnp.float32(2.0)}
    gradients = {"a": jnp.full(3, 100.0), "b": jnp.float32(-7.0)}
    optimizer, plain = make_adam(settings), optax.adam(0.1)
    state, expected = optimizer.init(parameters), plain.init(parameters)
    for _ in range(3):
        changes, state = optimizer.update(gradients, state, parameters)
        wanted, expected = plain.update(gradients, expected, parameters)
        # Two products of powers may be one bit apart.
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), changes, wanted
        )

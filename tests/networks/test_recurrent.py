"""LSTMs: by hand, alike in NumPy and JAX, and begun anew."""

import jax
import numpy as np

from acmelike.networks import LSTMState, init_lstm, lstm, lstm_state, reset_where


def test_a_step_is_what_the_equations_say():
    # One unit, one input; the gates are write, keep, read, and then the new content.
    weights = np.float32([[1.0, 0.5, -1.0, 2.0], [0.0, 1.0, 0.5, -0.5]])
    biases = np.float32([0.1, 0.2, 0.3, 0.4])
    hidden, cell, x = 0.25, -0.5, 2.0
    write, keep, read, new = weights[0] * x + weights[1] * hidden + biases

    def sigmoid(value):
        return 1 / (1 + np.exp(-value))

    cell = sigmoid(keep) * cell + sigmoid(write) * np.tanh(new)
    expected = sigmoid(read) * np.tanh(cell)
    state = LSTMState(np.float32([[hidden]]), np.float32([[-0.5]]))
    parameters = {"weights": weights, "biases": biases}
    output, state = lstm(parameters, state, np.float32([[x]]))
    np.testing.assert_allclose(output, [[expected]], rtol=1e-6)
    np.testing.assert_allclose(state.hidden, [[expected]], rtol=1e-6)
    np.testing.assert_allclose(state.cell, [[cell]], rtol=1e-6)


def test_numpy_and_jax_agree_and_it_remembers():
    parameters = jax.device_get(init_lstm(jax.random.key(0), 3, 4))
    assert parameters["biases"].tolist() == [0] * 4 + [1] * 4 + [0] * 8
    xs = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    by_numpy = by_jax = lstm_state(2, 4)
    for x in xs:
        output, by_numpy = lstm(parameters, by_numpy, x)
        other, by_jax = jax.jit(lstm)(parameters, by_jax, x)
        assert isinstance(output, np.ndarray) and output.dtype == np.float32
        np.testing.assert_allclose(output, other, rtol=1e-5, atol=1e-6)
    fresh, _ = lstm(parameters, lstm_state(2, 4), xs[-1])
    assert not np.allclose(fresh, output, atol=1e-3)


def test_a_state_is_the_initial_one_where_an_episode_begins():
    state = {"a": np.arange(3), "b": np.ones((3, 2))}
    initial = {"a": np.full(3, 7), "b": np.zeros((3, 2))}
    begins = np.array([False, True, False])
    for result in (
        reset_where(state, initial, begins),
        jax.jit(reset_where)(state, initial, begins),
    ):
        np.testing.assert_array_equal(result["a"], [0, 7, 2])
        np.testing.assert_array_equal(result["b"], [[1, 1], [0, 0], [1, 1]])

"""LSTMs: a step by hand, what they remember, and the reset of their state."""

import jax
import numpy as np

from acmelike.networks import LSTM, LSTMState, lstm_state, reset_where


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
    parameters = {"params": {"gates": {"kernel": weights, "bias": biases}}}
    output, state = LSTM(1).apply(parameters, state, np.float32([[x]]))
    np.testing.assert_allclose(output, [[expected]], rtol=1e-6)
    np.testing.assert_allclose(state.hidden, [[expected]], rtol=1e-6)
    np.testing.assert_allclose(state.cell, [[cell]], rtol=1e-6)


def test_it_remembers_and_at_first_forgets_little():
    network, xs = LSTM(4), np.random.default_rng(0).normal(size=(5, 2, 3))
    xs = xs.astype(np.float32)
    parameters = network.init(jax.random.key(0), lstm_state(2, 4), xs[0])
    biases = parameters["params"]["gates"]["bias"]
    assert biases.tolist() == [0] * 4 + [1] * 4 + [0] * 8
    state = lstm_state(2, 4)
    for x in xs:
        output, state = network.apply(parameters, state, x)
        assert output.dtype == np.float32
    fresh, _ = network.apply(parameters, lstm_state(2, 4), xs[-1])
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

"""NumPy text does what `act` does, operation by operation, or is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_env import specs

from acmelike.agent import PolicyOutput
from acmelike.networks import log_prob_of, preparation_of, take_action
from acmelike.policies.numpy_operations import TEXT_NAMES
from acmelike.policies.numpy_text import MissingOperation, numpy_text
from acmelike.types import EnvironmentSpec, MultiDiscreteArray

TABLE = np.arange(12, dtype=np.float32).reshape(4, 3)
BYTES = preparation_of(
    EnvironmentSpec(specs.BoundedArray((6,), np.int8, -4, 4), None, None, None), "auto"
)
CATEGORIES = preparation_of(
    EnvironmentSpec(
        MultiDiscreteArray((2,), np.int32, [-4, -4], [4, 4]), None, None, None
    ),
    "auto",
)


def make_observations(num_envs):
    """Whole numbers from -4 to 4, `[K, 6]`."""
    return (np.arange(num_envs * 6).reshape(num_envs, 6) % 9 - 4).astype(np.int32)


def text_of(function):
    """The text of an `act` that returns what a function makes of the observations."""

    def act(parameters, state, observation, noise):
        value = function(observation, parameters["table"])
        return PolicyOutput(jnp.zeros(observation.shape[:1]), state, {"value": value})

    return numpy_text(
        act, {"table": TABLE}, lambda _: (), make_observations, lambda _: ()
    )


def floats(x):
    return x.astype(jnp.float32)


@jax.jit
def logaddexp(x, y):
    """Not what its name says."""
    return x + 2 * y


CASES = {
    "a function with the name of JAX's": lambda x, t: logaddexp(floats(x), 1.0),
    "a constant beside every row": lambda x, t: jnp.concatenate(
        [floats(x), jnp.ones((x.shape[0], 1))], axis=-1
    ),
    "a constant for every row": lambda x, t: jnp.zeros(x.shape[0]),
    "not a number": lambda x, t: jnp.where(x > 0, floats(x), jnp.nan),
    "infinity": lambda x, t: jnp.where(x > 0, jnp.inf, -jnp.inf),
    "a pool of a constant": lambda x, t: (
        floats(x[:, :1])
        + jax.lax.reduce_window(jnp.ones(4), 0.0, jax.lax.add, (2,), (2,), "VALID")
    ),
    "a column after a new axis": lambda x, t: jnp.squeeze(x[:, :1][None], 0),
    "two columns after a new axis": lambda x, t: jnp.squeeze(x[:, :2][None], 0),
    "a sum of numbers of whole type": lambda x, t: jnp.sum(x, axis=-1),
    "a sum as a column": lambda x, t: jnp.sum(x, axis=-1, keepdims=True),
    "a count": lambda x, t: jnp.sum(x > 0, axis=-1),
    "a product of whole numbers": lambda x, t: jnp.prod(x[:, :2], axis=-1),
    "the best as a column": lambda x, t: jnp.argmax(x, axis=-1)[:, None],
    "the best twice": lambda x, t: jnp.concatenate(
        [jnp.argmax(x, axis=-1)[:, None]] * 2, axis=-1
    ),
    "heads of their own": lambda x, t: take_action(
        floats(x).reshape(-1, 2, 3), jnp.abs(x[:, :2]) % 3
    ),
    "one action": lambda x, t: take_action(floats(x), jnp.abs(x[:, 0])),
    "rows within the table": lambda x, t: jnp.take(t, jnp.clip(x[:, 0], 0, 3), axis=0),
    "rows for two columns": lambda x, t: jnp.take(t, jnp.clip(x[:, :2], 0, 3), axis=0),
    "rows cut to the table": lambda x, t: jnp.take(t, x[:, 0], axis=0, mode="clip"),
    "columns": lambda x, t: x[:, np.array([5, 0, 0, 2])],
    "columns of columns": lambda x, t: x[:, np.array([[5, 0], [1, 2]])],
    "columns cut to the table": lambda x, t: jnp.take(
        t, jnp.abs(x), axis=1, mode="clip"
    ),
    "columns of a constant for every row": lambda x, t: (
        jnp.ones((x.shape[0], 1)) * jnp.arange(3.0)
    )[:, np.array([2, 2, 0])],
    "several categories": lambda x, t: CATEGORIES(x[:, :2]),
    "a power": lambda x, t: jnp.exp(floats(x[:, :3]) ** 2 / 9) ** t[0],
    "a remainder": lambda x, t: jax.lax.rem(x, jnp.int32(3)),
    "signed bytes by their bounds": lambda x, t: BYTES(x.astype(jnp.int8)),
}


def test_what_numpy_does_at_once_is_one_operation():
    text = text_of(
        lambda x, t: (
            jnp.logaddexp(floats(x[:, 0]), 1.0) + log_prob_of(floats(x), x[:, 0] % 3)
        )
    )
    for operation in ("np.logaddexp(", "np.logaddexp.reduce(", "[np.arange(len("):
        assert operation in text


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_it_does_what_jax_does(name, num_envs):
    function, names = CASES[name], dict(TEXT_NAMES)
    exec(text_of(function), names)
    observations = make_observations(num_envs)
    expected = np.asarray(jax.jit(function)(observations, TABLE))
    _, _, extras = names["bind"]({"table": TABLE})((), observations, ())
    found = extras["value"]
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x, t: x // 4, "division of integers"),
        (lambda x, t: floats(x) ** x, "powers by another type"),
        (lambda x, t: x @ jnp.ones((6, 2), jnp.int32), "products of integer matrices"),
        (lambda x, t: jnp.tanh(x.astype(jnp.bfloat16)), "bfloat16"),
        (lambda x, t: jnp.sort(x, axis=-1), "sort"),
        (lambda x, t: t[jnp.abs(x[:, 0]) % 3, jnp.abs(x[:, 1]) % 3], "several axes"),
        (lambda x, t: jax.lax.reduce(x, 1, lambda a, b: a * b + a, (0,)), "reduce"),
    ],
)
def test_what_numpy_would_do_otherwise_is_refused(function, words):
    with pytest.raises(MissingOperation, match=words):
        text_of(function)

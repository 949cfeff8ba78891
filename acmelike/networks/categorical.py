"""Distributions over discrete actions."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def log_softmax(logits: jax.Array) -> jax.Array:
    """Log-probabilities `[..., A]` of logits `[..., A]`."""
    log_probs: jax.Array = jax.nn.log_softmax(logits, axis=-1)
    return log_probs


def take_action(values: jax.Array, action: jax.Array) -> jax.Array:
    """The values of the actions: `[..., A]` and `[...]` to `[...]`."""
    rows = values.reshape(-1, values.shape[-1])
    taken = one_of_each_row(rows, action.reshape(-1))
    found: jax.Array = jnp.reshape(taken, action.shape)
    return found


def log_prob_of(logits: jax.Array, action: jax.Array) -> jax.Array:
    """The log-probabilities of the actions only: `[K, A]` and `[K]` to `[K]`."""
    found: jax.Array = one_of_each_row(logits, action) - log_sum_exp_of_rows(logits)
    return found


def entropy_of(log_probs: jax.Array) -> jax.Array:
    """The entropy `[...]` of distributions with log-probabilities `[..., A]`."""
    return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)


# `_FUNCTIONS` in `policies/numpy_text.py` has the next two functions by these names.
# NumPy computes each in one call, in half the time of its parts.


@jax.jit
def one_of_each_row(rows: jax.Array, index: jax.Array) -> jax.Array:
    """`rows[i, index[i]]` for each i: `[N, A]` and `[N]` to `[N]`."""
    return jnp.take_along_axis(rows, index[:, None], axis=1)[:, 0]


@jax.jit
def log_sum_exp_of_rows(rows: jax.Array) -> jax.Array:
    """`log(sum(exp(row)))` of each row: `[N, A]` to `[N]`."""
    return jax.nn.logsumexp(rows, axis=1)

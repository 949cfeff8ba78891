"""The loss of R2D2, and the priorities of sequences."""

from __future__ import annotations

import operator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import rlax

from acmelike.adders import Sequence
from acmelike.agents.parts.heads import only_allowed
from acmelike.agents.parts.recurrent import RecurrentNetwork, unroll
from acmelike.agents.r2d2.agent import NO_ACTION, Memory
from acmelike.networks import mask_of

# h(x) = sign(x) (sqrt(|x| + 1) - 1) + 0.001 x and its inverse: Pohlen et al. 2018,
# "Observe and Look Further", arXiv 1805.11593.
RESCALING = rlax.SIGNED_HYPERBOLIC_PAIR


def unroll_with_burn_in(
    network: RecurrentNetwork, parameters: Any, batch: Sequence, *, burn_in: int
) -> jax.Array:
    """Action values `[T, B, A]` of sequences `[T, B, ...]`, by the stored memories.

    The memory after `burn_in` steps is computed with these parameters; no gradient goes
    further back. Section 3 of "Recurrent Experience Replay in Distributed Reinforcement
    Learning".
    """
    memory = Memory(**batch.extras)
    last_action = jnp.concatenate([memory.action[None], batch.a_t[:-1]])
    last_action = jnp.where(batch.is_first, NO_ACTION, last_action)
    state, q = memory.lstm, []
    parts = [slice(burn_in), slice(burn_in, None)] if burn_in else [slice(None)]
    steps = batch.o_t, batch.is_first, last_action
    for part in parts:
        values, state = unroll(
            network,
            parameters,
            jax.lax.stop_gradient(state),
            *jax.tree.map(operator.itemgetter(part), steps),
        )
        q.append(values)
    return only_allowed(jnp.concatenate(q), mask_of(batch.o_t))  # type: ignore[no-any-return]


def learned_steps(batch: Sequence, *, burn_in: int) -> jax.Array:
    """Which steps are learned from, without the last one: `[T - 1, B]` float32.

    These are the steps with an action after the burn-in. A step within the burn-in
    counts if its episode began in the sequence: its memory is no older than the
    parameters, and otherwise no beginning would ever be learned from.
    """
    time = jnp.arange(len(batch.is_first))[:, None]
    is_known = (time >= burn_in) | (jnp.cumsum(batch.is_first, axis=0) > 0)
    return jnp.where(is_known, batch.mask, 0.0)[:-1]


def td_errors(
    q: jax.Array,
    q_target: jax.Array,
    batch: Sequence,
    *,
    n_step: int,
    discount: float,
    rescale_values: bool,
) -> tuple[jax.Array, jax.Array]:
    """N-step double-Q TD errors, and values of the actions, `[T - 1, B]` each.

    The target of step t is, by equation 1 of the paper,

        h(sum_k discount^k * r_(t+k) + discount^n * h^-1(q_target(o_(t+n), a*)))

    where `a*` is the best action by `q`, and `h` is signed and nearly a square root.
    Where the episode or the sequence has fewer than n steps left, the target bootstraps
    from the last observation. The values are `h^-1(q(o_t, a_t))`, on the scale of
    rewards; `q` and `q_target` are `[T, B, A]`.
    """
    pair = RESCALING if rescale_values else rlax.IDENTITY_PAIR

    @partial(jax.vmap, in_axes=1, out_axes=1)
    def returns(
        r_t: jax.Array, discount_t: jax.Array, v_t: jax.Array, goes_on: jax.Array
    ) -> Any:
        return rlax.transformed_n_step_returns(
            pair, r_t, discount_t, v_t, n_step, goes_on, stop_target_gradients=True
        )

    best = jnp.argmax(q, axis=-1)
    v = jnp.take_along_axis(q_target, best[..., None], axis=-1)[..., 0]
    # A return continues only over steps with an action. At the last observation of an
    # episode that was cut off, it bootstraps.
    target = returns(
        batch.r_t[:-1], discount * batch.discount_t[:-1], v[1:], batch.mask[1:]
    )
    q_a = jnp.take_along_axis(q, batch.a_t[..., None], axis=-1)[:-1, ..., 0]
    return target - q_a, pair.apply_inv(q_a)


def sequence_priorities(
    errors: jax.Array, mask: jax.Array, *, max_fraction: float
) -> jax.Array:
    """Priorities `[B]` of TD errors `[T, B]` where the mask `[T, B]` is one.

    `eta * max_t |error_t| + (1 - eta) * mean_t |error_t|`, section 2.3 of the paper.
    """
    sizes = jnp.abs(errors) * mask
    mean = jnp.sum(sizes, axis=0) / jnp.maximum(jnp.sum(mask, axis=0), 1.0)
    return max_fraction * jnp.max(sizes, axis=0) + (1 - max_fraction) * mean


def r2d2_loss(
    errors: jax.Array, mask: jax.Array, weights: jax.Array, *, huber_delta: float
) -> jax.Array:
    """The Huber loss `[]` of TD errors `[T, B]`, weighted by sequence `[B]`.

    It is the mean over the steps where the mask `[T, B]` is one.
    """
    losses = rlax.huber_loss(errors, delta=huber_delta) * mask * weights
    return jnp.sum(losses) / jnp.maximum(jnp.sum(mask), 1.0)

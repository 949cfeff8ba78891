"""The losses of TD3: Fujimoto et al. 2018, arXiv 1802.09477."""

import jax
import jax.numpy as jnp


def smoothed(action: jax.Array, noise: jax.Array, clip: float) -> jax.Array:
    """Actions `[B, A]` with clipped noise, from -1 to 1: equation 14."""
    return jnp.clip(action + jnp.clip(noise, -clip, clip), -1.0, 1.0)


def critic_loss(
    q_tm1: jax.Array, r_t: jax.Array, discount_t: jax.Array, q_t: jax.Array
) -> jax.Array:
    """The squared error `[]`, a mean over B and a sum over critics: algorithm 1.

    The target `r_t + discount_t * min_i q_i(o_t, a_t)` is `[B]`; both q are `[2, B]`.
    """
    target = jax.lax.stop_gradient(r_t + discount_t * jnp.min(q_t, axis=0))
    return jnp.sum(jnp.mean(jnp.square(q_tm1 - target), axis=1))

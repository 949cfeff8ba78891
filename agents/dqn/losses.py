"""The loss of DQN and its extensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import rlax

from acmelike.networks import take_action
from acmelike.types import Nested, Transition

# (parameters, observations [B, ...]) -> action values [B, A].
ApplyFn = Callable[[Any, Nested], jax.Array]


def td_errors(
    apply: ApplyFn, parameters: Any, target: Any, batch: Transition, *, double: bool
) -> tuple[jax.Array, jax.Array]:
    """TD errors `[B]` of transitions `[B, ...]`, and the values `[B]` of their actions.

    A value is `q(o_tm1, a_tm1)`, and an error is an estimate minus the value. An
    estimate is `r_t + discount_t * q_target(o_t, a)`, where `a` is the best action by
    the target network, or with `double` by the online one: equation 4 of "Deep
    Reinforcement Learning with Double Q-learning", arXiv 1509.06461.

    Args:
      apply: the network.
      parameters: of the online network.
      target: parameters of the target network.
      batch: of transitions.
      double: see above.
    """
    q_tm1 = apply(parameters, batch.o_tm1)
    q_t_target = apply(target, batch.o_t)
    q_t_selector = apply(parameters, batch.o_t) if double else q_t_target
    errors: jax.Array = jax.vmap(rlax.double_q_learning)(
        q_tm1, batch.a_tm1, batch.r_t, batch.discount_t, q_t_target, q_t_selector
    )
    return errors, take_action(q_tm1, batch.a_tm1)


def dqn_loss(
    apply: ApplyFn,
    parameters: Any,
    target: Any,
    batch: Transition,
    weights: jax.Array,
    *,
    double: bool,
    huber_delta: float,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """The loss `[]`, `mean_i weights_i huber(error_i)`, and what `td_errors` returns.

    Huber's loss has the clipped gradient of Mnih et al. 2015 (Methods). The weights
    `[B]` are those of prioritized replay: Schaul et al., arXiv 1511.05952, section 3.4.
    """
    errors, q_a = td_errors(apply, parameters, target, batch, double=double)
    losses = rlax.huber_loss(errors, delta=huber_delta)
    return jnp.mean(weights * losses), (errors, q_a)

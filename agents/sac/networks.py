"""The policy and the twin critics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from acmelike.agents.sac.gaussian import Gaussian
from acmelike.networks import dense, flat, init_dense, init_mlp, mlp, namespace
from acmelike.types import Nested

# Deviations outside of these are of no use and overflow sooner or later.
MIN_LOG_STD, MAX_LOG_STD = -20.0, 2.0


@dataclass(frozen=True, kw_only=True)
class PolicyNetwork:
    """A multi-layer perceptron: observations `[B, ...]` to a Gaussian of `[B, A]`.

    Attributes:
      num_actions: A, the dimensions of an action.
      hidden_sizes: units of each hidden layer.
    """

    num_actions: int
    hidden_sizes: tuple[int, ...]

    needs_jax = False

    def init(self, key: Any, observation_shape: tuple[int, ...]) -> Nested:
        """Random parameters, but for a head of zeros; the key is one of JAX's."""
        parameters = _init(
            key, math.prod(observation_shape), self.hidden_sizes, 2 * self.num_actions
        )
        # So actions are at first the same everywhere, as likely on one side of the
        # middle as on the other; a random head leans, and the first episodes with it.
        head = parameters["head"]
        return {**parameters, "head": {**head, "weights": 0 * head["weights"]}}

    def apply(self, parameters: Nested, observation: Any) -> Gaussian:
        """The distribution of actions, in NumPy or JAX."""
        out = _apply(parameters, flat(observation))
        mean, log_std = out[:, : self.num_actions], out[:, self.num_actions :]
        xp = namespace(out)
        return Gaussian(mean, xp.clip(log_std, MIN_LOG_STD, MAX_LOG_STD))


@dataclass(frozen=True, kw_only=True)
class TwinCritics:
    """Two multi-layer perceptrons: observations and actions `[B, ...]` to `[2, B]`.

    Their parameters are stacked, `[2, ...]`, so that one product of matrices serves
    both. Two because the smaller value overestimates less: section 6 of "Soft
    Actor-Critic Algorithms and Applications", arXiv 1812.05905.

    Attributes:
      num_actions: A, the dimensions of an action.
      hidden_sizes: units of each hidden layer.
    """

    num_actions: int
    hidden_sizes: tuple[int, ...]

    def init(self, key: Any, observation_shape: tuple[int, ...]) -> Nested:
        """Random parameters, of each critic its own."""
        import jax

        num_inputs = math.prod(observation_shape) + self.num_actions

        def init_one(key: Any) -> Nested:
            return _init(key, num_inputs, self.hidden_sizes, 1)

        return jax.vmap(init_one)(jax.random.split(key, 2))

    def apply(self, parameters: Nested, observation: Any, action: Any) -> Any:
        """Values `[2, B]` of actions `[B, A]` from -1 to 1; in JAX only."""
        import jax

        x = namespace(action).concatenate([flat(observation), action], axis=-1)
        return jax.vmap(_apply, in_axes=(0, None))(parameters, x)[..., 0]


def _init(
    key: Any, num_inputs: int, hidden_sizes: tuple[int, ...], num_outputs: int
) -> Nested:
    import jax

    keys = jax.random.split(key)
    num_features = (num_inputs, *hidden_sizes)[-1]
    return {
        "torso": init_mlp(keys[0], num_inputs, hidden_sizes),
        "head": init_dense(keys[1], num_features, num_outputs),
    }


def _apply(parameters: Nested, x: Any) -> Any:
    return dense(parameters["head"], mlp(parameters["torso"], x))

"""The policy and the value, which share nothing but what normalises observations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from acmelike.networks import (
    Moments,
    Torso,
    dense,
    init_dense,
    normalize,
)
from acmelike.types import Nested


class PolicyParameters(NamedTuple):
    """What an actor needs.

    Attributes:
      moments: of observations; None if they are not normalised.
      network: of the policy.
    """

    moments: Moments | None
    network: Nested


@dataclass(frozen=True, kw_only=True)
class PPONetwork:
    """Observations `[B, ...]` to logits `[B, A]`, and to values `[B]`.

    Attributes:
      torso: the features of each.
      num_actions: A.
    """

    torso: Torso
    num_actions: int

    needs_jax = False

    def init_policy(self, key: Any) -> Nested:
        """Random parameters; at first all actions are nearly alike."""
        import jax

        keys = jax.random.split(key)
        logits = init_dense(keys[1], self.torso.num_features, self.num_actions)
        return {
            "torso": self.torso.init(keys[0]),
            "logits": {**logits, "weights": logits["weights"] * 0.01},
        }

    def init_value(self, key: Any) -> Nested:
        """Random parameters."""
        import jax

        keys = jax.random.split(key)
        return {
            "torso": self.torso.init(keys[0]),
            "value": init_dense(keys[1], self.torso.num_features, 1),
        }

    def logits(self, parameters: PolicyParameters, observation: Any) -> Any:
        """Of the actions, in NumPy or JAX."""
        moments, network = parameters
        features = self.torso.apply(network["torso"], _seen(moments, observation))
        return dense(network["logits"], features)

    def value(self, parameters: Nested, moments: Moments | None, x: Any) -> Any:
        """What is to be expected from observations `x` on."""
        features = self.torso.apply(parameters["torso"], _seen(moments, x))
        return dense(parameters["value"], features)[:, 0]


def _seen(moments: Moments | None, observation: Any) -> Any:
    return observation if moments is None else normalize(moments, observation)

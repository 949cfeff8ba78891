"""The Q-network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from acmelike.networks import dense, init_dense, make_torso
from acmelike.types import Nested


@dataclass(frozen=True, kw_only=True)
class QNetwork:
    """Observations `[B, ...]` to action values `[B, A]`.

    With `dueling`, `q(s, a) = v(s) + adv(s, a) - mean_a adv(s, a)`, equation 9 of
    "Dueling Network Architectures for Deep Reinforcement Learning", arXiv 1511.06581.

    Attributes:
      num_actions: A.
      hidden_sizes: units of each hidden layer.
      dueling: whether value and advantage have streams of their own.
    """

    num_actions: int
    hidden_sizes: tuple[int, ...]
    dueling: bool

    needs_jax = False

    def init(self, key: Any, observation_shape: tuple[int, ...]) -> Nested:
        """Random parameters; the key is one of JAX's."""
        import jax

        keys = jax.random.split(key, 3)
        torso = make_torso(observation_shape, self.hidden_sizes)
        parameters = {
            "torso": torso.init(keys[0]),
            "advantage": init_dense(keys[1], torso.num_features, self.num_actions),
        }
        if self.dueling:
            parameters["value"] = init_dense(keys[2], torso.num_features, 1)
        return parameters

    def apply(self, parameters: Nested, observation: Any) -> Any:
        """Action values, in NumPy or JAX."""
        torso = make_torso(observation.shape[1:], self.hidden_sizes)
        x = torso.apply(parameters["torso"], observation)
        advantage = dense(parameters["advantage"], x)
        if not self.dueling:
            return advantage
        value = dense(parameters["value"], x)
        return value + advantage - advantage.mean(axis=-1, keepdims=True)

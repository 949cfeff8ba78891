"""PPO's settings, and the builder that makes its parts. Imports no JAX."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from acmelike.agents.parts.settings import OptimizerSettings
from acmelike.agents.parts.unrolls import UnrollBuilder, UnrollConfig
from acmelike.checks import above, at_least, between
from acmelike.errors import ConfigError
from acmelike.types import EnvironmentSpec


@dataclass(frozen=True, kw_only=True)
class PPOConfig(UnrollConfig):
    """PPO with a clipped objective; the policy and the value have a network each.

    Attributes:
      activation: after each hidden layer of "mlp", "minatar" and "nature"; their
        convolutions have relu.
      unroll_length: steps of each environment with one version of the parameters.
      num_epochs: how often each step is used.
      num_minibatches: in an epoch; must divide the number of steps in a batch.
      gae_lambda: of generalized advantage estimation (Schulman 2015): 0 bootstraps
        after one step, 1 after the last.
      clip: epsilon of the paper: the ratio of an action's probability to the old one
        gets no gradient beyond 1 - clip and 1 + clip.
      clip_values: how far a value may move from the old value before its gradient is
        zero; None for no limit.
      normalize_advantages: mean zero and variance one in every minibatch.
      normalize_rewards: divided by the root of their mean square so far.
    """

    activation: Literal["relu", "tanh"] = "tanh"
    unroll_length: Annotated[int, at_least(1)] = 32
    num_epochs: Annotated[int, at_least(1)] = 10
    num_minibatches: Annotated[int, at_least(1)] = 2
    discount: Annotated[float, between(0, 1)] = 0.98
    gae_lambda: Annotated[float, between(0, 1)] = 0.8
    clip: Annotated[float, above(0)] = 0.2
    clip_values: Annotated[float, above(0)] | None = None
    entropy_weight: Annotated[float, at_least(0)] = 0.0
    normalize_advantages: bool = True
    normalize_rewards: bool = False
    optimizer: OptimizerSettings = field(
        default_factory=lambda: OptimizerSettings(
            decay_updates=8_000, max_gradient_norm=0.5
        )
    )


@dataclass(frozen=True, kw_only=True)
class PPOBuilder(UnrollBuilder):
    """Makes the parts of one PPO agent; implements `Builder` and `OnPolicy`.

    Attributes:
      config: the agent's settings.
      batch_size: unrolls of one call; in lock-step, all environments of all actors.
    """

    config: PPOConfig
    batch_size: int
    name = "ppo"
    factory = "acmelike.agents.ppo.learner:PPO"

    @property
    def num_updates_per_call(self) -> int:
        return self.config.num_epochs * self.config.num_minibatches

    @property
    def queue_size(self) -> int:
        return self.batch_size

    def check(self, spec: EnvironmentSpec) -> None:
        super().check(spec)
        num_steps = self.batch_size * self.unroll_length
        num_minibatches = self.config.num_minibatches
        if num_steps % num_minibatches:
            raise ConfigError(
                f"num_minibatches must divide the {num_steps} steps of "
                f"{self.batch_size} environments: {num_minibatches}"
            )
        if self.config.normalize_advantages and num_steps == num_minibatches:
            raise ConfigError(
                f"num_minibatches must be below the {num_steps} steps of a batch: "
                f"normalize_advantages makes the advantage of one step zero"
            )

"""How many nodes a program has, and what each of them gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from acmelike.checks import at_least, check_fields
from acmelike.errors import ConfigError
from acmelike.graph import RestartPolicy

# More environments side by side hardly speed up an evaluation; each takes memory.
MAX_EVAL_ENVS = 20


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How many nodes a program has, and what each of them gets.

    Attributes:
      num_actors: how many actor nodes.
      max_actors: where nodes have processes, the most actors that may run, as far as
        the hosts have cores for them; never fewer than `num_actors`. None for
        `num_actors` at all times. A program that is launched from Python calls
        `Run.scale` instead.
      num_envs_per_actor: how many environments each actor steps as one vector.
      num_eval_episodes: episodes in an evaluation.
      num_eval_envs: environments in which an evaluation plays its episodes, side by
        side; None for one for each episode, but 20 at most.
      parameter_interval: updates, at least, between two versions of the parameters that
        an actor takes; 1 for every version.
      num_cachers: nodes that take each version from the learner once, for an equal
        share of the actors; 0 for actors that take it from the learner.
      learner_cpus: cores that the learner may keep busy under "processes"; more than
        one helps large networks only.
      learner_device: where the learner computes, under every launcher: "cpu"; "gpu",
        which has to be there; or "auto", a GPU if JAX sees one, otherwise the CPU.
      learner_gpus: GPUs, or a part of one, for the learner where nodes have processes.
        None follows `learner_device`: one for "gpu", none for "cpu", and for "auto" one
        if some host has a free GPU. Other nodes see no GPU, except the one that acts
        with central inference.
      replay_engine: "own", or "reverb" for the tables of a real Reverb server in the
        replay node, which needs `make reverb-env`.
      replay_may_exceed_memory: start even if replay's machine has less memory than full
        tables take, as for a run that ends before they are full.
      max_restarts: how often within five minutes an actor, a cacher or the evaluator is
        restarted after a failure, where nodes have processes; 0 for never, so that
        the first failure ends the run.
      inference_batch_size: only with central inference: a batch is complete at this
        number of environments and never larger, but holds at least one actor; 0 for
        the environments of all actors.
      inference_wait_seconds: only with central inference: how long an incomplete batch
        waits for more environments.
    """

    num_actors: Annotated[int, at_least(1)] = 2
    max_actors: Annotated[int, at_least(1)] | None = None
    num_envs_per_actor: Annotated[int, at_least(1)] = 4
    num_eval_episodes: Annotated[int, at_least(1)] = 20
    num_eval_envs: Annotated[int, at_least(1)] | None = None
    parameter_interval: Annotated[int, at_least(1)] = 1
    num_cachers: Annotated[int, at_least(0)] = 0
    learner_cpus: Annotated[int, at_least(1)] = 1
    learner_device: Literal["auto", "cpu", "gpu"] = "auto"
    learner_gpus: Annotated[float, at_least(0)] | None = None
    replay_engine: Literal["own", "reverb"] = "own"
    replay_may_exceed_memory: bool = False
    max_restarts: Annotated[int, at_least(0)] = 5
    inference_batch_size: Annotated[int, at_least(0)] = 0
    inference_wait_seconds: Annotated[float, at_least(0)] = 0.002

    def __post_init__(self) -> None:
        check_fields(self)
        if self.max_actors is not None and self.max_actors < self.num_actors:
            raise ConfigError(
                f"max_actors must be at least {self.num_actors}, the number of actors: "
                f"{self.max_actors}"
            )
        if self.learner_device == "cpu" and self.learner_gpus:
            raise ConfigError(
                f"learner_gpus must be 0 with learner_device cpu: {self.learner_gpus:g}"
            )
        if self.learner_device == "gpu" and self.learner_gpus == 0:
            raise ConfigError("learner_gpus must be above 0 with learner_device gpu: 0")

    @property
    def num_learner_gpus(self) -> float | None:
        """GPUs that the learner's process needs; None for one if there is one."""
        if self.learner_device == "auto" or self.learner_gpus is not None:
            return self.learner_gpus
        return 1 if self.learner_device == "gpu" else 0

    @property
    def num_envs_of_evaluator(self) -> int:
        """How many environments an evaluation has, never more than episodes."""
        most = self.num_eval_envs or MAX_EVAL_ENVS
        return min(self.num_eval_episodes, most)

    @property
    def num_places(self) -> int:
        """How many actors the program has, of which `num_actors` are started."""
        return self.max_actors or self.num_actors

    def check_fixed(self, why: str) -> None:
        """Refuses a number of actors that may change.

        Args:
          why: where it cannot change, such as "in lock-step".

        Raises:
          ConfigError: `max_actors` allows a change.
        """
        if self.num_places > self.num_actors:
            raise ConfigError(
                f"{why} all actors are there from the beginning: max_actors must be "
                f"{self.num_actors}, got {self.max_actors}"
            )

    def check_no_inference(self) -> None:
        """Refuses settings of a node that acts for the actors, where there is none.

        Raises:
          ConfigError: one of them differs from its default.
        """
        for name in ("inference_batch_size", "inference_wait_seconds"):
            value = getattr(self, name)
            if value != getattr(Layout, name):
                raise ConfigError(
                    f"{name} is of central inference, which this topology does not "
                    f"have: {value}"
                )

    @property
    def num_envs(self) -> int:
        """How many environments all actors have together."""
        return self.num_actors * self.num_envs_per_actor

    @property
    def restart(self) -> RestartPolicy | None:
        """The restart policy of nodes that hold nothing that other nodes need."""
        if not self.max_restarts:
            return None
        return RestartPolicy(max_restarts=self.max_restarts)

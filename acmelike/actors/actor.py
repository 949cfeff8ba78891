"""The actor node: steps K environments with a policy and writes items to replay."""

from __future__ import annotations

from dataclasses import dataclass

from acmelike.actors.inference import Inference
from acmelike.actors.parameter_follower import ParameterFollower
from acmelike.actors.recorder import Recorder
from acmelike.adders import Adder
from acmelike.agent import PolicyInputs
from acmelike.core import deadline
from acmelike.environments import EnvironmentFactory, make_vector_environment
from acmelike.errors import RpcTimeout
from acmelike.learners import ParameterSource
from acmelike.replay import Replay, TableConfig
from acmelike.types import EnvironmentSpec, Nested, VectorStep

# Seconds between checks for errors from replay while an actor in lock-step waits for
# parameters.
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class LockStep:
    """How an actor works in lock-step with others.

    Attributes:
      num_steps: that it takes with each version of the parameters.
      index: of the actor among all. A restarted actor keeps the index, and skips
        versions whose unrolls replay already has.
    """

    num_steps: int
    index: int


class Actor:
    """A worker; each step is one step of its K environments.

    It waits for the learner's policy and first parameters. After that it checks for
    newer ones before each step, and never waits for them. In lock-step it takes a
    number of steps with each version instead, and then waits for the next version. It
    also waits while replay does not admit its items.

    Args:
      inputs: initial states and random numbers, by which actors explore differently.
      adder: makes the items that it writes.
      spec: of the environments.
      environment_factory: makes the environments.
      num_envs: K.
      replay: where its items go.
      table: of these items.
      parameter_source: has the policy and the parameters.
      parameter_interval: the minimum number of updates between two versions it takes.
      lock_step: how it works in lock-step; None for no lock-step.
      seed: of its environments and its exploration.
    """

    def __init__(
        self,
        *,
        inputs: PolicyInputs,
        adder: Adder,
        spec: EnvironmentSpec,
        environment_factory: EnvironmentFactory,
        num_envs: int,
        replay: Replay,
        table: TableConfig,
        parameter_source: ParameterSource,
        parameter_interval: int = 1,
        lock_step: LockStep | None = None,
        seed: int,
    ):
        self._source = parameter_source
        self._parameters = ParameterFollower(parameter_source, parameter_interval)
        self._environment = make_vector_environment(
            environment_factory, num_envs=num_envs, seed=seed
        )
        self._inputs, self._spec, self._num_envs = inputs, spec, num_envs
        self._seed = seed
        self._inference: Inference | None = None
        self._recorder = Recorder(
            adder,
            table,
            actions=spec.actions,
            num_envs=num_envs,
            replay=replay,
            name=None if lock_step is None else f"actor {lock_step.index}",
        )
        self._lock_step, self._num_steps = lock_step, 0
        self._now: VectorStep | None = None

    def step(self) -> None:
        """Acts once in every environment and writes what that completed."""
        inference = self._with_parameters()
        if self._now is None:
            self._now = self._environment.reset()
            self._recorder.start(self._now)
        action, extras = inference.act(self._now)
        self._now = self._environment.step(action)
        self._num_steps += 1
        self._recorder.add(action, self._parameters.version, self._now, extras)

    def close(self) -> None:
        """Closes the environments."""
        self._environment.close()

    def _with_parameters(self) -> Inference:
        """The policy, with the parameters that this step acts with."""
        if self._inference is None:
            self._parameters.version = self._recorder.take_over()
            self._inference = Inference(
                self._source.policy(),
                self._inputs,
                self._spec,
                num_envs=self._num_envs,
                seed=self._seed,
            )
        lock_step = self._lock_step
        if lock_step is not None and self._num_steps % lock_step.num_steps:
            return self._inference
        newer = self._parameters.take() if lock_step is None else self._next()
        if newer is not None:
            self._inference.set_parameters(newer)
        return self._inference

    def _next(self) -> Nested | None:
        """Waits for newer parameters.

        The learner makes them only after replay has this actor's unrolls, so the actor
        also checks whether a write failed.
        """
        while self._recorder.is_ahead:
            if (newer := self._parameters.take()) is not None:
                return newer
            try:
                with deadline(_LOOK_SECONDS):
                    return self._parameters.take(waits=True)
            except RpcTimeout:
                self._recorder.look()
        return self._parameters.take(waits=True)

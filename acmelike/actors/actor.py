"""The actor: policy and environments on one side, replay on the other."""

from __future__ import annotations

from acmelike.actors.policy_runner import Inference
from acmelike.actors.recorder import Recorder
from acmelike.agent import ActorPlace, Builder
from acmelike.core import Future, start
from acmelike.environments import EnvironmentFactory, make_vector_environment
from acmelike.learners import Learner
from acmelike.replay import Replay
from acmelike.types import EnvironmentSpec, VectorStep, Versioned


class Actor:
    """A worker; each step is one step of its K environments.

    It takes new parameters as soon as the learner has them and never waits for them,
    except for the first; or in lock-step, where it takes so many steps with each
    version and then waits for the next. It waits when replay does not admit what it
    wrote.

    Args:
      builder: of the agent.
      spec: of the environments.
      environment_factory: makes the environments.
      place: which actor it is, and K.
      replay: where its items go.
      table: the table's name.
      learner: where its parameters come from.
      steps_per_version: in lock-step, how many steps it takes with each version; None
        for no lock-step.
      seed: of its environments and its exploration.
    """

    def __init__(
        self,
        *,
        builder: Builder,
        spec: EnvironmentSpec,
        environment_factory: EnvironmentFactory,
        place: ActorPlace,
        replay: Replay,
        table: str,
        learner: Learner,
        steps_per_version: int | None = None,
        seed: int,
    ):
        num_envs = place.num_envs
        self._learner = learner
        self._environment = make_vector_environment(
            environment_factory, num_envs=num_envs, seed=seed
        )
        self._inference = Inference(
            builder.make_policy(spec, place), spec, num_envs=num_envs, seed=seed
        )
        self._recorder = Recorder(builder, spec, num_envs, replay, table)
        self._version = -1
        self._steps_per_version, self._num_steps = steps_per_version, 0
        self._newer: Future[Versioned] | None = None
        self._now: VectorStep | None = None

    def step(self) -> None:
        """Acts once in every environment and writes what that completed."""
        self._refresh_parameters()
        if self._now is None:
            self._now = self._environment.reset()
            self._recorder.start(self._now)
        action, extras = self._inference.act(self._now)
        self._now = self._environment.step(action)
        self._num_steps += 1
        self._recorder.add(action, self._version, self._now, extras)

    def close(self) -> None:
        """Closes the environments."""
        self._environment.close()

    def _refresh_parameters(self) -> None:
        if self._steps_per_version and self._num_steps % self._steps_per_version:
            return
        if self._newer is None:
            self._newer = start(self._learner.next_parameters, self._version)
        if self._version < 0 or self._steps_per_version or self._newer.done():
            self._version, parameters = self._newer.result()
            self._inference.set_parameters(parameters)
            self._newer = None

"""The inference node: one policy for the environments of all actors."""

from __future__ import annotations

from collections.abc import Sequence

from acmelike.actors.central.batched_inference import ActorOutput, BatchedInference
from acmelike.actors.central.inference_queue import InferenceQueue, Request
from acmelike.actors.recorder import Recorder
from acmelike.agent import ActorPlace, Builder
from acmelike.core import Future, deadline, start
from acmelike.errors import RpcTimeout
from acmelike.learners import Learner
from acmelike.replay import Replay
from acmelike.types import EnvironmentSpec, VectorStep, Versioned


class InferenceServer:
    """A worker; each step answers one batch of requests.

    It holds all that an actor is besides its environments: the policy, its states and
    the unfinished items. It takes new parameters as soon as the learner has them, in
    the middle of an episode or an item too, and waits only for the first. It waits when
    replay does not admit what it wrote, and then so do all actors.

    Args:
      builder: of the agent.
      spec: of the environments.
      num_actors: how many ask.
      num_envs: K, of each actor.
      requests: where they ask.
      wait_seconds: once an actor waits, how long for others before a batch is too
        small; twice as long at most.
      replay: where items go.
      table: the table's name.
      learner: where parameters come from.
      seed: of the exploration.
    """

    def __init__(
        self,
        *,
        builder: Builder,
        spec: EnvironmentSpec,
        num_actors: int,
        num_envs: int,
        requests: InferenceQueue,
        wait_seconds: float,
        replay: Replay,
        table: str,
        learner: Learner,
        seed: int,
    ):
        self._requests, self._wait_seconds = requests, wait_seconds
        self._learner = learner
        self._version = -1
        self._newer: Future[Versioned] | None = None
        self._inference = BatchedInference(
            [
                builder.make_policy(
                    spec,
                    ActorPlace(index=index, num_actors=num_actors, num_envs=num_envs),
                )
                for index in range(num_actors)
            ],
            spec,
            num_envs=num_envs,
            seed=seed,
        )
        self._builder, self._spec, self._num_envs = builder, spec, num_envs
        self._replay, self._table = replay, table
        self._tracks: dict[int, _Track] = {}

    def step(self) -> None:
        """Answers the next batch, and writes what its time steps completed."""
        batch = self._next_batch()
        self._refresh_parameters()
        tracks = [self._track(request) for request in batch]
        acted = self._inference.act(
            [request.turn.actor for request in batch],
            [request.step for request in batch],
        )
        self._requests.answer(
            [request.turn for request in batch], [one.action for one in acted]
        )
        # Meanwhile the actors step their environments.
        for track, request, one in zip(tracks, batch, acted, strict=True):
            track.go_on(request.step, one, self._version)

    def _next_batch(self) -> Sequence[Request]:
        batch = self._due_batch()  # Where actors are quick, the only wait.
        if batch is None:
            self._requests.some()
            batch = self._due_batch()
        return self._requests.batch() if batch is None else batch

    def _due_batch(self) -> Sequence[Request] | None:
        """A batch that is complete in time; None if there is none."""
        try:
            with deadline(self._wait_seconds):
                return self._requests.due_batch()
        except RpcTimeout:
            return None

    def _refresh_parameters(self) -> None:
        if self._newer is None:
            self._newer = start(self._learner.next_parameters, self._version)
        if self._version < 0 or self._newer.done():
            self._version, parameters = self._newer.result()
            self._inference.set_parameters(parameters)
            self._newer = None

    def _track(self, request: Request) -> _Track:
        """Of the incarnation that asks; a new one begins with nothing."""
        actor, incarnation, _ = request.turn
        track = self._tracks.get(actor)
        if track is None or track.incarnation != incarnation:
            if track is not None:
                track.recorder.close()
            # Its first step begins episodes, with which states begin anew as well.
            recorder = Recorder(
                self._builder, self._spec, self._num_envs, self._replay, self._table
            )
            track = self._tracks[actor] = _Track(incarnation, recorder)
        return track


class _Track:
    """What one incarnation of an actor has done.

    Args:
      incarnation: its number.
      recorder: writes it to replay.
    """

    def __init__(self, incarnation: int, recorder: Recorder):
        self.incarnation, self.recorder = incarnation, recorder
        self._last: tuple[ActorOutput, int] | None = None

    def go_on(self, step: VectorStep, acted: ActorOutput, version: int) -> None:
        """Records what the last actions led to, and keeps those that answer it."""
        if self._last is None:
            self.recorder.start(step)
        else:
            last, last_version = self._last
            self.recorder.add(last.action, last_version, step, last.extras)
        self._last = acted, version

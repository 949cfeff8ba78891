"""The inference node: one policy for the environments of all actors."""

from __future__ import annotations

from collections.abc import Sequence

from acmelike.actors.central.batched_inference import ActorOutput, BatchedInference
from acmelike.actors.central.inference_queue import InferenceQueue, InferenceRequest
from acmelike.actors.parameter_follower import ParameterFollower
from acmelike.actors.recorder import Recorder
from acmelike.adders import Adder
from acmelike.agent import PolicyInputs
from acmelike.core import deadline
from acmelike.errors import RpcTimeout
from acmelike.learners import ParameterSource
from acmelike.replay import Replay, TableConfig
from acmelike.types import EnvironmentSpec, VectorStep


class InferenceServer:
    """A worker; each step answers one batch of requests.

    It holds everything of an actor except the environments: the policy, its states and
    the unfinished items. It takes new parameters as soon as the learner has them, even
    in the middle of an episode or an item, and waits only for the first. While replay
    does not admit what it wrote, it waits, and so do all actors.

    Args:
      inputs: of each actor, for its exploration.
      adder: makes the items of one actor.
      spec: of the environments.
      num_envs: K, of each actor.
      requests: the queue of the actors' requests.
      wait_seconds: once an actor waits, how long the server waits for others before it
        takes a smaller batch; it may wait twice as long.
      replay: where items go.
      table: of these items.
      learner: has the policy and the parameters.
      parameter_interval: the minimum number of updates between two versions it takes.
      seed: of the exploration.
    """

    def __init__(
        self,
        *,
        inputs: Sequence[PolicyInputs],
        adder: Adder,
        spec: EnvironmentSpec,
        num_envs: int,
        requests: InferenceQueue,
        wait_seconds: float,
        replay: Replay,
        table: TableConfig,
        learner: ParameterSource,
        parameter_interval: int = 1,
        seed: int,
    ):
        self._requests, self._wait_seconds = requests, wait_seconds
        self._learner = learner
        self._parameters = ParameterFollower(learner, parameter_interval)
        self._inputs, self._spec, self._seed = inputs, spec, seed
        self._inference: BatchedInference | None = None
        self._adder, self._num_envs = adder, num_envs
        self._replay, self._table = replay, table
        self._tracks: dict[int, _Track] = {}

    def step(self) -> None:
        """Answers the next batch, and writes what its time steps completed."""
        if self._inference is None:
            self._with_parameters()  # Compiles, while actors make their environments.
        batch = self._next_batch()
        inference = self._with_parameters()
        tracks = [self._track(request) for request in batch]
        acted = inference.act(
            [request.id.actor for request in batch],
            [request.step for request in batch],
        )
        self._requests.answer(
            [request.id for request in batch], [one.action for one in acted]
        )
        # Meanwhile the actors step their environments.
        for track, request, one in zip(tracks, batch, acted, strict=True):
            track.add(request.step, one, self._parameters.version)

    def _next_batch(self) -> Sequence[InferenceRequest]:
        batch = self._due_batch()  # The only wait, if actors are quick.
        if batch is None:
            self._requests.wait_for_request()
            batch = self._due_batch()
        return self._requests.batch() if batch is None else batch

    def _due_batch(self) -> Sequence[InferenceRequest] | None:
        """A batch that is complete in time; None if there is none."""
        try:
            with deadline(self._wait_seconds):
                return self._requests.due_batch()
        except RpcTimeout:
            return None

    def _with_parameters(self) -> BatchedInference:
        """The policy, with the newest parameters."""
        if self._inference is None:
            self._inference = BatchedInference(
                self._learner.policy(),
                self._inputs,
                self._spec,
                num_envs=self._num_envs,
                seed=self._seed,
            )
        newer = self._parameters.take()
        if newer is not None:
            self._inference.set_parameters(newer)
        return self._inference

    def _track(self, request: InferenceRequest) -> _Track:
        """The track of the request's incarnation; a new incarnation starts empty."""
        actor, incarnation, _ = request.id
        track = self._tracks.get(actor)
        if track is None or track.incarnation != incarnation:
            if track is not None:
                track.recorder.close()
            # Its first step starts episodes, which resets the states as well.
            recorder = Recorder(
                self._adder,
                self._table,
                actions=self._spec.actions,
                num_envs=self._num_envs,
                replay=self._replay,
            )
            track = self._tracks[actor] = _Track(incarnation, recorder)
        return track


class _Track:
    """The actions and items of one incarnation of an actor.

    Args:
      incarnation: its number.
      recorder: writes them to replay.
    """

    def __init__(self, incarnation: int, recorder: Recorder):
        self.incarnation, self.recorder = incarnation, recorder
        self._last: tuple[ActorOutput, int] | None = None

    def add(self, step: VectorStep, acted: ActorOutput, version: int) -> None:
        """Records what the last actions led to, and keeps the new ones."""
        if self._last is None:
            self.recorder.start(step)
        else:
            last, last_version = self._last
            self.recorder.add(last.action, last_version, step, last.extras)
        self._last = acted, version

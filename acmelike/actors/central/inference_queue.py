"""The inference queue: forms batches of the requests of actors without a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from acmelike.core import idempotent, when
from acmelike.errors import ContractError
from acmelike.types import Array, VectorStep

# Why a batch was taken: all actors wait, enough environments wait, or time is up.
Formed: TypeAlias = Literal["all", "size", "time"]


class RequestId(NamedTuple):
    """Identifies a request.

    Attributes:
      actor: the index of the actor.
      incarnation: of the actor: a new number whenever it restarts.
      number: of the request, among those of the same incarnation.
    """

    actor: int
    incarnation: int
    number: int


class InferenceRequest(NamedTuple):
    """A time step of an actor's K environments that needs actions."""

    id: RequestId
    step: VectorStep


@dataclass(frozen=True, kw_only=True)
class BatchStatistics:
    """Counts of the batches so far.

    Attributes:
      num_by_all: batches taken because all actors waited, and nothing more could come.
      num_by_size: because enough environments waited, though not all.
      num_by_time: because the first of them had waited long enough.
      num_environments: of all batches together.
      largest: environments of the largest batch.
    """

    num_by_all: int = 0
    num_by_size: int = 0
    num_by_time: int = 0
    num_environments: int = 0
    largest: int = 0

    @property
    def num_batches(self) -> int:
        """The number of batches."""
        return self.num_by_all + self.num_by_size + self.num_by_time

    @property
    def mean_size(self) -> float:
        """The mean number of environments in a batch."""
        return self.num_environments / max(self.num_batches, 1)


class InferenceQueue:
    """A service between actors and the node that acts for them.

    An actor sends what it observed and asks for actions. The inference node takes
    batches of these requests and answers them.

    Args:
      num_actors: the number of actors that may ask.
      batch_size: target and maximum number of environments in a batch; a single larger
        actor is allowed.
    """

    def __init__(self, *, num_actors: int, batch_size: int):
        self._num_actors, self._batch_size = num_actors, batch_size
        # By actor: the latest request, its answer, and the requests not taken yet, the
        # oldest first.
        self._latest: dict[int, RequestId] = {}
        self._actions: dict[int, Array] = {}
        self._pending: dict[int, InferenceRequest] = {}
        self._num_pending = 0
        self._statistics = BatchStatistics()

    # --- What actors call ------------------------------------------------------------

    @idempotent
    def observe(self, request_id: RequestId, step: VectorStep) -> None:
        """Takes an actor's observations; they replace its earlier request."""
        if self._latest.get(request_id.actor) == request_id:
            return  # The same message, sent again.
        self._latest[request_id.actor] = request_id
        self._actions.pop(request_id.actor, None)
        self._pending.pop(request_id.actor, None)  # A new request has a new place.
        self._pending[request_id.actor] = InferenceRequest(request_id, step)
        self._count()

    def _unanswered(self, request_id: RequestId) -> str | None:
        is_answered = request_id.actor in self._actions
        if is_answered or self._latest.get(request_id.actor) != request_id:
            return None
        return f"actor {request_id.actor} waits for actions; {self._waiting()}"

    @idempotent
    @when(_unanswered)
    def actions(self, request_id: RequestId) -> Array:
        """Actions `[K, ...]` for a request, once there are any.

        Raises:
          ContractError: that is not the actor's latest request. Another incarnation
            of the actor has started, say.
        """
        if self._latest.get(request_id.actor) != request_id:
            raise ContractError(
                f"{request_id} is not the latest request of its actor: "
                f"{self._latest.get(request_id.actor)}"
            )
        return self._actions[request_id.actor]

    # --- What the node that acts calls -----------------------------------------------

    def _nothing_pending(self) -> str | None:
        return None if self._pending else "no actor waits for actions"

    @when(_nothing_pending)
    def wait_for_request(self) -> None:
        """Waits until an actor asks for actions."""

    def _not_due(self) -> str | None:
        return None if self._due() else self._waiting()

    @when(_not_due)
    def due_batch(self) -> tuple[InferenceRequest, ...]:
        """Returns the next batch, once enough wait or no more can come."""
        return self._take()

    @when(_nothing_pending)
    def batch(self) -> tuple[InferenceRequest, ...]:
        """Returns the next batch, of any size."""
        return self._take()

    def answer(
        self, request_ids: Sequence[RequestId], actions: Sequence[Array]
    ) -> None:
        """Gives each request its actions `[K, ...]`, unless the actor has restarted."""
        for request_id, action in zip(request_ids, actions, strict=True):
            if self._latest.get(request_id.actor) == request_id:
                self._actions[request_id.actor] = action

    def statistics(self) -> BatchStatistics:
        """Returns counts of the batches so far."""
        return self._statistics

    # --- Under the lock --------------------------------------------------------------

    def _due(self) -> Formed | None:
        if self._num_pending > self._batch_size:
            return "size"
        if len(self._pending) == self._num_actors:
            return "all"
        return "size" if self._num_pending == self._batch_size else None

    def _waiting(self) -> str:
        return (
            f"{self._num_pending} environments of {len(self._pending)} of "
            f"{self._num_actors} actors wait; {self._batch_size} are enough"
        )

    def _take(self) -> tuple[InferenceRequest, ...]:
        """Removes and returns the oldest requests, up to the batch size."""
        formed, so_far, size = self._due() or "time", self._statistics, 0
        batch = list[InferenceRequest]()
        for request in self._pending.values():
            num_envs = request.step.step_type.size
            if batch and size + num_envs > self._batch_size:
                break
            batch.append(request)
            size += num_envs
        for request in batch:
            del self._pending[request.id.actor]
        self._count()
        self._statistics = BatchStatistics(
            num_by_all=so_far.num_by_all + (formed == "all"),
            num_by_size=so_far.num_by_size + (formed == "size"),
            num_by_time=so_far.num_by_time + (formed == "time"),
            num_environments=so_far.num_environments + size,
            largest=max(so_far.largest, size),
        )
        return tuple(batch)

    def _count(self) -> None:
        self._num_pending = sum(r.step.step_type.size for r in self._pending.values())

"""The learner node: takes batches, publishes parameters and sends priorities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import optree

from acmelike.agent import Builder, UpdateOutputs
from acmelike.core import Future, idempotent, start, updating, when
from acmelike.errors import NonFinite
from acmelike.learners.cacher import why_too_early
from acmelike.learners.functions import make_functions
from acmelike.policies import PortablePolicy, make_portable
from acmelike.replay import Batches, Replay, Sample
from acmelike.types import Array, EnvironmentSpec, Nested, Versioned


class Spread(NamedTuple):
    """How numbers are distributed.

    Attributes:
      p50: the median.
      p90: the 90th percentile.
      max: the largest.
    """

    p50: float
    p90: float
    max: float

    @classmethod
    def of(cls, numbers: Array) -> Spread:
        """The quantiles of a non-empty array."""
        return cls(*np.quantile(numbers, [0.5, 0.9, 1.0]).tolist())


@dataclass(frozen=True, kw_only=True)
class LearnerProgress:
    """How far the learner is.

    Attributes:
      num_updates: updates published so far; the version of the parameters.
      staleness_mean: the mean age of the items used so far, in updates: from the
        version that an item was collected with to the update that used it.
      staleness: how these ages are distributed in the latest batch; None before it.
      times_sampled: how often each item of that batch was sampled, this time included.
      metrics: of the latest batch, by name: "loss", and what else the agent reports.
        Empty before the first batch.
    """

    num_updates: int
    staleness_mean: float
    staleness: Spread | None = None
    times_sampled: Spread | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def loss(self) -> float | None:
        """The loss of the latest batch, or None before the first."""
        return self.metrics.get("loss")


class Learner:
    """A worker; each step takes one batch and makes its updates.

    Args:
      builder: of the agent.
      spec: of the environments.
      replay: gives the batches and takes the priorities.
      table: the name of the table.
      seed: of the initial parameters and of the updates' random keys.
      device: where JAX computes the updates: "cpu" or "gpu"; "auto" for its default.
    """

    def __init__(
        self,
        *,
        builder: Builder,
        spec: EnvironmentSpec,
        replay: Replay,
        table: str,
        seed: int,
        device: str = "auto",
    ):
        agent = builder.make_agent(spec)
        self._agent, self._seed = make_functions(agent, device), seed
        self._replay, self._table = replay, table
        self._batches = Batches(replay, table, batch_size=builder.batch_size)
        self._updates_per_call = builder.num_updates_per_call
        self._state = self._agent.init(seed)
        self._has_compiled = not self._agent.compiles
        self._signature = builder.make_table(spec).signature
        self._num_updates = self._num_started = 0
        self._num_items, self._staleness_sum = 0, 0.0
        self._metrics: Mapping[str, Any] = {}
        # Of the latest batch: ages, and how often each item was sampled.
        self._latest: tuple[Array, Array] | None = None
        self._told: Future[int] | None = None
        self._under_way: _Update | None = None
        self._published = self._versioned(0, self._agent.parameters(self._state))
        self._policy = make_portable(builder, spec, self._published.parameters)

    # --- Its service -----------------------------------------------------------------

    @idempotent
    def policy(self) -> PortablePolicy:
        """Returns the agent's policy; it is the same for all versions of parameters."""
        return self._policy

    def _nothing_newer(self, newer_than: int, min_interval: int = 1) -> str | None:
        return why_too_early(self._published.version, newer_than, min_interval)

    @idempotent
    @when(_nothing_newer)
    def next_parameters(self, newer_than: int, min_interval: int = 1) -> Versioned:
        """Waits for parameters later than version `newer_than`; returns the newest.

        Args:
          newer_than: the version that the caller has; -1 for none.
          min_interval: waits until the parameters are at least so many updates later.
        """
        return self._published

    @idempotent
    def parameters(self) -> Versioned:
        """Returns the newest parameters."""
        return self._published

    @idempotent
    def progress(self) -> LearnerProgress:
        """Returns how far the learner is."""
        # Computed on request, as updates are more frequent: for example, reading a
        # metric of JAX takes about 10 us.
        staleness = times_sampled = None
        if self._latest is not None:
            staleness, times_sampled = map(Spread.of, self._latest)
        return LearnerProgress(
            num_updates=self._num_updates,
            staleness_mean=self._staleness_sum / max(self._num_items, 1),
            staleness=staleness,
            times_sampled=times_sampled,
            metrics={name: float(value) for name, value in self._metrics.items()},
        )

    # --- Its own work ----------------------------------------------------------------

    def step(self) -> None:
        """Learns from one batch.

        The device gets the next batch before the outputs of this one are read, so it
        does not wait for Python. Without a next batch, the outputs are read at once.
        """
        if not self._has_compiled:
            self._compile()
        if not self._batches.is_ready():
            self._finish()
        sample, before = next(self._batches), self._under_way
        self._state, outputs = self._agent.update(
            self._state,
            sample.data,
            sample.probabilities,
            self._seed,
            self._num_started,
        )
        self._num_started += self._updates_per_call
        parameters = self._agent.parameters(self._state)
        self._batches.prefetch()
        # Read after the next call, so that the device computes meanwhile.
        self._under_way = _Update(
            sample.keys, _versions(sample), sample.times_sampled, outputs, parameters
        )
        if before is not None:
            self._publish(before)
        if not self._batches.is_ahead():
            self._finish()

    def _compile(self) -> None:
        """Compiles the update with a batch of zeros, while actors fill the table."""
        num_items = self._batches.batch_size
        data = optree.tree_map(
            lambda spec: np.zeros((num_items, *spec.shape), spec.dtype), self._signature
        )
        self._agent.update(self._state, data, np.ones(num_items), self._seed, 0)
        self._has_compiled = True

    def _finish(self) -> None:
        """Publishes the update that is under way, if any."""
        update, self._under_way = self._under_way, None
        if update is not None:
            self._publish(update)

    def _publish(self, update: _Update) -> None:
        keys, versions, times_sampled, outputs, parameters = update
        # Update i of the batch starts from version num_updates + i.
        used = self._num_updates + (self._updates_per_call - 1) / 2
        ages = used - versions
        staleness = float(ages.sum())
        # A copy, as a view would hold the memory of the whole batch.
        times_sampled = np.array(times_sampled)
        loss = float(outputs.loss)  # This waits until the update is computed.
        if not np.isfinite(loss):
            raise NonFinite(f"the loss is {loss} after {self._num_updates} updates")
        if self._told is not None:
            self._told.result()
        if outputs.priorities is not None:
            # The reply is read before the next priorities are sent.
            self._told = start(
                self._replay.update_priorities,
                self._table,
                keys,
                np.asarray(outputs.priorities),
            )
        version = self._num_updates + self._updates_per_call
        published = self._versioned(version, parameters)
        with updating(self):
            self._num_updates, self._published = published.version, published
            self._num_items += len(keys)
            self._staleness_sum += staleness
            self._latest = ages, times_sampled
            self._metrics = {"loss": loss, **outputs.metrics}

    def _versioned(self, version: int, parameters: Nested) -> Versioned:
        return Versioned(version, self._agent.to_host(parameters))


class _Update(NamedTuple):
    """A call of the agent's update, whose results may still be computed.

    Attributes:
      keys: of the items of its batch.
      versions: the versions that the items were collected with.
      times_sampled: how often the items were sampled so far.
      outputs: loss, priorities and metrics.
      parameters: the new ones.
    """

    keys: Array
    versions: Array
    times_sampled: Array
    outputs: UpdateOutputs
    parameters: Nested


def _versions(sample: Sample) -> Array:
    """The version `[N]` that each item was collected with.

    For an item of several steps it is the mean over the steps at which an action was
    taken, or the largest version if there was none.
    """
    versions = np.asarray(sample.data.version)
    if versions.ndim == 1:
        return versions
    is_taken = np.asarray(sample.data.mask) > 0
    num_taken = is_taken.sum(axis=1)
    total = (versions * is_taken).sum(axis=1)
    mean: Array = total / np.maximum(num_taken, 1)
    return np.where(num_taken > 0, mean, versions.max(axis=1))

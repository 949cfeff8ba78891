"""The learner: batches in; parameters and priorities out."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from acmelike.agent import Builder, UpdateOutputs
from acmelike.core import updating, when
from acmelike.errors import NonFinite
from acmelike.replay import Batches, Replay, Sample
from acmelike.types import EnvironmentSpec, Versioned


@dataclass(frozen=True, kw_only=True)
class LearnerProgress:
    """How far the learner is.

    Attributes:
      num_updates: made and published so far; the version of the parameters.
      loss: of the latest batch, or None before the first.
      staleness_mean: over all items used so far, the number of versions between the
        parameters that an item was collected with and the update that used it.
    """

    num_updates: int
    loss: float | None
    staleness_mean: float


class Learner:
    """A worker; each step takes one batch and makes the updates it is meant for.

    Args:
      builder: of the agent.
      spec: of the environments.
      replay: where batches come from and priorities go.
      table: the table's name.
      seed: of the initial parameters.
    """

    def __init__(
        self,
        *,
        builder: Builder,
        spec: EnvironmentSpec,
        replay: Replay,
        table: str,
        seed: int,
    ):
        core = builder.make_learner_core(spec)
        self._replay, self._table = replay, table
        self._batches = Batches(replay, table, batch_size=builder.batch_size)
        self._updates_per_batch = builder.num_updates_per_batch
        self._update, self._core = jax.jit(core.update), core
        self._state = core.init(jax.random.key(seed))
        self._num_updates = 0
        self._num_items, self._staleness_sum = 0, 0.0
        self._loss: float | None = None
        self._published = self._parameters()

    # --- What others may call --------------------------------------------------------

    def _nothing_newer(self, newer_than: int) -> str | None:
        version = self._published.version
        if version > newer_than:
            return None
        return f"parameters are at version {version}, asked for later than {newer_than}"

    @when(_nothing_newer)
    def next_parameters(self, newer_than: int) -> Versioned:
        """The newest parameters, once there are any later than version `newer_than`."""
        return self._published

    def parameters(self) -> Versioned:
        """The newest parameters."""
        return self._published

    def progress(self) -> LearnerProgress:
        """How far the learner is."""
        return LearnerProgress(
            num_updates=self._num_updates,
            loss=self._loss,
            staleness_mean=self._staleness_sum / max(self._num_items, 1),
        )

    # --- Its own work ----------------------------------------------------------------

    def step(self) -> None:
        """Learns from one batch."""
        sample = next(self._batches)
        self._state, outputs = self._update(
            self._state, sample.data, sample.probabilities
        )
        # The device works on; meanwhile the next batch is gathered.
        self._batches.prefetch()
        self._finish(sample, outputs)

    def _finish(self, sample: Sample, outputs: UpdateOutputs) -> None:
        loss = float(outputs.loss)
        if not np.isfinite(loss):
            raise NonFinite(f"the loss is {loss} after {self._num_updates} updates")
        if outputs.priorities is not None:
            self._replay.update_priorities(
                self._table, sample.keys, np.asarray(outputs.priorities)
            )
        # An item of update i of the batch is used by version num_updates + i.
        used = self._num_updates + (self._updates_per_batch - 1) / 2
        staleness = (used - sample.data.version).sum()
        published = self._parameters(self._num_updates + self._updates_per_batch)
        with updating(self):
            self._num_updates, self._published = published.version, published
            self._num_items += len(sample.keys)
            self._staleness_sum += float(staleness)
            self._loss = loss

    def _parameters(self, version: int = 0) -> Versioned:
        return Versioned(version, jax.device_get(self._core.parameters(self._state)))

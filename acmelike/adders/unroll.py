"""Adds unrolls: T steps and the observation after them; unrolls do not overlap."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import optree
from dm_env import specs
from numpy.typing import ArrayLike

from acmelike.adders.adder import AdderOutput
from acmelike.adders.frames import observations_signature
from acmelike.errors import ConfigError
from acmelike.types import Array, EnvironmentSpec, Nested, VectorStep


class Unroll(NamedTuple):
    """T successive steps of one environment, across the ends of episodes.

    Step t is an observation, the action that answered it, and the reward and discount
    that followed. The last observation of an episode is a step too: it has no action,
    and its mask and discount are zero. If the episode was truncated, the step before
    bootstraps from it.

    Attributes:
      o_t: `[T + 1, ...]`, the observations; the last one follows the last step.
      a_t: `[T, ...]`, the actions that answered them.
      r_t: `[T]` float32, the rewards that followed.
      discount_t: `[T]` float32, the environment's discounts that followed; zero after
        termination, and where the next observation belongs to another episode.
      is_first: `[T + 1]` bool, whether the observation is the first of an episode.
      mask: `[T]` float32, 1 where an action was taken.
      version: `[T]` int64, the versions of the parameters that chose the actions.
      extras: by name, `[T, ...]` outputs of the policy beside the actions; without an
        axis of time, the output at the first step.
    """

    o_t: Nested
    a_t: Nested
    r_t: Nested
    discount_t: Nested
    is_first: Nested
    mask: Nested
    version: Nested
    extras: Nested


def unroll_signature(
    spec: EnvironmentSpec,
    length: int,
    extras: Mapping[str, specs.Array] = {},
    first_extras: Mapping[str, specs.Array] = {},
) -> Unroll:
    """The signature of a table of unrolls.

    Args:
      spec: of the environments.
      length: T.
      extras: by name, the specs of the policy's outputs beside the action, without
        axes of time and environments.
      first_extras: the same, for outputs that an unroll keeps of its first step only,
        such as the state of a recurrent network.
    """

    def over_time(spec: specs.Array) -> specs.Array:
        return specs.Array((length, *spec.shape), spec.dtype, spec.name)

    return Unroll(
        o_t=observations_signature(spec, length + 1),
        a_t=over_time(spec.actions),
        r_t=specs.Array((length,), np.float32, "r_t"),
        discount_t=specs.Array((length,), np.float32, "discount_t"),
        is_first=specs.Array((length + 1,), np.bool_, "is_first"),
        mask=specs.Array((length,), np.float32, "mask"),
        version=specs.Array((length,), np.int64, "version"),
        extras={
            **{name: over_time(spec) for name, spec in extras.items()},
            **first_extras,
        },
    )


class UnrollAdder:
    """An `Adder` that makes an unroll of each environment after every T steps.

    Args:
      num_envs: K.
      length: T.
      first_extras: names of the extras that are kept of the first step only.

    Raises:
      ConfigError: a number is less than 1.
    """

    def __init__(
        self, *, num_envs: int, length: int, first_extras: Collection[str] = ()
    ) -> None:
        for name, value in (("num_envs", num_envs), ("length", length)):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1, not {value}")
        self._num_envs, self._length, self.span = num_envs, length, length
        self._first_extras = frozenset(first_extras)
        self._num_steps = 0
        self._now: VectorStep | None = None
        # The arrays of the present unrolls, `[T, K, ...]`. They are allocated at the
        # first step, which shows shapes and dtypes, and never changed after output.
        self._steps: Unroll | None = None
        # The observations of the present unrolls, `[K, T + 1, ...]`, and their nest.
        self._o_t: list[Array] = []
        self._nest = optree.treespec_tuple()

    def start(self, step: VectorStep) -> None:
        self._now, self._num_steps, self._steps = step, 0, None

    def add(
        self,
        a_tm1: ArrayLike,
        version_tm1: int,
        step_t: VectorStep,
        extras_tm1: Mapping[str, Array] = {},
    ) -> AdderOutput:
        """Adds an action and the time step that followed it; see `Adder.add`.

        Returns:
          After every T steps, K items: one `Unroll` of each environment.

        Raises:
          RuntimeError: `start` was not called.
        """
        if self._now is None:
            raise RuntimeError("add was called before start")
        now, t = self._now, self._num_steps
        if self._steps is None:
            actions = np.asarray(a_tm1)
            self._steps = self._allocate(now.observation, actions, extras_tm1)
            self._o_t, self._nest = optree.tree_flatten(self._steps.o_t)
        steps = self._steps
        if t == 0:
            self._write(0, now.observation)
            steps.is_first[0] = now.first()
        self._write(t + 1, step_t.observation)
        steps.is_first[t + 1] = step_t.first()
        steps.a_t[t], steps.version[t] = a_tm1, version_tm1
        steps.r_t[t], steps.discount_t[t] = step_t.reward, step_t.discount
        for name, values in extras_tm1.items():
            if name not in self._first_extras:
                steps.extras[name][t] = values
            elif t == 0:
                steps.extras[name][:] = values
        self._now, self._num_steps = step_t, t + 1
        if self._num_steps < self._length:
            return AdderOutput()
        is_next_first = steps.is_first[1:]
        np.logical_not(is_next_first, out=steps.mask, casting="unsafe")
        steps.discount_t[is_next_first] = 0
        self._num_steps, self._steps, self._o_t = 0, None, []
        return AdderOutput(self._by_environment(steps))

    def _write(self, t: int, observation: Nested) -> None:
        # `tree_leaves` would find the nest again, which takes four times as long.
        arrays = self._nest.flatten_up_to(observation)
        for o_t, array in zip(self._o_t, arrays, strict=True):
            o_t[:, t] = array

    def _allocate(
        self, observation: Nested, actions: Array, extras: Mapping[str, Array]
    ) -> Unroll:
        length, num_envs = self._length, self._num_envs

        def empty(array: Array) -> Array:
            return np.empty((length, *array.shape), array.dtype)

        return Unroll(
            # Observations are not transposed at the end, as they may be images.
            o_t=optree.tree_map(
                lambda x: np.empty((num_envs, length + 1, *x.shape[1:]), x.dtype),
                observation,
            ),
            a_t=empty(actions),
            r_t=np.empty((length, num_envs), np.float32),
            discount_t=np.empty((length, num_envs), np.float32),
            is_first=np.empty((length + 1, num_envs), np.bool_),
            mask=np.empty((length, num_envs), np.float32),
            version=np.empty((length, num_envs), np.int64),
            extras={
                name: np.empty_like(x) if name in self._first_extras else empty(x)
                for name, x in extras.items()
            },
        )

    def _by_environment(self, steps: Unroll) -> Unroll:
        """The unrolls `[K, T, ...]`, transposed from `[T, K, ...]`."""

        def transpose(array: Array) -> Array:
            return np.ascontiguousarray(np.swapaxes(array, 0, 1))

        fields = steps._asdict()
        o_t = fields.pop("o_t")
        extras = {
            name: x if name in self._first_extras else transpose(x)
            for name, x in fields.pop("extras").items()
        }
        fields = {name: transpose(x) for name, x in fields.items()}
        return Unroll(o_t=o_t, **fields, extras=extras)

"""Observations with mean zero and variance one, for any agent."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from acmelike.agent import Agent, PolicyOutput, UpdateOutputs
from acmelike.networks import (
    Moments,
    NetworkSource,
    init_moments,
    normalize,
    preparation_of,
    update_moments,
)
from acmelike.types import EnvironmentSpec, Nested

_BYTES = (np.uint8, np.int8, np.bool_)


class NormalizedState(NamedTuple):
    """The training state of an agent, and the moments of what it has seen.

    Attributes:
      agent: its training state.
      moments: of each array of an observation; None for one that is left as it is.
    """

    agent: Nested
    moments: tuple[Moments | None, ...]


class Normalized:
    """Wraps an agent, which then gets normalised observations; implements `Agent`.

    The moments are a part of the parameters, so nodes that act normalise as the learner
    does. Categories and bytes are left as they are, because networks get them in a
    fixed range already. The moments are those of all batches so far: an item counts as
    often as it was sampled.

    Args:
      agent: the wrapped one. Items of its table are a `Transition`, an `Unroll` or a
        `Sequence`, or have fields of the same names.
      spec: of the environments.
      network: of the agent, by its setting.
    """

    needs_jax = True

    def __init__(self, agent: Agent, spec: EnvironmentSpec, network: NetworkSource):
        self.agent, self.observation = agent, spec.zero_observations(1)
        pairs = zip(
            preparation_of(spec, network).parts,
            jax.tree.leaves(self.observation),
            strict=True,
        )
        self.are_normalized = [
            part is not None and part.is_plain and x.dtype not in _BYTES
            for part, x in pairs
        ]

    def init(self, key: jax.Array) -> NormalizedState:
        arrays = jax.tree.leaves(self.observation)
        pairs = zip(self.are_normalized, arrays, strict=True)
        moments = tuple(init_moments(x.shape[1:]) if do else None for do, x in pairs)
        return NormalizedState(self.agent.init(key), moments)

    def parameters(self, state: NormalizedState) -> Any:
        return {
            "agent": self.agent.parameters(state.agent),
            "moments": state.moments,
        }

    def act(
        self, parameters: Any, state: Any, observation: Any, noise: Any
    ) -> PolicyOutput:
        seen = _seen(parameters["moments"], observation)
        return self.agent.act(parameters["agent"], state, seen, noise)

    def update(
        self, state: NormalizedState, data: Any, probabilities: Any, key: jax.Array
    ) -> tuple[NormalizedState, UpdateOutputs]:
        """Learns with the moments from before this batch.

        In lock-step, the actions of the batch were chosen with these moments.
        """
        names = [name for name in ("o_tm1", "o_t") if hasattr(data, name)]
        seen = {name: _seen(state.moments, getattr(data, name)) for name in names}
        agent, outputs = self.agent.update(
            state.agent, data._replace(**seen), probabilities, key
        )
        observations, mask = _acted_on(data)
        pairs = zip(state.moments, jax.tree.leaves(observations), strict=True)
        moments = tuple(
            None if of_x is None else update_moments(of_x, x, mask) for of_x, x in pairs
        )
        return NormalizedState(agent, moments), outputs


def _seen(moments: tuple[Moments | None, ...], observation: Nested) -> Nested:
    """Observations as the agent sees them."""
    arrays, nest = jax.tree.flatten(observation)
    seen = [
        x if of_x is None else normalize(of_x, x)
        for of_x, x in zip(moments, arrays, strict=True)
    ]
    return jax.tree.unflatten(nest, seen)


def _acted_on(data: Any) -> tuple[Nested, jax.Array]:
    """Observations `[N, ...]` of items, and a mask `[N]`: where an action followed."""
    if hasattr(data, "o_tm1"):
        return data.o_tm1, jnp.ones(data.r_t.shape)
    num_steps = data.mask.shape[1]  # An unroll has one observation more.

    def flat(x: jax.Array) -> jax.Array:
        return x[:, :num_steps].reshape(-1, *x.shape[2:])

    return jax.tree.map(flat, data.o_t), flat(data.mask)

"""The functions of the counting agent, of JAX; see `counting_agent`."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from acmelike.agent import PolicyOutput, UpdateOutputs


@dataclass(frozen=True, kw_only=True)
class CountingAgent:
    num_updates: int
    prioritized: bool = False
    num_actions: int

    needs_jax = True

    def init(self, key):
        return {"count": jnp.zeros((), jnp.int32)}

    def act(self, parameters, state, observation, noise):
        action = parameters["count"] % self.num_actions
        shape = jax.tree.leaves(observation)[0].shape[:1]
        return PolicyOutput(jnp.full(shape, action, jnp.int32), state)

    def update(self, state, data, probabilities, key):
        priorities = data.r_t if self.prioritized else None
        state = {"count": state["count"] + self.num_updates}
        return state, UpdateOutputs(
            loss=jnp.mean(data.r_t),
            priorities=priorities,
            metrics={"max_reward": jnp.max(data.r_t)},
        )

    def parameters(self, state):
        return state


@dataclass(frozen=True, kw_only=True)
class LagAgent(CountingAgent):
    """Counts its updates; its loss is how old the oldest of its data is, in updates."""

    def update(self, state, data, probabilities, key):
        lag = state["count"] - jnp.min(data.version)
        state = {"count": state["count"] + self.num_updates}
        return state, UpdateOutputs(loss=lag.astype(jnp.float32))

"""Policies compiled with JAX."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from acmelike.agent import Policy, PolicyOutput
from acmelike.networks import reset_where
from acmelike.types import Nested


def compile_policy(policy: Policy) -> Callable[..., PolicyOutput]:
    """The evaluation of a policy, compiled; equal policies share one."""
    return partial(_act, policy)


def to_device(arrays: Nested) -> Nested:
    """Arrays where the device has them; done once, not at every time step."""
    return jax.device_put(arrays)


@partial(jax.jit, static_argnums=0)
def _act(
    policy: Policy,
    parameters: Nested,
    state: Nested,
    initial: Nested,
    begins: Any,
    *inputs: Any,
) -> PolicyOutput:
    return policy.act(parameters, reset_where(state, initial, begins), *inputs)

"""Policies compiled with JAX."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from acmelike.agent import Policy
from acmelike.types import Nested


def compile_policy(policy: Policy) -> Callable[..., tuple[Any, Nested]]:
    """`policy.act` as a compiled function; policies that are equal share one."""
    return partial(_act, policy)


def to_device(parameters: Nested) -> Nested:
    """Parameters where the device has them; done once, not at every time step."""
    return jax.device_put(parameters)


@partial(jax.jit, static_argnums=0)
def _act(policy: Policy, *args: Any) -> tuple[Any, Nested]:
    return policy.act(*args)

"""Policies compiled with JAX, where NumPy would be slower."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax

from acmelike.agent import PolicyOutput, check_output
from acmelike.networks import reset_where
from acmelike.policies import PortablePolicy
from acmelike.types import Nested


@cache
def compile_policy(policy: PortablePolicy) -> Callable[..., PolicyOutput]:
    """Compiles a policy. Equal policies share one compilation.

    The result takes (parameters, state, initial state, is_first `[B]`, observation,
    noise).
    """
    act = policy.load_function()

    @jax.jit
    def compiled_act(
        parameters: Nested, state: Nested, initial: Nested, is_first: Any, *inputs: Any
    ) -> PolicyOutput:
        state = reset_where(state, initial, is_first)
        return check_output(act(parameters, state, *inputs))

    return compiled_act


def to_device(arrays: Nested) -> Nested:
    """Copies arrays to the device once, so that no time step has to."""
    return jax.device_put(arrays)

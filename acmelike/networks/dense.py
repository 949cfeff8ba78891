"""Dense layers, written once for NumPy and JAX.

A learner compiles them with JAX. An actor that steps a few environments evaluates
them in NumPy, in less time than it takes to call a compiled function, and never
imports JAX at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from acmelike.types import Nested

# An array of NumPy or of JAX.
AnyArray = Any


def namespace(x: AnyArray) -> ModuleType:
    """`numpy` for an array of NumPy, else `jax.numpy`."""
    if isinstance(x, np.ndarray):
        return np
    import jax.numpy as jnp

    return jnp


def flat(x: AnyArray) -> AnyArray:
    """`[B, ...]` of any type as `[B, N]` float32."""
    x = x.reshape(x.shape[0], -1)
    return x if x.dtype == np.float32 else x.astype(np.float32)


def init_dense(key: AnyArray, num_inputs: int, num_outputs: int) -> Nested:
    """The parameters of a layer: LeCun's normal weights `[I, O]`, zero biases `[O]`."""
    import jax

    weights = jax.nn.initializers.lecun_normal()(key, (num_inputs, num_outputs))
    return {"weights": weights, "biases": jax.numpy.zeros(num_outputs)}


def dense(parameters: Nested, x: AnyArray) -> AnyArray:
    """An affine layer: `[B, I]` to `[B, O]`."""
    return x @ parameters["weights"] + parameters["biases"]


def init_mlp(key: AnyArray, num_inputs: int, sizes: Sequence[int]) -> list[Nested]:
    """The parameters of layers of these sizes."""
    import jax

    keys = jax.random.split(key, max(len(sizes), 1))
    inputs = (num_inputs, *sizes)
    return [
        init_dense(key, num_inputs, num_outputs)
        for key, num_inputs, num_outputs in zip(keys, inputs, sizes, strict=False)
    ]


def mlp(
    parameters: Sequence[Nested], x: AnyArray, activation: str = "relu"
) -> AnyArray:
    """Layers with an activation, "relu" or "tanh", after each: `[B, I]` to `[B, O]`."""
    xp = namespace(x)
    for layer in parameters:
        x = dense(layer, x)
        x = xp.tanh(x) if activation == "tanh" else xp.maximum(x, 0.0)
    return x

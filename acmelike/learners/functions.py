"""What a learner calls: an agent's functions, compiled if they are of JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from acmelike.agent import LearnerCore, UpdateOutputs
from acmelike.types import Nested


class LearnerFunctions(NamedTuple):
    """Those of a `LearnerCore`, ready to be called.

    Attributes:
      init: the state before the first update, from a seed.
      update: see `LearnerCore`.
      parameters: see `LearnerCore`.
      to_host: of parameters, the arrays of NumPy; it waits until they are computed.
      compiles: whether the first update takes long. That one may be called for nothing:
        it leaves the state as it is.
    """

    init: Callable[[int], Nested]
    update: Callable[[Nested, Nested, Any], tuple[Nested, UpdateOutputs]]
    parameters: Callable[[Nested], Nested]
    to_host: Callable[[Nested], Nested]
    compiles: bool


def make_functions(core: LearnerCore) -> LearnerFunctions:
    """Compiles what is JAX's, and leaves as it is what is another library's."""
    if not core.needs_jax:
        return LearnerFunctions(
            init=core.init,
            update=core.update,
            parameters=core.parameters,
            to_host=lambda parameters: parameters,
            compiles=False,
        )
    # JAX is imported where a node runs, not where its program is made.
    import jax

    # Compiled as one: op by op it takes seconds.
    init = jax.jit(lambda seed: core.init(jax.random.key(seed)))
    return LearnerFunctions(
        init=lambda seed: init(np.uint32(seed)),
        update=jax.jit(core.update),
        parameters=core.parameters,
        to_host=_to_host,
        compiles=not jax.config.jax_disable_jit,  # type: ignore[attr-defined]
    )


def _to_host(parameters: Nested) -> Nested:
    import jax

    if jax.default_backend() != "cpu":
        return jax.device_get(parameters)  # All copies are under way before it waits.
    # Nothing is copied, and this takes a fifth of the time of device_get.
    return jax.tree.map(np.asarray, parameters)

"""The functions of an agent as the learner calls them: compiled if they are JAX's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from acmelike.agent import Agent, UpdateOutputs
from acmelike.errors import ContractError
from acmelike.types import Array, Nested


class LearnerFunctions(NamedTuple):
    """The functions of an `Agent`, ready to be called.

    Attributes:
      init: from a seed to the training state before the first update.
      update: (state, data, probabilities, seed, number of updates) -> (state, outputs).
        Its random key comes from the last two.
      parameters: from a training state to what policies act with.
      to_host: from these to NumPy arrays; it waits until they are computed.
      compiles: whether the first call of `update` compiles it, which is slow. The
        learner then calls it once with zeros beforehand, and drops what it returns.
    """

    init: Callable[[int], Nested]
    update: Callable[..., tuple[Nested, UpdateOutputs]]
    parameters: Callable[[Nested], Nested]
    to_host: Callable[[Nested], Nested]
    compiles: bool


def make_functions(agent: Agent) -> LearnerFunctions:
    """Compiles functions of JAX, and takes those of another library as they are."""
    if not agent.needs_jax:

        def plain_update(
            state: Nested, data: Nested, probabilities: Array, seed: int, number: int
        ) -> tuple[Nested, UpdateOutputs]:
            (key,) = np.random.SeedSequence([seed, number]).generate_state(1)
            return _checked(agent, agent.update(state, data, probabilities, int(key)))

        return LearnerFunctions(
            init=agent.init,
            update=plain_update,
            parameters=agent.parameters,
            to_host=lambda parameters: parameters,
            compiles=False,
        )
    # JAX is imported where a node runs, not where its program is made.
    import jax

    def update(
        state: Nested, data: Nested, probabilities: Any, seed: Any, number: Any
    ) -> tuple[Nested, UpdateOutputs]:
        key = jax.random.fold_in(jax.random.key(seed), number)
        return _checked(agent, agent.update(state, data, probabilities, key))

    # Compile `init` as a whole: run one operation at a time, it takes seconds.
    init = jax.jit(lambda seed: agent.init(jax.random.key(seed)))
    compiled = jax.jit(update)
    return LearnerFunctions(
        init=lambda seed: init(np.uint32(seed)),
        update=lambda state, data, probabilities, seed, number: compiled(
            state, data, probabilities, np.uint32(seed), np.uint32(number)
        ),
        parameters=agent.parameters,
        to_host=_to_host,
        compiles=not jax.config.jax_disable_jit,  # type: ignore[attr-defined]
    )


def _checked(agent: Agent, result: Any) -> tuple[Nested, UpdateOutputs]:
    """What `update` returned, if it is a state and outputs as they must be.

    Raises:
      ContractError: it is something else, or the loss or a metric is not a scalar.
    """
    name = f"{type(agent).__name__}.update"
    if isinstance(result, tuple) and len(result) == 2:
        state, outputs = result
        if isinstance(outputs, UpdateOutputs):
            named = {f"the metric '{key}'": x for key, x in outputs.metrics.items()}
            for what, value in {"a loss": outputs.loss, **named}.items():
                if shape := np.shape(value):
                    raise ContractError(
                        f"{name} returned {what} of shape {shape}; it must be a scalar:"
                        " take the mean"
                    )
            return state, outputs
    raise ContractError(
        f"{name} must return (state, UpdateOutputs(...)), not {type(result).__name__}"
    )


def _to_host(parameters: Nested) -> Nested:
    import jax

    if jax.default_backend() != "cpu":
        return jax.device_get(parameters)  # All copies are under way before it waits.
    # Nothing is copied, and this takes a fifth of the time of device_get.
    return jax.tree.map(np.asarray, parameters)

"""How the learner calls an agent: compiled, and for several updates at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from acmelike.agent import Agent, UpdateOutputs
from acmelike.checks import is_installed
from acmelike.errors import ConfigError, ContractError, first_line
from acmelike.types import Array, Nested

State = TypeVar("State")


class LearnerFunctions(NamedTuple):
    """The functions of an `Agent`, ready to be called.

    Attributes:
      init: from a seed to the training state before the first update.
      update: (state, data, probabilities, seed, number of updates) -> (state, outputs).
        Its random key comes from the last two.
      parameters: from a training state to what policies act with.
      to_host: from these parameters to NumPy arrays; waits until they are computed.
      compiles: whether the first call of `update` compiles it, which is slow. The
        learner then calls it once with zeros beforehand, and discards the result.
    """

    init: Callable[[int], Nested]
    update: Callable[..., tuple[Nested, UpdateOutputs]]
    parameters: Callable[[Nested], Nested]
    to_host: Callable[[Nested], Nested]
    compiles: bool


def find_device(name: str) -> Any:
    """The first device that JAX has of a kind.

    Args:
      name: the kind, "cpu" or "gpu"; or "auto".

    Returns:
      The device; None for "auto", where JAX takes its default device.

    Raises:
      ConfigError: JAX finds no such device in this process.
    """
    if name == "auto":
        return None
    if not is_installed("jax"):
        raise ConfigError(f"learner_device is {name}, and JAX is not installed here")
    import jax

    try:
        return jax.local_devices(backend=name)[0]
    except RuntimeError as error:
        raise ConfigError(
            f"learner_device is {name}, and JAX finds no such device here: "
            f"{first_line(error)}"
        ) from None


def make_functions(agent: Agent, device: str = "auto") -> LearnerFunctions:
    """Compiles functions of JAX, and takes those of another library as they are.

    Args:
      agent: has the functions.
      device: where those of JAX are computed; see `find_device`.

    Raises:
      ConfigError: there is no such device here, or the functions are not JAX's.
    """
    if not agent.needs_jax:
        if device != "auto":
            raise ConfigError(
                f"learner_device must be auto, as JAX does not compute the functions "
                f"of {type(agent).__name__}: {device}"
            )

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
    chosen = find_device(device)
    functions = LearnerFunctions(
        init=lambda seed: init(np.uint32(seed)),
        update=lambda state, data, probabilities, seed, number: compiled(
            state, data, probabilities, np.uint32(seed), np.uint32(number)
        ),
        parameters=agent.parameters,
        to_host=partial(_to_host, device=chosen),
        compiles=not jax.config.jax_disable_jit,  # type: ignore[attr-defined]
    )
    return functions if chosen is None else _computed_on(chosen, functions)


def scan_minibatches(
    update_once: Callable[[State, Any], tuple[State, UpdateOutputs]],
    state: State,
    items: Nested,
    num_updates: int,
) -> tuple[State, UpdateOutputs]:
    """Cuts items `[U * B, ...]` into U minibatches and makes an update on each.

    An agent's `update`, which the learner compiles, uses this to make several updates
    in one call.

    Args:
      update_once: (state, minibatch `[B, ...]`) -> (state, outputs).
      state: before the first update.
      items: a nest of arrays.
      num_updates: U.

    Returns:
      The last state, and the outputs of all updates together; see `mean_outputs`.
    """
    import jax

    minibatches = jax.tree.map(
        lambda x: x.reshape(num_updates, -1, *x.shape[1:]), items
    )
    state, outputs = jax.lax.scan(update_once, state, minibatches)
    return state, mean_outputs(outputs)


def mean_outputs(outputs: UpdateOutputs) -> UpdateOutputs:
    """The outputs of a call, from those of its U updates.

    Args:
      outputs: the loss and each metric `[U]`, priorities `[U, B]` or None.

    Returns:
      The mean loss, the mean of each metric, and the priorities in one row, `[U * B]`.
    """
    import jax

    priorities = outputs.priorities
    return UpdateOutputs(
        loss=outputs.loss.mean(),
        priorities=None if priorities is None else priorities.reshape(-1),
        metrics=jax.tree.map(lambda x: x.mean(), outputs.metrics),
    )


def _checked(agent: Agent, result: Any) -> tuple[Nested, UpdateOutputs]:
    """Checks that `update` returned a state and valid outputs, and returns both.

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


def _computed_on(device: Any, functions: LearnerFunctions) -> LearnerFunctions:
    """The same functions, computed on a device of JAX whatever its default is."""
    import jax

    def there(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            # The default is this thread's only: other nodes may share the process.
            with jax.default_device(device):
                return function(*args)

        return call

    return functions._replace(
        init=there(functions.init),
        update=there(functions.update),
        parameters=there(functions.parameters),
    )


def _to_host(parameters: Nested, *, device: Any) -> Nested:
    import jax

    platform = jax.default_backend() if device is None else device.platform
    if platform != "cpu":
        return jax.device_get(parameters)  # It starts all copies before it waits.
    # Nothing is copied, and this takes a fifth of the time of device_get.
    return jax.tree.map(np.asarray, parameters)

"""A policy as data: NumPy text where there is one, and the pickled function."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cloudpickle
import numpy as np

from acmelike.agent import Agent, PolicyInputs
from acmelike.policies.numpy_operations import convolve, reduce_windows
from acmelike.types import Array, EnvironmentSpec, Nested

logger = logging.getLogger("acmelike")

# `(state, observation, noise) -> (action, state, extras)`; states are flat tuples.
Act = Callable[[tuple[Array, ...], Array, Nested], tuple[Any, Any, Any]]


@dataclass(frozen=True, kw_only=True)
class PortablePolicy:
    """`Agent.act` as it travels to actors, evaluators and files.

    Attributes:
      text: the source of a NumPy function that does the same; None if there is none.
      pickled: `act` itself, which is unpickled only where it is called.
      needs_jax: whether `act` is written in JAX.
    """

    text: str | None
    pickled: bytes
    needs_jax: bool

    def load_text(self) -> Callable[[Nested], Act]:
        """Compiles the text; returns its `bind(parameters)`.

        This runs the text as code: load only what you trust.
        """
        assert self.text is not None
        names: dict[str, Any] = {
            "np": np,
            "inf": np.inf,
            "nan": np.nan,
            "convolve": convolve,
            "reduce_windows": reduce_windows,
        }
        exec(compile(self.text, "<the policy in NumPy>", "exec"), names)
        bind: Callable[[Nested], Act] = names["bind"]
        return bind

    def load_function(self) -> Callable[..., Any]:
        """Unpickles `act`, which runs code: load only what you trust."""
        function: Callable[..., Any] = pickle.loads(self.pickled)
        return function


def make_portable(
    agent: Agent, parameters: Nested, spec: EnvironmentSpec, inputs: PolicyInputs
) -> PortablePolicy:
    """Traces an agent's `act`.

    Args:
      agent: whose `act` it is.
      parameters: such as it acts with.
      spec: of the environments.
      inputs: of any actor, for the shapes of state and noise.
    """
    pickled = cloudpickle.dumps(agent.act)
    if not agent.needs_jax:
        return PortablePolicy(text=None, pickled=pickled, needs_jax=False)
    # Tracing imports JAX; this module is imported at actors, too.
    from acmelike.policies.numpy_text import MissingOperation, numpy_text

    observation, text = spec.observations, None
    try:
        text = numpy_text(
            agent.act,
            parameters,
            inputs.init,
            lambda num: np.zeros((num, *observation.shape), observation.dtype),
            lambda num: inputs.noise(np.random.default_rng(0), num),
        )
    except MissingOperation as missing:
        logger.warning("actors use JAX, as NumPy text has no words for %s", missing)
    return PortablePolicy(text=text, pickled=pickled, needs_jax=True)

"""A policy as data: NumPy text where there is one, and the pickled function."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cloudpickle
import numpy as np

from acmelike.agent import Builder
from acmelike.policies.numpy_operations import TEXT_NAMES
from acmelike.types import Array, EnvironmentSpec, Nested

logger = logging.getLogger("acmelike")

# `(state, observation, noise) -> (action, state, extras)`; states are flat tuples.
Act = Callable[[tuple[Array, ...], Nested, Nested], tuple[Any, Any, Any]]


@dataclass(frozen=True, kw_only=True)
class PortablePolicy:
    """`Agent.act` as it is sent to actors and evaluators, and saved in files.

    Attributes:
      text: the source of a NumPy function that does the same; None if there is none.
      pickled: a function that makes `act` itself. It is unpickled only where there is
        no text, or where JAX is faster. Other actors import neither JAX nor the module
        of `act`.
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
        names = dict(TEXT_NAMES)
        exec(compile(self.text, "<the policy in NumPy>", "exec"), names)
        bind: Callable[[Nested], Act] = names["bind"]
        return bind

    def load_function(self) -> Callable[..., Any]:
        """Unpickles `act`, which runs code: load only what you trust."""
        act: Callable[..., Any] = pickle.loads(self.pickled)()
        return act


def make_portable(
    builder: Builder, spec: EnvironmentSpec, parameters: Nested
) -> PortablePolicy:
    """Traces an agent's `act`.

    Args:
      builder: of the agent.
      spec: of the environments.
      parameters: of the agent, for `act`.
    """
    agent, inputs = builder.make_agent(spec), builder.make_greedy_inputs(spec)
    pickled = pickled_act(builder, spec)
    if not agent.needs_jax:
        return PortablePolicy(text=None, pickled=pickled, needs_jax=False)
    # Tracing imports JAX; this module is imported at actors, too.
    from acmelike.policies.numpy_text import MissingOperation, numpy_text

    text = None
    try:
        text = numpy_text(
            agent.act,
            parameters,
            inputs.init,
            spec.zero_observations,
            lambda num: inputs.noise(np.random.default_rng(0), num),
        )
    except MissingOperation as missing:
        logger.warning("actors use JAX, as NumPy text has no words for %s", missing)
    return PortablePolicy(text=text, pickled=pickled, needs_jax=True)


def pickled_act(builder: Builder, spec: EnvironmentSpec) -> bytes:
    """A pickle of a function that makes the agent's `act`; see `PortablePolicy`."""
    return cloudpickle.dumps(partial(_make_act, builder, spec))  # type: ignore[no-any-return]


def _make_act(builder: Builder, spec: EnvironmentSpec) -> Callable[..., Any]:
    return builder.make_agent(spec).act

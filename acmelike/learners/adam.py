"""The optimizer that most agents learn with."""

from __future__ import annotations

from typing import Protocol

import optax


class AdamSettings(Protocol):
    """What an agent's settings say about it."""

    @property
    def learning_rate(self) -> float: ...

    @property
    def final_learning_rate_fraction(self) -> float: ...

    @property
    def learning_rate_decay_updates(self) -> int: ...

    @property
    def max_gradient_norm(self) -> float: ...


def decaying_adam(
    settings: AdamSettings, *, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Adam of gradients of a limited norm, with a rate that decays linearly."""
    learning_rate = optax.linear_schedule(
        settings.learning_rate,
        settings.learning_rate * settings.final_learning_rate_fraction,
        settings.learning_rate_decay_updates,
    )
    return optax.chain(
        optax.clip_by_global_norm(settings.max_gradient_norm),
        optax.adam(learning_rate, eps=eps),
    )

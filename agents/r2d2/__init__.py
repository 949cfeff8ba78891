"""Recurrent Replay Distributed DQN: an LSTM that learns from replayed sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.agents.r2d2.builder import R2D2Builder
    from acmelike.agents.r2d2.config import R2D2Config

_HOMES = {
    "R2D2Builder": "acmelike.agents.r2d2.builder",
    "R2D2Config": "acmelike.agents.r2d2.config",
}

__all__ = ["R2D2Builder", "R2D2Config"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)

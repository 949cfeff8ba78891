"""Adders: they turn the time steps of an actor into items of a replay table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acmelike.lazy import lazy_names

if TYPE_CHECKING:
    from acmelike.adders.adder import Adder, AdderOutput
    from acmelike.adders.episode import EpisodeAdder
    from acmelike.adders.frames import (
        FrameAdder,
        observations_signature,
        store_frames_once,
    )
    from acmelike.adders.n_step import InitialPriority, NStepAdder, transition_signature
    from acmelike.adders.rewards import RewardAdder
    from acmelike.adders.sequence import (
        Sequence,
        SequenceAdder,
        SequencePriority,
        sequence_signature,
    )
    from acmelike.adders.unroll import Unroll, UnrollAdder, unroll_signature

_NAMES = {
    "acmelike.adders.adder": ("Adder", "AdderOutput"),
    "acmelike.adders.episode": ("EpisodeAdder",),
    "acmelike.adders.frames": (
        "FrameAdder",
        "observations_signature",
        "store_frames_once",
    ),
    "acmelike.adders.n_step": ("InitialPriority", "NStepAdder", "transition_signature"),
    "acmelike.adders.rewards": ("RewardAdder",),
    "acmelike.adders.sequence": (
        "Sequence",
        "SequenceAdder",
        "SequencePriority",
        "sequence_signature",
    ),
    "acmelike.adders.unroll": ("Unroll", "UnrollAdder", "unroll_signature"),
}

__all__ = [
    "Adder",
    "AdderOutput",
    "EpisodeAdder",
    "FrameAdder",
    "InitialPriority",
    "NStepAdder",
    "RewardAdder",
    "Sequence",
    "SequenceAdder",
    "SequencePriority",
    "Unroll",
    "UnrollAdder",
    "observations_signature",
    "sequence_signature",
    "store_frames_once",
    "transition_signature",
    "unroll_signature",
]

__getattr__, __dir__ = lazy_names(__name__, _NAMES)

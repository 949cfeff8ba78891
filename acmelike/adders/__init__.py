"""Adders: they turn the time steps of an actor into items of a replay table."""

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

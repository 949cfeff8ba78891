"""Adders: what turns an actor's time steps into the items of replay."""

from acmelike.adders.added import Added, Adder
from acmelike.adders.episode import EpisodeAdder
from acmelike.adders.frames import FrameAdder, frame_transition_signature
from acmelike.adders.n_step import InitialPriority, NStepAdder
from acmelike.adders.sequence import Sequence, SequenceAdder, sequence_signature
from acmelike.adders.unroll import Unroll, UnrollAdder, unroll_signature

__all__ = [
    "Added",
    "Adder",
    "EpisodeAdder",
    "FrameAdder",
    "InitialPriority",
    "NStepAdder",
    "Sequence",
    "SequenceAdder",
    "Unroll",
    "UnrollAdder",
    "frame_transition_signature",
    "sequence_signature",
    "unroll_signature",
]

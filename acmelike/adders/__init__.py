"""Adders: what turns an actor's time steps into the items of replay."""

from acmelike.adders.added import Added, Adder
from acmelike.adders.n_step import NStepAdder
from acmelike.adders.sequence import Sequence, SequenceAdder, sequence_signature

__all__ = [
    "Added",
    "Adder",
    "NStepAdder",
    "Sequence",
    "SequenceAdder",
    "sequence_signature",
]

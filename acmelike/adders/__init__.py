"""Adders: what turns an actor's time steps into the items of replay."""

from acmelike.adders.n_step import NStepAdder

__all__ = ["NStepAdder"]

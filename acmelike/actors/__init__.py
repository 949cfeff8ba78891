"""Workers that act: the actor, and the evaluator."""

from acmelike.actors.actor import Actor
from acmelike.actors.evaluator import Evaluator

__all__ = ["Actor", "Evaluator"]

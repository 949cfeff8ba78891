"""Workers that act: the actor, and the evaluator."""

from acmelike.actors.actor import Actor
from acmelike.actors.evaluator import Evaluator
from acmelike.actors.inference import Inference

__all__ = ["Actor", "Evaluator", "Inference"]

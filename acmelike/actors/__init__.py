"""Workers that act: actors, an inference node for several, and the evaluator."""

from acmelike.actors.actor import Actor
from acmelike.actors.central import CentralInference
from acmelike.actors.environment_actor import EnvironmentActor
from acmelike.actors.evaluator import Evaluator
from acmelike.actors.requests import BatchStatistics, Requests

__all__ = [
    "Actor",
    "BatchStatistics",
    "CentralInference",
    "EnvironmentActor",
    "Evaluator",
    "Requests",
]

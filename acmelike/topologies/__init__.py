"""Topologies: from the builder of an agent to a program."""

from collections.abc import Mapping

from acmelike.topologies.actor_learner import make_actor_learner, make_synchronous
from acmelike.topologies.central_inference import make_central_inference
from acmelike.topologies.system import Layout, System, Topology

# By the names that a command line gives them.
TOPOLOGIES: Mapping[str, Topology] = {
    "actor_learner": make_actor_learner,
    "synchronous": make_synchronous,
    "central_inference": make_central_inference,
}

__all__ = [
    "TOPOLOGIES",
    "Layout",
    "System",
    "Topology",
    "make_actor_learner",
    "make_central_inference",
    "make_synchronous",
]

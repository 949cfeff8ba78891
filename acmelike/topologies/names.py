"""Topologies by the names that the command line gives them."""

from __future__ import annotations

from collections.abc import Mapping

from acmelike.topologies.actor_learner import make_actor_learner, make_synchronous
from acmelike.topologies.central_inference import make_central_inference
from acmelike.topologies.system import Topology

TOPOLOGIES: Mapping[str, Topology] = {
    "actor_learner": make_actor_learner,
    "synchronous": make_synchronous,
    "central_inference": make_central_inference,
}

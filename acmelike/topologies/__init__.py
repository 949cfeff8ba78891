"""Topologies: from the builder of an agent to a program."""

from acmelike.topologies.actor_learner import (
    ActorLearner,
    Layout,
    make_actor_learner,
)

__all__ = ["ActorLearner", "Layout", "make_actor_learner"]

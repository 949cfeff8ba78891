"""Edges: how a node calls another. Knows nothing of reinforcement learning."""

from acmelike.rpc.call import Call, Scheduler
from acmelike.rpc.client import Client
from acmelike.rpc.leaf import leaf, refuse_inside_leaf
from acmelike.rpc.server import Server, Supervisor

__all__ = [
    "Call",
    "Client",
    "Scheduler",
    "Server",
    "Supervisor",
    "leaf",
    "refuse_inside_leaf",
]

"""Edges: how a node calls another. Knows nothing of reinforcement learning."""

from acmelike.rpc.call import Call, Scheduler
from acmelike.rpc.client import Client
from acmelike.rpc.failure import from_wire, to_wire
from acmelike.rpc.server import Server, Supervisor
from acmelike.rpc.sockets.channel import Channel, RemoteTarget
from acmelike.rpc.sockets.server import SocketServer, new_address

__all__ = [
    "Call",
    "Channel",
    "Client",
    "RemoteTarget",
    "Scheduler",
    "Server",
    "SocketServer",
    "Supervisor",
    "from_wire",
    "new_address",
    "to_wire",
]

"""Edges: how a node calls another. Knows nothing of reinforcement learning."""

from acmelike.rpc.call import Call, Request
from acmelike.rpc.client import Client, Interface, interface_of
from acmelike.rpc.failure import from_wire, to_wire
from acmelike.rpc.server import Server, Supervisor
from acmelike.rpc.sockets.channel import Channel, RemoteTarget
from acmelike.rpc.sockets.credentials import new_key
from acmelike.rpc.sockets.peers import Peer, Peers
from acmelike.rpc.sockets.server import SocketServer, new_address

__all__ = [
    "Call",
    "Channel",
    "Client",
    "Interface",
    "Peer",
    "Peers",
    "RemoteTarget",
    "Request",
    "Server",
    "SocketServer",
    "Supervisor",
    "from_wire",
    "interface_of",
    "new_address",
    "new_key",
    "to_wire",
]

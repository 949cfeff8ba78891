"""Edges: how a node calls another. Knows nothing of reinforcement learning."""

from acmelike.rpc.call import Alarm, Call, Request
from acmelike.rpc.client import Client, Interface, interface_of
from acmelike.rpc.failure import from_wire, to_wire
from acmelike.rpc.refs import VALUES, Ref, put, serve_values
from acmelike.rpc.server import Server, Supervisor
from acmelike.rpc.sockets.channel import Channel
from acmelike.rpc.sockets.compression import require_compression
from acmelike.rpc.sockets.endpoints import (
    HEARTBEAT_SECONDS,
    Address,
    Credentials,
    Listener,
    checked_heartbeat,
    listen_far,
    listen_near,
    listen_outside,
)
from acmelike.rpc.sockets.greeting import new_key
from acmelike.rpc.sockets.identity import Authority, Certificate, Identity
from acmelike.rpc.sockets.peers import AddressBook, Peer, Peers
from acmelike.rpc.sockets.server import SocketServer
from acmelike.rpc.sockets.target import RemoteTarget

__all__ = [
    "HEARTBEAT_SECONDS",
    "VALUES",
    "Address",
    "AddressBook",
    "Alarm",
    "Authority",
    "Call",
    "Certificate",
    "Channel",
    "Client",
    "Credentials",
    "Identity",
    "Interface",
    "Listener",
    "Peer",
    "Peers",
    "Ref",
    "RemoteTarget",
    "Request",
    "Server",
    "SocketServer",
    "Supervisor",
    "checked_heartbeat",
    "from_wire",
    "interface_of",
    "listen_far",
    "listen_near",
    "listen_outside",
    "new_key",
    "put",
    "require_compression",
    "serve_values",
    "to_wire",
]

"""A service behind a socket server, for tests that are its callers."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, NamedTuple

from acmelike.launchers.scheduler import FreeScheduler
from acmelike.rpc import (
    Channel,
    Client,
    RemoteTarget,
    Server,
    SocketServer,
    new_address,
    new_key,
)
from acmelike.rpc.sockets import shared_memory
from acmelike.rpc.sockets.shared_memory import MAX_BYTES, MAX_MAPS

KEY = new_key()


class Supervisor:
    """Of a run in which nothing may fail but calls."""

    def stop(self, reason):
        raise AssertionError(reason)

    def fail(self, label, where, error):
        raise error


class Served(NamedTuple):
    """A service that is served as node "store".

    Attributes:
      server: of the service.
      sockets: takes calls of other processes for it.
      address: of that.
      channel: to that.
      client: over the channel.
    """

    server: Server
    sockets: SocketServer
    address: str
    channel: Channel
    client: Any


def client_of(channel):
    """A client of the service, over a channel."""
    return Client(RemoteTarget("store", lambda: channel))


@contextmanager
def serving(service, folder):
    """Serves a service; afterwards nothing may have failed, and no memory be taken."""
    scheduler = FreeScheduler(threading.Event())
    server = Server("store", scheduler, Supervisor())
    server.open(service)
    address, failures = new_address(str(folder)), []
    sockets = SocketServer({"store": server}, scheduler, address, KEY, failures.append)
    sockets.start()
    channel = Channel(address, KEY, lambda: None)
    yield Served(server, sockets, address, channel, client_of(channel))
    sockets.close()
    channel.close("the test is over")
    channel.dispose()
    assert failures == []
    # Whatever the connections took of the process's budget is back.
    assert shared_memory._budget.take(MAX_BYTES, MAX_MAPS)
    shared_memory._budget.take(-MAX_BYTES, -MAX_MAPS)

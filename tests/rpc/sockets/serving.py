"""A service behind a socket server, for tests that are its callers."""

from __future__ import annotations

import os
import resource
import threading
from contextlib import contextmanager
from typing import Any, NamedTuple

from acmelike.launchers.scheduler import FreeScheduler
from acmelike.rpc import (
    Address,
    Authority,
    Channel,
    Client,
    Credentials,
    Identity,
    RemoteTarget,
    Server,
    SocketServer,
    listen_far,
    listen_near,
    listen_outside,
    new_key,
)
from acmelike.rpc.sockets import shared_memory
from acmelike.rpc.sockets.shared_memory import MAX_BYTES, MAX_FILES

KEY = new_key()


def identity_of(authority):
    """A new identity that an authority has signed."""
    identity = Identity()
    identity.take(authority.sign(identity.public_key))
    return identity


# Of the two ends of every connection here.
AUTHORITY = Authority()
NEAR = Credentials(KEY)
FAR = Credentials(KEY, identity_of(AUTHORITY))


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
      address: of that, an `Address`.
      channel: to that.
      client: over the channel.
    """

    server: Server
    sockets: SocketServer
    address: Address
    channel: Channel
    client: Any


def client_of(channel, pack=False):
    """A client of the service, over a channel; with compression if `pack`."""
    return Client(RemoteTarget("store", lambda: channel, pack=pack))


@contextmanager
def serving(service, folder, credentials=NEAR, pack=False):
    """Serves a service; afterwards nothing may have failed, and no memory be taken.

    With credentials for other hosts it is served as to them, compressed if `pack`.
    """
    scheduler = FreeScheduler(threading.Event())
    server = Server("store", scheduler, Supervisor(), is_packed=pack)
    server.open(service)
    failures = []
    if credentials.identity:
        listener = listen_far("127.0.0.1", credentials.identity)
    else:
        listener = listen_near(str(folder), credentials.key)
    sockets = SocketServer({"store": server}, scheduler, listener, failures.append)
    sockets.start()
    channel = Channel(sockets.address, credentials, lambda: None)
    client = client_of(channel, pack)
    yield Served(server, sockets, sockets.address, channel, client)
    sockets.close()
    server.close("the test is over")
    channel.close("the test is over")
    channel.dispose()
    assert failures == []
    # Whatever the connections took of the budget is back. Memory of values that
    # other tests stored may be kept for the next ones.
    with shared_memory.pool.lock:
        shared_memory.pool.end_leases()
        shared_memory.pool._drop_idle(0)
    assert shared_memory.pool.budget.take(MAX_BYTES, MAX_FILES)
    shared_memory.pool.budget.take(-MAX_BYTES, -MAX_FILES)


class Exposed(NamedTuple):
    """A service that is exposed as node "store".

    Attributes:
      server: of the service.
      sockets: takes calls of other programs for it.
      endpoint: where, and what they need, as data.
    """

    server: Server
    sockets: SocketServer
    endpoint: dict[str, Any]


@contextmanager
def exposing(service, tls=False):
    """Exposes a service; afterwards nothing may have failed."""
    scheduler = FreeScheduler(threading.Event())
    server = Server("store", scheduler, Supervisor())
    server.open(service)
    failures = []
    key, identity = new_key(), identity_of(AUTHORITY) if tls else None
    listener = listen_outside("127.0.0.1", 0, key, identity)
    sockets = SocketServer({"store": server}, scheduler, listener, failures.append)
    sockets.start()
    endpoint = {
        "node": "store",
        "ip": "127.0.0.1",
        "port": sockets.address.port,
        "key": key.hex(),
        "name": sockets.address.name,
        "authority": identity.authority.decode() if tls else "",
    }
    yield Exposed(server, sockets, endpoint)
    sockets.close()
    server.close("the test is over")
    assert failures == []


@contextmanager
def no_file_left():
    """As long as it lasts, this process can open nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Writes:
    """Something whose pickle writes a file where it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def mutated(frame, chance):
    """A frame with bits changed, bytes left out or doubled, or its end cut off."""
    frame = bytearray(frame)
    for _ in range(chance.randint(1, 4)):
        at, kind = chance.randrange(len(frame)), chance.randrange(4)
        if kind == 0:
            frame[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del frame[at : at + chance.randint(1, 8)]
        elif kind == 2:
            frame[at:at] = frame[at : at + chance.randint(1, 8)]
        else:
            del frame[at:]
        if not frame:
            break
    return bytes(frame)

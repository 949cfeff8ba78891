"""Where a process listens, and how the others get there.

Two processes that share memory and abstract sockets talk over a Unix-domain socket. All
others talk over TCP with TLS 1.3, where each end shows its certificate.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import sys
from functools import cache
from typing import NamedTuple

from acmelike.rpc.sockets.identity import Identity
from acmelike.rpc.sockets.tls import TlsSocket

_BACKLOG = 128


class Address(NamedTuple):
    """Where a process listens.

    Attributes:
      host: what it shares sockets and memory with; see `this_host`.
      path: of its Unix-domain socket; "" for none.
      ip: where it listens for other hosts; "" if it does not.
      port: there.
      name: that its certificate must have.
    """

    host: str
    path: str
    ip: str = ""
    port: int = 0
    name: str = ""

    @property
    def is_near(self) -> bool:
        """Whether this process can use the Unix-domain socket, and share memory."""
        return bool(self.path) and self.host == this_host()


class Credentials(NamedTuple):
    """What a process shows to others of its run.

    Attributes:
      key: of the run, for those of the same host; see `greeting`.
      identity: for other hosts; None in a run of one host.
    """

    key: bytes
    identity: Identity | None = None


class Listener(NamedTuple):
    """A socket that listens, and whether it speaks TLS."""

    sock: socket.socket
    is_tls: bool


@cache
def this_host() -> str:
    """What all processes have in common that share sockets and memory.

    Abstract sockets belong to a network namespace, and paths in /proc to a process
    namespace. Two containers of one machine may share neither.
    """
    if sys.platform != "linux":
        return f"{socket.gethostname()}-{os.getuid()}"
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip()
    spaces = [str(os.stat(f"/proc/self/ns/{kind}").st_ino) for kind in ("net", "pid")]
    return "-".join([boot, *spaces, str(os.getuid())])


def listen_near(folder: str) -> tuple[Address, Listener]:
    """Listens on a Unix-domain socket.

    On Linux it is in the abstract namespace, where nothing is left behind however the
    process ends. Elsewhere it is a file in `folder`.
    """
    name = f"acmelike-{os.getpid()}-{os.urandom(6).hex()}"
    path = f"\0{name}" if sys.platform == "linux" else os.path.join(folder, name)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    sock.listen(_BACKLOG)
    return Address(this_host(), path), Listener(sock, is_tls=False)


def listen_far(ip: str, identity: Identity) -> tuple[Address, Listener]:
    """Listens for other hosts, at a port that is free."""
    sock = socket.create_server((ip, 0), backlog=_BACKLOG)
    port = sock.getsockname()[1]
    return Address(this_host(), "", ip, port, identity.name), Listener(sock, True)


def connect_near(address: Address) -> socket.socket:
    """A connection to a process of this host.

    Raises:
      OSError: it has ended.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(address.path)
    except OSError:
        sock.close()
        raise
    return sock


def connect_far(
    address: Address, identity: Identity, seconds: float | None
) -> TlsSocket:
    """A connection to the process of another host that the address means.

    Raises:
      TimeoutError: it did not answer within `seconds`.
      OSError: nothing listens there, or something else.
    """
    sock = socket.create_connection((address.ip, address.port), timeout=seconds)
    try:
        _tune(sock)
        tls = identity.client.wrap_socket(sock, server_hostname=address.name)
    except BaseException:
        sock.close()
        raise
    return TlsSocket(tls)


def accept_far(sock: socket.socket, identity: Identity) -> TlsSocket:
    """The other end of `connect_far`; `greet` of it is still to be called."""
    _tune(sock)
    sock.setblocking(False)
    return TlsSocket(
        identity.server.wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False
        )
    )


def is_own_user(sock: socket.socket) -> bool:
    """Whether the other end of a Unix-domain socket is a process of the same user."""
    if sys.platform != "linux":
        return True  # Its folder is closed to other users.
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, user, _ = struct.unpack("3i", credentials)
    return bool(user == os.getuid())


# A host that has vanished is found after so many seconds without a sign of it.
_VANISHED_SECONDS = 9


def _tune(sock: socket.socket) -> None:
    options = {
        "TCP_NODELAY": 1,
        "TCP_KEEPIDLE": _VANISHED_SECONDS // 3,
        "TCP_KEEPINTVL": _VANISHED_SECONDS // 4,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": _VANISHED_SECONDS * 1000,
    }
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        if hasattr(socket, name):  # Not every system has them all.
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def why_refused(error: Exception) -> str:
    """Why a connection of a stranger was refused, in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not of this run: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        words = (error.reason or "TLS").lower().replace("_", " ")
        return f"it does not show a certificate of this run: {words}"
    if isinstance(error, EOFError):
        return "it ended before it had shown that it belongs to this run"
    return str(error)

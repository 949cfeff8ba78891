"""Where a process listens, and how the others get there.

Two processes that share memory and abstract sockets talk over a Unix-domain socket. All
others talk over TCP with TLS 1.3, where each end shows its certificate. A node that is
exposed has a TCP port of its own, for programs that are not of the run.

What is of TLS is imported when it is used: most processes never do, and it takes 2 MB.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from acmelike.errors import ConfigError
from acmelike.rpc.sockets.codec import Codec
from acmelike.rpc.sockets.data_codec import DATA
from acmelike.rpc.sockets.identity import Identity
from acmelike.rpc.sockets.pickle_codec import PICKLE

if TYPE_CHECKING:
    import ssl

    from acmelike.rpc.sockets.tls import TlsSocket

_BACKLOG = 128
# A host that has vanished is found after so many seconds at most, unless a run has
# another setting. The system counts in whole seconds, and asks more than once.
HEARTBEAT_SECONDS = 10.0
MIN_HEARTBEAT_SECONDS, MAX_HEARTBEAT_SECONDS = 2.0, 3600.0


class Address(NamedTuple):
    """Where a process listens.

    Attributes:
      host: what it shares sockets and memory with; see `this_host`.
      path: of its Unix-domain socket; "" for none.
      ip: where it listens for other hosts; "" if it does not.
      port: there.
      name: that its certificate must have.
      incarnation: how often the process was restarted before. Each incarnation has
        a path, a port and a name of its own, so a caller never gets to another one.
    """

    host: str
    path: str
    ip: str = ""
    port: int = 0
    name: str = ""
    incarnation: int = 0

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
    """A socket that listens, and what is asked of those who connect.

    Attributes:
      sock: it.
      address: where it is.
      codec: of all connections.
      is_near: whether callers are processes of this host, and share memory.
      key: that a caller proves; None if its certificate is enough.
      tls: of the callee's end; None for connections without TLS.
      why_unknown: what is said of a caller that has proved nothing.
      heartbeat: a host that has vanished is found after so many seconds at most.
    """

    sock: socket.socket
    address: Address
    codec: Codec
    is_near: bool
    key: bytes | None
    tls: ssl.SSLContext | None
    why_unknown: str
    heartbeat: float = HEARTBEAT_SECONDS

    @property
    def is_outside(self) -> bool:
        """Whether callers are not of the run."""
        return self.codec is DATA


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


_NOT_OF_RUN = "it does not belong to this run"


def listen_near(folder: str, key: bytes, incarnation: int = 0) -> Listener:
    """Listens on a Unix-domain socket, for those who have the key of the run.

    On Linux it is in the abstract namespace, where nothing is left behind however the
    process ends. Elsewhere it is a file in `folder`.
    """
    name = f"acmelike-{os.getpid()}-{os.urandom(6).hex()}"
    path = f"\0{name}" if sys.platform == "linux" else os.path.join(folder, name)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    sock.listen(_BACKLOG)
    address = Address(this_host(), path, incarnation=incarnation)
    return Listener(sock, address, PICKLE, True, key, None, _NOT_OF_RUN)


def listen_far(
    ip: str,
    identity: Identity,
    incarnation: int = 0,
    heartbeat: float = HEARTBEAT_SECONDS,
) -> Listener:
    """Listens for other hosts, at a port that is free."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    sock = socket.create_server((ip, 0), family=family, backlog=_BACKLOG)
    port = sock.getsockname()[1]
    address = Address(this_host(), "", ip, port, identity.name, incarnation)
    return Listener(
        sock, address, PICKLE, False, None, identity.server, _NOT_OF_RUN, heartbeat
    )


def listen_outside(
    ip: str, port: int, key: bytes, identity: Identity | None
) -> Listener:
    """Listens for programs that are not of the run.

    Args:
      ip: where.
      port: there; 0 for one that is free.
      key: that they have to prove.
      identity: of this process, for TLS; None for none.

    Raises:
      OSError: the port is taken, say, or this host has no such ip.
    """
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    sock = socket.create_server((ip, port), family=family, backlog=_BACKLOG)
    port = sock.getsockname()[1]
    name, tls = ("", None) if identity is None else (identity.name, identity.exposed)
    address = Address("", "", ip, port, name)
    return Listener(
        sock, address, DATA, False, key, tls, "it does not have the node's key"
    )


def connect_near(address: Address, seconds: float) -> socket.socket:
    """A connection to a process of this host.

    Raises:
      TimeoutError: it accepts nobody for so long, as it is stopped, say.
      OSError: it has ended.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # For `connect`, which waits where many others wait; Python's own timeout has
        # no effect on that.
        whole, part = divmod(max(seconds, 1e-3), 1.0)
        limit = struct.pack("@ll", int(whole), int(1e6 * part))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        sock.connect(address.path)
        if not is_own_user(sock):  # Another may have taken the name of a dead process.
            raise ConnectionRefusedError("a process of another user listens there")
    except BlockingIOError:
        sock.close()
        raise TimeoutError(f"it has accepted nobody for {seconds:.3g} s") from None
    except OSError:
        sock.close()
        raise
    return sock


def connect_far(
    address: Address,
    identity: Identity,
    seconds: float | None,
    heartbeat: float = HEARTBEAT_SECONDS,
) -> TlsSocket:
    """A connection to the process of another host that the address means.

    Raises:
      TimeoutError: it did not answer within `seconds`.
      OSError: nothing listens there, or something else.
    """
    from acmelike.rpc.sockets.tls import TlsSocket

    sock = socket.create_connection((address.ip, address.port), timeout=seconds)
    try:
        _tune(sock, heartbeat)
        tls = identity.client.wrap_socket(sock, server_hostname=address.name)
    except BaseException:
        sock.close()
        raise
    return TlsSocket(tls)


def accept_far(
    sock: socket.socket, tls: ssl.SSLContext | None, heartbeat: float
) -> socket.socket | TlsSocket:
    """The other end of `connect_far`; with TLS, `greet` of it is still to be called.

    Raises:
      OSError: it has gone again.
    """
    _tune(sock, heartbeat)
    sock.setblocking(False)
    if tls is None:
        return sock
    from acmelike.rpc.sockets.tls import TlsSocket

    return TlsSocket(
        tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
    )


def is_own_user(sock: socket.socket) -> bool:
    """Whether the other end of a Unix-domain socket is a process of the same user."""
    if sys.platform != "linux":
        return True  # Its folder is closed to other users.
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, user, _ = struct.unpack("3i", credentials)
    return bool(user == os.getuid())


def checked_heartbeat(seconds: float) -> float:
    """The setting, if it is one.

    Raises:
      ConfigError: it is out of range.
    """
    if not MIN_HEARTBEAT_SECONDS <= seconds <= MAX_HEARTBEAT_SECONDS:
        raise ConfigError(
            f"heartbeat: expected {MIN_HEARTBEAT_SECONDS:.0f} to "
            f"{MAX_HEARTBEAT_SECONDS:,.0f} seconds, got {seconds}"
        )
    return seconds


def _tune(sock: socket.socket, heartbeat: float) -> None:
    """Lets the system find within `heartbeat` seconds that the other host is gone.

    After a third of them without a sign of it, it is asked, and then asked again at
    short intervals until all but one of these have passed. While something is under way
    to it, it is not asked; then the launcher finds that the host is lost, and says so
    in the next address book. If nobody does, the system gives up by itself, after about
    a quarter of an hour. A shorter limit for that
    (TCP_USER_TIMEOUT) would also end connections to processes that are there and read
    nothing, because they compile, say.
    """
    seconds = int(heartbeat)
    quiet, interval = max(1, seconds // 3), max(1, seconds // 10)
    options = {
        "TCP_NODELAY": 1,
        "TCP_KEEPIDLE": quiet,
        "TCP_KEEPINTVL": interval,
        "TCP_KEEPCNT": max(1, (seconds - quiet) // interval - 1),
    }
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        if hasattr(socket, name):  # Not every system has them all.
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def why_refused(error: Exception, listener: Listener) -> str:
    """Why a connection of a stranger was refused, in a few words."""
    import ssl

    if isinstance(error, ssl.SSLError) and listener.key is not None:
        words = (error.reason or "TLS").lower().replace("_", " ")
        return f"there is no TLS 1.3 with it: {words}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not of this run: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        words = (error.reason or "TLS").lower().replace("_", " ")
        return f"it does not show a certificate of this run: {words}"
    if isinstance(error, EOFError):
        return "it ended before it had shown who it is"
    return str(error)

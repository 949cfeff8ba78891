"""Where the hosts of a run meet: the launcher listens, and the agents come.

Each end shows a certificate that one authority has signed. Under `hosts` both ends know
a secret, which is the key of the authority. So the secret itself is never sent. Nothing
is unpickled before both ends have shown their certificates.

Processes of the run listen at ports of their own, which a firewall may close. So each
end opens such a port before the agent joins, and the other end tries to reach it.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import platform
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from acmelike.errors import ConfigError, RpcError, first_line
from acmelike.launchers.hosts.config import MIN_SECRET_BYTES
from acmelike.launchers.hosts.messages import Hello, Join, Refusal, Welcome
from acmelike.launchers.processes.capacity import Capacity
from acmelike.launchers.processes.control import ControlConnection
from acmelike.rpc import Authority, Certificate, Identity
from acmelike.rpc.sockets.tls import TlsSocket
from acmelike.version import __version__

logger = logging.getLogger("acmelike")

_NAME = "rendezvous"
# How long a host may take to identify itself, and how many may do so at once.
_STRANGER_SECONDS = 10.0
_MAX_STRANGERS = 64
# The pause after a connection could not be accepted, as with too many open files.
_REFUSED_SECONDS = 0.5
# How long a port of the other host may take to answer.
_REACH_SECONDS = 5.0


class Rendezvous:
    """The launcher's end: listens, and lets agents join.

    Args:
      host: where it listens, a name or an ip of this host.
      port: where it listens.
      identity: of the launcher; see `launcher_identity`.
      heartbeat: of the connections.
      admit: called with each agent that has shown that it knows the secret; returns why
        it cannot join, or "".
      joined: called with its `Join` and the connection to it, after the `Welcome`.

    Attributes:
      place: host and port; if `port` was 0, the free port that was chosen.
      refusals: by rank, why the last host that was refused could not join.

    Raises:
      ConfigError: the launcher cannot listen there.
    """

    def __init__(
        self,
        host: str,
        port: int,
        identity: Identity,
        heartbeat: float,
        admit: Callable[[Join], str],
        joined: Callable[[Join, ControlConnection], None],
    ):
        self._admit, self._joined, self._heartbeat = admit, joined, heartbeat
        self._identity = identity
        self.refusals: dict[int, str] = {}
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            # First, as `create_server` does not say which kind of error it had.
            socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
            self._sock = socket.create_server((host, port), family=family)
        except socket.gaierror as error:
            raise ConfigError(
                f"rendezvous {host}:{port}: this host does not know the name "
                f"'{host}': {error.strerror}; give one that it knows, or an address"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"rendezvous {host}:{port}: cannot listen there: {error.strerror}; is "
                f"another launcher there, and is it an address of this host?"
            ) from None
        self.place: tuple[str, int] = (host, self._sock.getsockname()[1])
        self._strangers = threading.Semaphore(_MAX_STRANGERS)
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._accept, name="rendezvous", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Ends the rendezvous: no host can join any more."""
        self._closing.set()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._sock.close()

    def _accept(self) -> None:
        fault = None
        while not self._closing.is_set():
            try:
                sock, _ = self._sock.accept()
            except OSError as error:
                if self._closing.is_set():
                    return
                # Without a free file descriptor it fails even if no host wants to join.
                if fault != error.strerror:
                    fault = error.strerror
                    logger.warning("no host can join now: %s", fault)
                self._closing.wait(_REFUSED_SECONDS)
                continue
            fault = None
            if not self._strangers.acquire(blocking=False):
                logger.warning("refused a host: too many are about to join")
                sock.close()
                continue
            try:
                threading.Thread(
                    target=self._greet, args=(sock,), name="guest", daemon=True
                ).start()
            except RuntimeError as error:
                logger.warning("refused a host: %s", error)
                self._strangers.release()
                sock.close()

    def _greet(self, sock: socket.socket) -> None:
        where = "an address that is gone"
        try:
            where = "{}:{}".format(*sock.getpeername()[:2])
            sock.settimeout(_STRANGER_SECONDS)
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = self._identity.server.wrap_socket(sock, server_side=True)
            connection = ControlConnection(TlsSocket(tls))
            try:
                self._let_in(connection)
            except BaseException:
                connection.close()
                raise
        except TimeoutError:
            logger.warning("a host at %s could not join: it said nothing", where)
            sock.close()
        except ssl.SSLError as error:
            words = (error.reason or "TLS").lower().replace("_", " ")
            logger.warning(
                "a host at %s could not join: it does not know the secret (%s)",
                where,
                words,
            )
            sock.close()
        except (OSError, RpcError) as error:
            logger.warning("a host at %s could not join: %s", where, error)
            sock.close()
        finally:
            self._strangers.release()

    def _let_in(self, connection: ControlConnection) -> None:
        connection.send({"versions": versions()})
        said = connection.receive(_STRANGER_SECONDS)
        if said is None:
            connection.close()
            return  # The agent has disconnected.
        why = _why_unlike(_versions_of(said), versions())
        if why:  # The agent finds the same reason.
            self._note_refusal(said.get("name"), said.get("rank"), why)
            connection.close()
            return
        with _listener(self._sock.getsockname()[0]) as listener:
            connection.send(Hello(listener.getsockname()[1]))
            join = connection.receive(_STRANGER_SECONDS)
        if not isinstance(join, Join):
            connection.close()
            return
        why = self._why_apart(join) or self._admit(join)
        if why:
            self._note_refusal(join.name, join.rank, why)
            connection.send(Refusal(why))
            connection.close()
            return
        connection.send(Welcome(self._heartbeat))
        self._joined(join, connection)

    def _note_refusal(self, name: object, rank: object, why: str) -> None:
        if isinstance(rank, int):  # A host of any version may have sent it.
            self.refusals[rank] = why
        logger.warning("host '%s' (rank %s) is refused: %s", name, rank, why)

    def _why_apart(self, join: Join) -> str:
        """Why processes of its host and of this one could not call each other."""
        if join.launcher_port_error:
            return f"it cannot reach {join.launcher_port_error}; {_PORTS}"
        if join.is_again:
            return ""  # It was reachable, and its link may have just come back.
        error = _try_port(join.ip, join.port, self._heartbeat)
        return error and f"the launcher cannot reach {error}; {_PORTS}"


def join_rendezvous(
    host: str,
    port: int,
    identity: Identity,
    rank: int,
    capacity: Capacity,
    is_again: bool,
    seconds: float,
) -> tuple[ControlConnection, Welcome]:
    """The agent's end: joins a run.

    Args:
      host: of the launcher.
      port: of the rendezvous.
      identity: of the agent; see `guest_certificate`.
      rank: of this host.
      capacity: what it has.
      is_again: whether it had joined before.
      seconds: how long the launcher may take to answer.

    Raises:
      ConfigError: the launcher refuses this host, or the two have different secrets.
      OSError: there is no launcher yet, or it did not answer in time.
    """
    sock = socket.create_connection((host, port), timeout=seconds)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ip = sock.getsockname()[0]
        tls = identity.client.wrap_socket(sock, server_hostname=_NAME)
    except ssl.SSLCertVerificationError:
        sock.close()
        raise ConfigError(_OTHER_SECRET.format(host=host, port=port)) from None
    except BaseException:
        sock.close()
        raise
    connection, name = ControlConnection(TlsSocket(tls)), socket.gethostname()
    try:
        connection.send({"name": name, "rank": rank, "versions": versions()})
        answer: Any = connection.receive(seconds)
        if answer is not None:
            if why := _why_unlike(versions(), _versions_of(answer)):
                raise ConfigError(_REFUSED.format(why=why))
            answer = connection.receive(seconds)
        if isinstance(answer, Hello):
            error = "" if is_again else _try_port(host, answer.port, seconds)
            with _listener(ip) as listener:
                own, key = listener.getsockname()[1], identity.public_key
                connection.send(
                    Join(rank, name, ip, own, error, capacity, key, is_again)
                )
                answer = connection.receive(seconds)
    except RpcError as error:
        connection.close()
        raise ConfigError(
            f"rendezvous {host}:{port}: what its launcher says cannot be read "
            f"({first_line(error)}); give all hosts the same version of acmelike: here "
            f"it is {__version__}"
        ) from None
    except BaseException:
        connection.close()
        raise
    if isinstance(answer, Welcome):
        return connection, answer
    connection.close()
    if isinstance(answer, Refusal):
        raise ConfigError(_REFUSED.format(why=answer.reason))
    # Not because of the secret: the launcher's certificate is of the same one.
    raise ConnectionError("the launcher has closed the connection")


_REFUSED = "the launcher refuses this host: {why}"
_OTHER_SECRET = (
    "rendezvous {host}:{port}: its launcher has another secret; give all hosts the "
    "same file, or the same ACMELIKE_SECRET"
)


# Advice for hosts that cannot reach each other.
_PORTS = (
    "hosts of a run have to reach each other at all ports above 1023, and by the "
    "address with which they reach the rendezvous"
)


def _listener(ip: str) -> socket.socket:
    """Listens at a port that the system chooses, as the processes of a host do."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    return socket.create_server((ip, 0), family=family)


def _try_port(host: str, port: int, heartbeat: float) -> str:
    """Tries to reach a port; returns the address and the fault, or "" if it works."""
    try:
        seconds = min(_REACH_SECONDS, heartbeat / 2)
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError as error:
        return f"{host}:{port} ({error.strerror or error})"
    return ""


def about_loopback(host: str) -> str:
    """A hint for a name or ip that on each machine means that machine itself, or ""."""
    with suppress(OSError):
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
        if all(ipaddress.ip_address(ip).is_loopback for ip in found):
            return (
                f"; {host} means this machine itself here: if the hosts are different "
                f"machines, give an address of that of rank 0 which all can reach"
            )
    return ""


def versions() -> dict[str, str]:
    """The versions that all hosts must share, as nodes and messages are pickles."""
    found = {
        "acmelike": __version__,
        "Python": ".".join(platform.python_version_tuple()[:2]),
    }
    for package in ("numpy", "jax", "cloudpickle"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _versions_of(said: Any) -> Mapping[str, str]:
    """The versions of the other end; sent first, as all other messages need them.

    They are a dict of texts, which every version can read.

    Raises:
      RpcError: the other end has sent something else.
    """
    found = said.get("versions") if isinstance(said, dict) else None
    if not isinstance(found, dict):
        raise RpcError("it has not said which versions it has")
    return found


def _why_unlike(host: Mapping[str, str], launcher: Mapping[str, str]) -> str:
    """The first difference, with both versions; "" if there is none."""
    for name in sorted({*host, *launcher}):
        if host.get(name) != launcher.get(name):
            return (
                f"it has {name} {host.get(name, 'not at all')}, and the launcher "
                f"{launcher.get(name, 'has not')}"
            )
    return ""


def launcher_identity(authority: Authority) -> Identity:
    """Makes the identity that the launcher shows at a rendezvous."""
    identity = Identity()
    identity.take(authority.sign(identity.public_key, _NAME))
    return identity


def guest_certificate(authority: Authority, public_key: bytes) -> Certificate:
    """Makes the certificate that an agent with this key shows there."""
    return authority.sign(public_key, f"{_NAME}-guest")


def read_secret(path: str | None) -> bytes:
    """The secret of a run: the content of a file, or ACMELIKE_SECRET.

    Raises:
      ConfigError: there is no secret, others can read the file, or it is too short.
    """
    if path is None:
        text = os.environ.get("ACMELIKE_SECRET", "").encode()
        where = "ACMELIKE_SECRET"
    else:
        where = path
        try:
            if os.stat(path).st_mode & 0o077:
                raise ConfigError(
                    f"secret-file {path}: other users can read it; chmod 600 {path}"
                )
            with open(path, "rb") as file:
                text = file.read().strip()
        except OSError as error:
            raise ConfigError(f"secret-file {path}: {error.strerror}") from None
    if not text:
        raise ConfigError(
            "several hosts need a secret that all of them know: give --secret-file, or "
            "set ACMELIKE_SECRET; make one with: openssl rand -hex 32"
        )
    if len(text) < MIN_SECRET_BYTES:
        words = f"the secret in {where} has fewer than {MIN_SECRET_BYTES} bytes"
        raise ConfigError(words)
    return text

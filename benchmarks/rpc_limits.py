"""What no call between two processes can be faster than: bare sockets, a bare copy."""

from __future__ import annotations

import datetime
import ipaddress
import os
import pickle
import socket
import ssl
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rpc_load as load

_HOST = "127.0.0.1"
# Whether pickled arguments follow, or the bytes of an array; and how many bytes.
_HEADER = struct.Struct("<?Q")


# --- Trials ---------------------------------------------------------------------------


def unix(**arguments: Any) -> dict[str, Any]:
    """A bare Unix socket with pickle; a trial."""
    return load.served(_serve, _connect, arguments, None)


def tls(*, pems: Mapping[str, str], **arguments: Any) -> dict[str, Any]:
    """Bare TLS sockets with pickle; a trial."""
    return load.served(_serve, _connect, arguments, dict(pems))


def memcpy(*, sizes: list[str]) -> dict[str, Any]:
    """A copy within one process, into memory that is there; a trial."""
    memory = {load.SIZES[name]: np.zeros(load.SIZES[name], np.uint8) for name in sizes}

    def take(array: np.ndarray) -> int:
        copy = memory[array.nbytes]
        np.copyto(copy, array)
        return int(copy[-1])

    for copy in memory.values():
        copy.fill(2)  # Now it has its pages.
    return {"rates": load.transfer_rates(take, sizes)}


# --- Bare sockets ---------------------------------------------------------------------


class _Calls:
    """Calls over a socket, each a message and its answer."""

    def __init__(self, sock: socket.socket):
        self._sock = sock

    def echo(self, value: Any) -> Any:
        message = pickle.dumps(("echo", (value,)), 5)
        self._sock.sendall(_HEADER.pack(True, len(message)) + message)
        return pickle.loads(_receive(self._sock)[1])

    def take(self, array: np.ndarray) -> int:
        self._sock.sendall(_HEADER.pack(False, array.nbytes))
        self._sock.sendall(array.data)
        return pickle.loads(_receive(self._sock)[1])


def _serve(pipe: Connection, pems: Mapping[str, str] | None) -> None:
    """The process of the service."""
    if pems is None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"\0benchmark-{os.getpid()}")
        listener.listen()
        pipe.send((listener.getsockname(), None))
        sock, _ = listener.accept()
    else:
        listener = socket.create_server((_HOST, 0))
        pipe.send((listener.getsockname(), pems))
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock = _context(ssl.PROTOCOL_TLS_SERVER, pems).wrap_socket(
            sock, server_side=True
        )
    memory = np.zeros(0, np.uint8)
    with listener, sock:
        while True:
            try:
                is_pickled, message = _receive(sock, memory)
            except EOFError:
                return
            if is_pickled:
                _, (value,) = pickle.loads(message)
            else:
                memory = np.frombuffer(message, np.uint8)
                value = int(memory[-1])
            answer = pickle.dumps(value, 5)
            sock.sendall(_HEADER.pack(True, len(answer)) + answer)


@contextmanager
def _connect(address: tuple[Any, Mapping[str, str] | None]) -> Iterator[_Calls]:
    where, pems = address
    if pems is None:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(where)
    else:
        sock = socket.create_connection(where)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = _context(ssl.PROTOCOL_TLS_CLIENT, pems)
        sock = context.wrap_socket(sock, server_hostname=_HOST)
    with sock:
        yield _Calls(sock)


def _receive(
    sock: socket.socket, memory: np.ndarray | None = None
) -> tuple[bool, memoryview]:
    """A message; an array of the size of the one before arrives in its memory.

    Raises:
      EOFError: the other side has closed the socket.
    """
    is_pickled, num_bytes = _HEADER.unpack(_fill(sock, bytearray(_HEADER.size)))
    if memory is not None and not is_pickled and memory.nbytes == num_bytes:
        return is_pickled, _fill(sock, memory)
    return is_pickled, _fill(sock, bytearray(num_bytes))


def _fill(sock: socket.socket, memory: bytearray | np.ndarray) -> memoryview:
    view, num_received = memoryview(memory), 0
    while num_received < len(view):
        num_more = sock.recv_into(view[num_received:])
        if num_more == 0:
            raise EOFError
        num_received += num_more
    return view


# --- Certificates ---------------------------------------------------------------------


def make_pems() -> dict[str, str]:
    """A key and its certificate, which both ends of a connection have and demand."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmark")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(_HOST))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    return {
        "key": key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
    }


def _context(protocol: int, pems: Mapping[str, str]) -> ssl.SSLContext:
    """As acmelike's: TLS 1.3, and each side shows its certificate."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=pems["certificate"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "identity.pem"
        file.write_text(pems["certificate"] + pems["key"])
        context.load_cert_chain(file)
    return context

"""The trial of pyzmq in the benchmark of calls: requests over a Unix socket."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import zmq

from benchmarks import rpc_load as load


def calls(**arguments: Any) -> dict[str, Any]:
    """What is measured of all sides; a trial."""
    return load.served(_serve, _connect, arguments)


class _Calls:
    def __init__(self, sock: zmq.Socket):
        self._sock = sock

    def echo(self, value: Any) -> Any:
        self._sock.send(pickle.dumps(("echo", value), 5))
        return pickle.loads(self._sock.recv())

    def take(self, array: np.ndarray) -> int:
        self._sock.send(pickle.dumps(("take", None), 5), zmq.SNDMORE)
        self._sock.send(array, copy=False)
        return pickle.loads(self._sock.recv())


@contextmanager
def _connect(address: str) -> Iterator[_Calls]:
    with zmq.Context() as context, context.socket(zmq.REQ) as sock:
        sock.connect(address)
        yield _Calls(sock)


def _serve(pipe: Connection) -> None:
    """The process of the service."""
    with zmq.Context() as context, context.socket(zmq.REP) as sock:
        address = f"ipc://@benchmark-{os.getpid()}"
        sock.bind(address)
        pipe.send(address)
        load.exit_at_end(pipe)
        while True:
            method, value = pickle.loads(sock.recv())
            if method == "take":
                value = int(np.frombuffer(sock.recv(copy=False).buffer, np.uint8)[-1])
            sock.send(pickle.dumps(value, 5))

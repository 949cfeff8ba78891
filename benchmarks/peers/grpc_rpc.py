"""The trials of gRPC in the benchmark of calls: pickles, and arrays as their bytes."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import grpc
import numpy as np

from benchmarks import rpc_load as load

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]
# Of 1, 4 and 32 threads, 4 serve 32 clients fastest.
_NUM_THREADS = 4


def calls(*, pems: Mapping[str, str] | None, **arguments: Any) -> dict[str, Any]:
    """What is measured of all sides, with mutual TLS if there are keys; a trial."""
    return load.served(_serve, _connect, arguments, pems)


def clients(*, num_clients: int, seconds: float) -> dict[str, Any]:
    """How many calls each of many callers makes, in a process each; a trial."""
    with load.process(_serve, None) as server:
        counts = load.counts_of_clients(
            _connect, server.recv(), num_clients=num_clients, seconds=seconds
        )
    return load.shares(counts, seconds)


class _Calls:
    def __init__(self, channel: grpc.Channel):
        self._echo = channel.unary_unary("/service/echo")
        self._take = channel.unary_unary("/service/take")

    def echo(self, value: Any) -> Any:
        return pickle.loads(self._echo(pickle.dumps(value, 5)))

    def take(self, array: np.ndarray) -> int:
        return pickle.loads(self._take(array.tobytes()))


@contextmanager
def _connect(address: tuple[str, Mapping[str, str] | None]) -> Iterator[_Calls]:
    where, pems = address
    if pems is None:
        channel = grpc.insecure_channel(where, _OPTIONS)
    else:
        key, certificate = pems["key"].encode(), pems["certificate"].encode()
        credentials = grpc.ssl_channel_credentials(certificate, key, certificate)
        channel = grpc.secure_channel(where, credentials, _OPTIONS)
    with channel:
        yield _Calls(channel)


def _echo(message: bytes, context: grpc.ServicerContext) -> bytes:
    return pickle.dumps(pickle.loads(message), 5)


def _take(message: bytes, context: grpc.ServicerContext) -> bytes:
    return pickle.dumps(int(np.frombuffer(message, np.uint8)[-1]), 5)


def _serve(pipe: Connection, pems: Mapping[str, str] | None) -> None:
    """The process of the service."""
    server = grpc.server(ThreadPoolExecutor(_NUM_THREADS), options=_OPTIONS)
    methods = {
        "echo": grpc.unary_unary_rpc_method_handler(_echo),
        "take": grpc.unary_unary_rpc_method_handler(_take),
    }
    handler = grpc.method_handlers_generic_handler("service", methods)
    server.add_generic_rpc_handlers((handler,))
    if pems is None:
        address = f"unix-abstract:benchmark-{os.getpid()}"
        server.add_insecure_port(address)
    else:
        key, certificate = pems["key"].encode(), pems["certificate"].encode()
        credentials = grpc.ssl_server_credentials(
            [(key, certificate)], certificate, require_client_auth=True
        )
        address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()
    pipe.send((address, pems))
    load.wait_for_end(pipe)
    server.stop(None)

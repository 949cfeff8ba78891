"""Calls an exposed node from Python without acmelike; docs/wire.md is all it knows.

    python client.py endpoint.json METHOD ARGUMENT ...

with arguments in JSON. `endpoint.json` is `dataclasses.asdict(run.endpoint(handle))`.
It needs the standard library only, so that it can be read, and copied, as it is.
"""

import hmac
import itertools
import json
import os
import socket
import ssl
import struct
import sys
import zlib
from typing import Any, NamedTuple

CALL, CANCEL, RESULT, ERROR = range(4)
HEADER = struct.Struct("<I2sBBIiQqI")


class Array(NamedTuple):
    """Numbers in rows: a type such as "<f4", the sizes of the axes, and the bytes."""

    dtype: str
    shape: list[int]
    data: bytes


class CallFailed(Exception):
    """The node refused a call, or its method raised."""

    def __init__(self, kind: str, message: str):
        super().__init__(f"{kind}: {message}")
        self.kind, self.message = kind, message


class Client:
    """A connection to an exposed node, for one thread."""

    def __init__(self, endpoint: dict[str, Any], seconds: float | None = None):
        self.node = endpoint["node"]
        self.numbers = itertools.count()
        self.outcomes: dict[int, tuple[int, Any]] = {}
        where = endpoint["ip"], endpoint["port"]
        self.sock: Any = socket.create_connection(where, timeout=seconds)
        try:
            if endpoint["name"]:
                context = ssl.create_default_context(cadata=endpoint["authority"])
                context.minimum_version = ssl.TLSVersion.TLSv1_3
                self.sock = context.wrap_socket(
                    self.sock, server_hostname=endpoint["name"]
                )
            self._greet(bytes.fromhex(endpoint["key"]))
        except BaseException:
            self.sock.close()
            raise

    def _greet(self, key: bytes) -> None:
        first, nonce = self._receive(40), os.urandom(32)
        if first[:8] != b"aLexpose":
            raise ConnectionError("no exposed node listens there")

        def proof(words: bytes) -> bytes:
            return hmac.digest(key, words + nonce + first[8:], "sha256")

        self.sock.sendall(b"aLcaller" + nonce + proof(b"aLcaller"))
        expected = b"aLcallee" + proof(b"aLcallee")
        if not hmac.compare_digest(self._receive(40), expected):
            raise ConnectionError("the other end does not have the node's key")

    def call(self, method: str, *args: Any, seconds: float | None = None, **kw: Any):
        """Calls a method and waits for its outcome."""
        return self.result(self.start(method, *args, seconds=seconds, **kw))

    def start(self, method: str, *args: Any, seconds: float | None = None, **kw: Any):
        """Sends a call; returns its number."""
        number = next(self.numbers)
        self._send(CALL, number, [self.node, method, list(args), kw, seconds])
        return number

    def result(self, number: int) -> Any:
        """The outcome of a call that was started."""
        while number not in self.outcomes:
            kind, answered, value = self._read()
            self.outcomes[answered] = kind, value
        kind, value = self.outcomes.pop(number)
        if kind == ERROR:
            raise CallFailed(value["type"], value["message"])
        return value

    def cancel(self, number: int) -> None:
        """Withdraws a call that waits at the node; its outcome then says so."""
        self._send(CANCEL, number, None)

    def close(self) -> None:
        self.sock.close()

    def _send(self, kind: int, number: int, value: Any) -> None:
        buffers: list[bytes] = []
        body = pack(value, buffers)
        rest = struct.pack(
            *("<2sBBIiQqI", b"aD", 4, kind, len(buffers), -1, number, len(body), 0)
        )
        rest += struct.pack(f"<{len(buffers)}q", *map(len, buffers)) + body
        message = struct.pack("<I", zlib.crc32(rest)) + rest + bytes(-len(body) % 64)
        for buffer in buffers:
            message += buffer + bytes(-len(buffer) % 64)
        self.sock.sendall(message)

    def _read(self) -> tuple[int, int, Any]:
        head = self._receive(HEADER.size)
        checksum, magic, version, kind, num_buffers, _, number, length, _ = (
            HEADER.unpack(head)
        )
        if (magic, version) != (b"aD", 4):
            raise ConnectionError("what arrives is no frame of version 4")
        sizes = self._receive(8 * num_buffers)
        lengths = [length, *struct.unpack(f"<{num_buffers}q", sizes)]
        body, *buffers = (self._receive(n + -n % 64)[:n] for n in lengths)
        if zlib.crc32(head[4:] + sizes + body) != checksum:
            raise ConnectionError("a frame has changed on its way")
        return kind, number, unpack(body, buffers)

    def _receive(self, num_bytes: int) -> bytes:
        received = bytearray()
        while len(received) < num_bytes:
            more = self.sock.recv(min(num_bytes - len(received), 2**20))
            if not more:
                raise ConnectionError("the node has closed the connection")
            received += more
        return bytes(received)


# --- MessagePack, as far as it is used ------------------------------------------------


def pack(value: Any, buffers: list[bytes] | None = None) -> bytes:
    """A value as MessagePack; the bytes of its arrays are added to `buffers`."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return struct.pack(">Bq", 0xD3, value)
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        text = value.encode()
        return struct.pack(">BI", 0xDB, len(text)) + text
    if isinstance(value, bytes):
        return struct.pack(">BI", 0xC6, len(value)) + value
    if isinstance(value, Array):
        assert buffers is not None
        described = pack([len(buffers), value.dtype, list(value.shape)])
        buffers.append(value.data)
        return struct.pack(">BIb", 0xC9, len(described), 1) + described
    if isinstance(value, (list, tuple)):
        parts = [pack(part, buffers) for part in value]
        return struct.pack(">BI", 0xDD, len(parts)) + b"".join(parts)
    if isinstance(value, dict):
        parts = [pack(key) + pack(part, buffers) for key, part in value.items()]
        return struct.pack(">BI", 0xDF, len(parts)) + b"".join(parts)
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent")


# What the first byte says: the format of what follows it, if that has one length.
NUMBERS = {
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
    0xCA: ">f",
    0xCB: ">d",
}
# Otherwise: what it is, and the format of its length.
LENGTHS = {
    0xC4: ("bytes", ">B"),
    0xC5: ("bytes", ">H"),
    0xC6: ("bytes", ">I"),
    0xD9: ("text", ">B"),
    0xDA: ("text", ">H"),
    0xDB: ("text", ">I"),
    0xDC: ("list", ">H"),
    0xDD: ("list", ">I"),
    0xDE: ("map", ">H"),
    0xDF: ("map", ">I"),
    0xC7: ("extension", ">B"),
    0xC8: ("extension", ">H"),
    0xC9: ("extension", ">I"),
}


def unpack(body: bytes, buffers: list[bytes]) -> Any:
    """The value that a body is."""
    at = 0

    def take(num_bytes: int) -> bytes:
        nonlocal at
        at += num_bytes
        if at > len(body):
            raise ValueError("a body has too few bytes")
        return body[at - num_bytes : at]

    def number(form: str) -> Any:
        return struct.unpack(form, take(struct.calcsize(form)))[0]

    def read() -> Any:
        first = number(">B")
        if first < 0x80:
            return first
        if first >= 0xE0:
            return first - 256
        if first in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[first]
        if first in NUMBERS:
            return number(NUMBERS[first])
        if first < 0xC0:
            kind = "map" if first < 0x90 else "list" if first < 0xA0 else "text"
            length = first & (0x1F if kind == "text" else 0x0F)
        elif 0xD4 <= first <= 0xD8:
            kind, length = "extension", 1 << (first - 0xD4)
        else:
            kind, form = LENGTHS[first]
            length = number(form)
        if kind == "list":
            return [read() for _ in range(length)]
        if kind == "map":
            return {read(): read() for _ in range(length)}
        if kind == "text":
            return take(length).decode()
        if kind == "bytes":
            return take(length)
        assert number(">b") == 1
        index, dtype, shape = unpack(take(length), [])
        return Array(dtype, shape, buffers[index])

    return read()


def main() -> None:
    path, method, *args = sys.argv[1:]
    with open(path) as file:
        client = Client(json.load(file))
    try:
        print(client.call(method, *map(json.loads, args)))
    finally:
        client.close()


if __name__ == "__main__":
    main()

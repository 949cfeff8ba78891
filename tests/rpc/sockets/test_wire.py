"""A caller that knows nothing of acmelike, written from docs/wire.md."""

import hmac
import os
import pickle
import socket
import struct
import zlib

import numpy as np

from tests.rpc.sockets.serving import KEY, serving


class Shop:
    def add(self, items, *, more):
        return items + more

    def fail(self):
        raise ValueError("sold out")


class PlainCaller:
    """Calls over a Unix-domain socket, with the standard library."""

    def __init__(self, path, key):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10.0)
        self.sock.connect(path)
        nonce = os.urandom(32)

        def proof(words):
            return hmac.digest(key, words + nonce + path.encode(), "sha256")

        self.sock.sendall(b"aLcaller" + nonce + proof(b"aLcaller"))
        assert self.receive(40) == b"aLcallee" + proof(b"aLcallee")

    def receive(self, num_bytes):
        received = b""
        while len(received) < num_bytes:
            received += self.sock.recv(num_bytes - len(received))
        return received

    def send(self, kind, number, value):
        body = pickle.dumps(value, 5)
        fields = struct.pack("<2sBBIiQqI", b"aL", 4, kind, 0, -1, number, len(body), 0)
        checked = fields + body
        padding = bytes(-len(body) % 64)
        self.sock.sendall(struct.pack("<I", zlib.crc32(checked)) + checked + padding)

    def read(self):
        """The kind, the number and the value of the next frame."""
        head = self.receive(36)
        checksum, magic, version, kind, num_buffers, slot, number, length, _ = (
            struct.unpack("<I2sBBIiQqI", head)
        )
        assert (magic, version, slot) == (b"aL", 4, -1)
        sizes = self.receive(8 * num_buffers)
        lengths = [length, *struct.unpack(f"<{num_buffers}q", sizes)]
        parts = [self.receive(size + -size % 64)[:size] for size in lengths]
        assert zlib.crc32(head[4:] + sizes + parts[0]) == checksum
        return kind, number, pickle.loads(parts[0], buffers=parts[1:])


def test_a_caller_written_from_the_document_is_answered(tmp_path):
    with serving(Shop(), tmp_path) as served:
        caller = PlainCaller(served.address.path, KEY)
        with caller.sock:
            items, more = np.arange(3.0), np.ones(3)
            caller.send(0, 7, ("store", "add", (items,), {"more": more}, None, "me"))
            kind, number, value = caller.read()
            assert (kind, number, value.tolist()) == (2, 7, [1.0, 2.0, 3.0])
            caller.send(0, 8, ("store", "fail", (), {}, None, "me"))
            kind, number, (pickled, words, traceback, _) = caller.read()
            assert (kind, number, words) == (3, 8, "ValueError: sold out")
            assert isinstance(pickle.loads(pickled), ValueError)
            assert traceback.startswith("Traceback")

"""What is compressed between hosts arrives as it was, and bombs are refused."""

from __future__ import annotations

import random
import socket
import struct
import threading
import zlib

import numpy as np
import pytest
import zstandard

from acmelike import start, when
from acmelike.core.status import EdgeMetrics, resident_bytes
from acmelike.errors import RpcError
from acmelike.rpc import Request
from acmelike.rpc.sockets import compression
from acmelike.rpc.sockets import frames as frames_module
from acmelike.rpc.sockets.data_codec import DATA
from acmelike.rpc.sockets.frames import (
    CALL,
    PACKED,
    RESULT,
    FrameReader,
    encode,
    make_frame,
)
from acmelike.rpc.sockets.pickle_codec import make_payload
from acmelike.rpc.sockets.shared_memory import BlockPool, MemoryBudget, SharedMemory
from acmelike.rpc.sockets.stream import Stream
from tests.rpc.sockets.serving import FAR, NEAR, mutated, serving
from tests.rpc.sockets.test_frames import ARRAYS

IMAGES = np.kron(np.eye(64, dtype=np.uint8), np.ones((8, 8), np.uint8)).copy()
NOISE = np.random.default_rng(0).integers(256, size=2**18, dtype=np.uint8)


def packed(value, kind=RESULT):
    """A value as one frame, compressed if that is worth it."""
    return b"".join(make_frame(kind, 7, make_payload(value), pack=True).pieces)


def is_packed(frame):
    return bool(frame[7] & PACKED)


def read(data, *, codec=None, shared=None):
    """The frame that these bytes are, if the other end then closes."""
    here, there = socket.socketpair()
    options = {} if codec is None else {"codec": codec}
    with here, there:
        writer = threading.Thread(target=_send, args=(here, data))
        writer.start()
        stream = Stream(there)
        reader = FrameReader(stream, shared, **options)
        try:
            while True:
                try:
                    return reader.read()
                except BlockingIOError:
                    stream.wait(10.0)
        finally:
            there.close()
            writer.join()


def _send(sock, data):
    try:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # It was refused before its end.


def announcing(size, content, *, num_packed=None, slot=-1):
    """A frame whose body is announced with a size, and what is sent of it."""
    size_packed = len(content) if num_packed is None else num_packed
    fields = struct.pack("<2sBBIiQqI", b"aL", 4, RESULT | PACKED, 0, slot, 7, size, 0)
    checked = fields + struct.pack("<Q", size_packed) + content
    padding = bytes(-len(content) % 64)
    return struct.pack("<I", zlib.crc32(checked)) + checked + padding


def zeros(num_bytes):
    """Zeros, compressed."""
    packer = zstandard.ZstdCompressor(level=1).compressobj(size=num_bytes)
    part = bytes(2**20)
    sent = [packer.compress(part) for _ in range(num_bytes // len(part))]
    return b"".join([*sent, packer.flush()])


# --- Round trips ------------------------------------------------------------------


@pytest.mark.parametrize("name", ARRAYS)
def test_values_of_every_kind_arrive_as_they_were(name):
    array = ARRAYS[name]
    value = {"first": array, "text": "x" * 2000, "rest": [array, None, 1.5]}
    frame = packed(value)
    assert is_packed(frame)
    arrived = read(frame).value
    assert arrived["text"] == value["text"] and arrived["rest"][1:] == [None, 1.5]
    for found in (arrived["first"], arrived["rest"][0]):
        assert found.dtype == array.dtype and found.shape == array.shape
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "size", [0, 1, 63, 64, 65, 900, 1100, 2**14, 2**17 - 1, 2**17, 2**20 + 3]
)
def test_sizes_of_every_kind_arrive_as_they_were(size):
    chance = np.random.default_rng(size)
    value = [
        bytes(size),
        np.arange(size, dtype=np.float32),
        chance.integers(3, size=size, dtype=np.uint8),
    ]
    found = read(packed(value)).value
    assert found[0] == value[0]
    for array, expected in zip(found[1:], value[1:], strict=True):
        np.testing.assert_array_equal(array, expected)
        assert not array.flags.writeable
        assert array.ctypes.data % 64 == 0 or size < 2**17


def test_what_is_small_or_does_not_shrink_goes_as_it_is():
    for value in ({"action": 1}, np.zeros(100), NOISE, NOISE.view(np.float32)):
        frame = packed(value)
        assert not is_packed(frame)
        assert frame == b"".join(encode(RESULT, 7, value).pieces)


def test_what_is_too_large_to_be_packed_goes_as_it_is(monkeypatch):
    monkeypatch.setattr(compression, "MAX_BYTES", IMAGES.nbytes)
    assert not is_packed(packed(IMAGES))


def test_frames_of_one_host_and_of_other_programs_are_never_packed():
    frame = packed(IMAGES)
    with pytest.raises(RpcError, match=f"kind {RESULT + PACKED} cannot come here"):
        read(frame, shared=SharedMemory())
    data = frame[:4] + b"aD" + frame[6:7] + bytes([CALL | PACKED]) + frame[8:]
    with pytest.raises(RpcError, match=f"kind {CALL + PACKED} cannot come here"):
        read(data, codec=DATA)


def test_of_a_stored_value_no_second_copy_is_kept():
    payload = make_payload(np.zeros(2**20, np.uint8))
    assert BlockPool(MemoryBudget(2**30, 100)).store(payload)
    for _ in range(2):
        found = read(b"".join(make_frame(RESULT, 7, payload, pack=True).pieces))
        assert found.num_bytes < 2**12 and not found.value.any()
    assert payload.packed is None


# --- Bombs ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2**31, 2**36, 2**62, -1])
def test_a_size_beyond_the_limits_is_refused_before_memory_is_taken(size):
    before = resident_bytes()
    with pytest.raises(RpcError, match=r"packed, and cannot be|says what cannot be"):
        read(announcing(size, zeros(2**20)))
    assert resident_bytes() - before < 2**24


@pytest.mark.parametrize(
    ("size", "content"),
    [
        (2**20, zeros(2**28)),  # It says little and has much,
        (2**30, zeros(2**20)),  # much and has little,
        (2**30, b"\x28\xb5\x2f\xfd" + bytes(60)),  # much and has nothing.
        (2**20, zeros(2**20)[:-9]),
        (2**20, b"no frame of zstd"),
    ],
)
def test_a_message_takes_no_more_memory_than_it_says_and_has(size, content):
    before = resident_bytes()
    with pytest.raises(RpcError, match=r"decompressed|has other bytes than it says"):
        read(announcing(size, content))
    assert resident_bytes() - before < 2**24


def test_a_message_that_needs_much_memory_to_be_unpacked_is_refused():
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    content = packer.compress(bytes(2**28)) + packer.flush()
    with pytest.raises(RpcError, match="cannot be decompressed"):
        read(announcing(2**28, content))


@pytest.mark.parametrize("wrong", [{"num_packed": 0}, {"num_packed": 2**20}])
def test_a_packed_size_that_cannot_be_is_refused(wrong):
    with pytest.raises(RpcError, match="says that it is packed, and cannot be"):
        read(announcing(2**20, zeros(2**20), **wrong))


def test_changed_bytes_are_refused_or_unpacked_within_bounds():
    """Behind the checksum: of those who would send what they like."""
    chance, before = random.Random(0), resident_bytes()
    packer = zstandard.ZstdCompressor(level=1)
    contents = [packer.compress(part) for part in (IMAGES.tobytes(), bytes(2**20))]
    num_refused = 0
    for _ in range(2_000):
        content = mutated(chance.choice(contents), chance)
        try:
            found = compression.unpack(memoryview(content), 2**18)
        except RpcError:
            num_refused += 1
        else:
            assert len(found) == 2**18
    assert 0 < num_refused < 2_000
    assert resident_bytes() - before < 2**25


def test_a_frame_that_was_changed_is_not_unpacked(monkeypatch):
    frame = bytearray(packed(IMAGES))
    frame[100] ^= 1
    monkeypatch.delattr(compression, "unpack")
    with pytest.raises(RpcError, match="has changed on its way"):
        read(bytes(frame))


# --- Over connections -------------------------------------------------------------


class Store:
    """Gives and takes arrays."""

    def __init__(self):
        self.news = None

    def echo(self, array):
        return array

    def _blocks_newer(self):
        return None if self.news is not None else "there is nothing new"

    @when(_blocks_newer)
    def newer(self):
        return self.news

    def publish(self, news):
        self.news = news


@pytest.mark.parametrize(
    ("credentials", "pack", "share"),
    [(FAR, True, 0.1), (FAR, False, 1.0), (NEAR, True, 1.0)],
    ids=["far", "far, not asked for", "near"],
)
def test_fewer_bytes_are_sent_and_counted(tmp_path, credentials, pack, share):
    with serving(Store(), tmp_path, credentials, pack) as served:
        edge, request = EdgeMetrics(), Request("echo", (IMAGES,), {}, None, "me")
        call = served.channel.submit("store", request, edge, pack)
        np.testing.assert_array_equal(call.result(), IMAGES)
        status = served.server.method_status()["echo"]
        for num_bytes in (status.num_bytes_in, status.num_bytes_out):
            assert 0 < num_bytes < share * (IMAGES.nbytes + 1000)
            assert share < 1 or num_bytes > IMAGES.nbytes
        assert edge.num_bytes == status.num_bytes_in + status.num_bytes_out
        assert served.client.echo("x") == "x"


def test_who_publishes_does_not_compress(tmp_path, monkeypatch):
    """And what several get at once is compressed once."""
    threads, pack = [], compression.pack

    def note_thread(*args):
        threads.append(threading.current_thread().name)
        return pack(*args)

    with serving(Store(), tmp_path, FAR, pack=True) as served:
        waiting = [start(served.client.newer) for _ in range(3)]
        while len(served.server.parked()) < 3:
            pass
        monkeypatch.setattr(frames_module.compression, "pack", note_thread)
        served.server.submit(Request("publish", (IMAGES,), {}, None, "outside"))
        for call in waiting:
            np.testing.assert_array_equal(call.result(), IMAGES)
    assert threads == ["sender of answers"]

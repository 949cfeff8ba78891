"""Large arrays over one connection, by shared memory: both ends in one process."""

from __future__ import annotations

import errno
import gc
import os
import re
import socket
import sys
import threading

import jax
import numpy as np
import pytest

from acmelike.rpc.sockets import shared_memory
from acmelike.rpc.sockets.frames import RESULT, FrameReader, encode
from acmelike.rpc.sockets.shared_memory import (
    LARGE_BYTES,
    NUM_SLOTS,
    BlockPool,
    MemoryBudget,
    SharedMemory,
    padded,
    write,
)
from acmelike.rpc.sockets.stream import Stream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="run on Linux")

SIZE = 2 * LARGE_BYTES
MAX_BYTES, MAX_FILES = 64 * SIZE, 200


class End:
    """One end of a connection.

    Attributes:
      budget: what it may take.
      num_sent: bytes of the last message that went through the socket.
    """

    def __init__(self, sock, most_bytes=MAX_BYTES):
        self.stream, self.budget = Stream(sock), MemoryBudget(most_bytes, MAX_FILES)
        self.shared = SharedMemory(BlockPool(self.budget))
        self.reader = FrameReader(self.stream, self.shared)
        self.num_sent = 0

    def encode(self, value):
        frame = encode(RESULT, 0, value, self.shared)
        self.num_sent = sum(len(piece) for piece in frame.pieces)
        return frame.pieces

    def close(self):
        self.shared.close()
        self.stream.close()

    def has_given_all_back(self):
        """Whether nothing is taken of its budget."""
        is_all = self.budget.take(MAX_BYTES, MAX_FILES)
        return is_all and self.budget.take(-MAX_BYTES, -MAX_FILES)


@pytest.fixture
def make_ends():
    """Makes the two ends of a connection, and closes what was made."""
    made = []

    def make(**options):
        made.extend(End(sock, **options) for sock in socket.socketpair())
        return made[-2:]

    yield make
    for end in made:
        end.close()


@pytest.fixture
def ends(make_ends):
    return make_ends()


def deliver(source, target, pieces):
    """The value of a frame, after it went through the socket."""
    source.stream.send(pieces)
    while True:
        try:
            return target.reader.read().value
        except BlockingIOError:
            source.stream.flush()


def send(source, target, value):
    """A value as the other end has it."""
    return deliver(source, target, source.encode(value))


def warm_up(source, target, size=SIZE):
    """Lets the source have a slot: a size has to come again, and to be mapped."""
    for _ in range(2):
        send(source, target, np.zeros(size, np.uint8))
    send(target, source, None)


def is_shared(end):
    """Whether the last message of the end went by shared memory."""
    return end.num_sent < LARGE_BYTES


def numbers(seed=0, size=SIZE):
    return np.random.default_rng(seed).integers(256, size=size, dtype=np.uint8)


def num_files():
    return len(os.listdir("/proc/self/fd"))


# --- What arrives ---------------------------------------------------------------------


def test_arrays_arrive_equal_aligned_and_read_only(ends):
    warm_up(*ends, size=8 * SIZE)
    sent = {
        "flat": numbers(1),
        "odd": numbers(2, SIZE + 3),
        "small": numbers(3, 5),
        "floats": np.random.default_rng(4).normal(size=(3, 100, 301)),
        "fortran": np.asfortranarray(numbers(5).reshape(2, -1)),
        "strided": numbers(6)[::2],
        "bytes": bytes(SIZE),
        "words": "words",
    }
    arrived = send(*ends, sent)
    # Only what is no array of adjoining bytes goes through the socket, in the pickle.
    assert ends[0].num_sent < SIZE // 2 + SIZE + 2000
    for name in ("flat", "odd", "small", "floats", "fortran", "strided"):
        np.testing.assert_array_equal(arrived[name], sent[name])
        assert arrived[name].dtype == sent[name].dtype
    assert arrived["bytes"] == sent["bytes"]
    assert arrived["words"] == sent["words"]
    for name in ("flat", "odd", "floats", "fortran"):
        assert arrived[name].ctypes.data % 64 == 0
        with pytest.raises(ValueError, match="read-only"):
            arrived[name][0] = 1
        with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
            arrived[name].flags.writeable = True


def test_later_writes_of_the_sender_are_not_seen(ends):
    warm_up(*ends)
    array = numbers()
    pieces = ends[0].encode(array)
    assert is_shared(ends[0])
    array[:] = 0
    arrived = deliver(*ends, pieces)
    np.testing.assert_array_equal(arrived, numbers())


def test_both_ends_lend(ends):
    one, other = ends
    held, num_shared = [], {one: 0, other: 0}
    for seed in range(24):
        held.append(send(one, other, numbers(seed)))
        num_shared[one] += is_shared(one)
        one, other = other, one
    assert min(num_shared.values()) > 3
    for seed, arrived in enumerate(held):
        np.testing.assert_array_equal(arrived, numbers(seed))


def test_the_bytes_of_a_frame_are_counted_wherever_they_are(ends):
    array = numbers()
    streamed = encode(RESULT, 0, array, ends[0].shared).num_bytes
    warm_up(*ends)
    frame = encode(RESULT, 0, array, ends[0].shared)
    assert sum(len(piece) for piece in frame.pieces) < LARGE_BYTES
    assert frame.num_bytes == streamed > SIZE


# --- How long memory is lent ----------------------------------------------------------


def test_a_slot_is_used_again_when_nothing_views_it(ends):
    source, target = ends
    warm_up(*ends)
    addresses, files = set(), num_files()
    for seed in range(1000):
        arrived = send(*ends, numbers(seed, SIZE - seed))
        assert is_shared(source)
        assert arrived[-1] == numbers(seed, SIZE - seed)[-1]
        addresses.add(arrived.ctypes.data)
        del arrived
        send(target, source, None)
    assert len(addresses) == 1
    assert num_files() == files


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array[5:7],
        lambda array: array.reshape(2, -1).T.view(np.int8),
        lambda array: memoryview(array)[3:],
        lambda array: np.lib.stride_tricks.as_strided(array, (9,), (2,)),
        lambda array: np.frombuffer(array, np.float32),
        jax.device_put,
        lambda array: jax.numpy.asarray(array).reshape(2, -1),
    ],
    ids=["slice", "views", "memoryview", "strides", "buffer", "jax", "jax reshaped"],
)
def test_a_slot_is_lent_as_long_as_anything_views_it(ends, view):
    source, target = ends
    warm_up(*ends)
    arrived = send(*ends, numbers())
    assert is_shared(source)
    kept = view(arrived)
    expected = np.array(kept)
    del arrived
    gc.collect()
    for seed in range(5):
        send(target, source, None)
        send(*ends, numbers(seed + 1))
    np.testing.assert_array_equal(np.asarray(kept), expected)


def test_an_array_that_jax_may_alias_ends_its_lease_with_jax(ends):
    source, target = ends
    warm_up(*ends)
    held = [jax.device_put(send(*ends, numbers()))]
    held[0].block_until_ready()
    held.clear()
    gc.collect()
    send(target, source, None)
    send(*ends, numbers())
    assert is_shared(source)


def test_jax_does_not_write_where_it_cannot(ends):
    warm_up(*ends)
    arrived = send(*ends, numbers())
    assert is_shared(ends[0])
    given = jax.device_put(arrived)
    # Memory that is given away is written, unless it is somebody else's.
    changed = jax.jit(lambda array: array.at[3].add(1), donate_argnums=0)(given)
    assert changed[3] == np.uint8(arrived[3] + 1)
    np.testing.assert_array_equal(arrived, numbers())


def test_who_holds_everything_does_not_stop_the_writer(make_ends):
    source, target = make_ends(most_bytes=2 * NUM_SLOTS * SIZE)
    held = []
    for seed in range(3 * NUM_SLOTS):
        held.append(send(source, target, numbers(seed)))
        send(target, source, None)
    assert not is_shared(source)
    for seed, arrived in enumerate(held):
        np.testing.assert_array_equal(arrived, numbers(seed))
    del held, arrived
    for _ in range(2):
        send(target, source, None)
        held = []
        for seed in range(NUM_SLOTS):
            held.append(send(source, target, numbers(seed)))
            assert is_shared(source)
        while held:
            held.pop()
            send(target, source, None)


def test_larger_arrays_replace_memory_that_has_become_too_small(ends):
    source, target = ends
    for size in (SIZE, 2 * SIZE, 4 * SIZE):
        warm_up(*ends, size=size)
        arrived = send(*ends, numbers(size=size))
        assert is_shared(source)
        np.testing.assert_array_equal(arrived, numbers(size=size))
        del arrived
        send(target, source, None)
    assert source.budget.take(MAX_BYTES - 5 * SIZE, MAX_FILES - 2)


def test_a_lost_connection_gives_all_back_and_arrays_stay(make_ends):
    files = num_files()
    source, target = make_ends()
    warm_up(source, target)
    arrived = send(source, target, numbers())
    assert is_shared(source)
    assert not source.has_given_all_back() and not target.has_given_all_back()
    source.close()
    target.close()
    assert source.has_given_all_back() and target.has_given_all_back()
    np.testing.assert_array_equal(arrived, numbers())
    del arrived
    gc.collect()
    assert num_files() == files


# --- Where there is none --------------------------------------------------------------


def refuse(number):
    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("name", "replacement"),
    [
        ("memfd_create", None),
        ("memfd_create", refuse(errno.EMFILE)),
        ("posix_fallocate", refuse(errno.ENOSPC)),
        ("open", refuse(errno.EMFILE)),
    ],
    ids=["no memfd", "no files left", "no memory left", "the reader cannot map"],
)
def test_without_shared_memory_arrays_are_streamed(
    monkeypatch, ends, name, replacement
):
    if replacement is None:
        monkeypatch.delattr(os, name)
    else:
        monkeypatch.setattr(os, name, replacement)
    source, target = ends
    files = num_files()
    for seed in range(10):
        arrived = send(*ends, numbers(seed))
        np.testing.assert_array_equal(arrived, numbers(seed))
        assert not is_shared(source)
        send(target, source, None)
    # What its reader cannot map stays on offer.
    assert num_files() <= files + 2
    assert target.has_given_all_back()
    source.close()
    assert source.has_given_all_back()


@pytest.mark.parametrize(
    ("end", "num_bytes", "num_maps"),
    [(0, MAX_BYTES - SIZE + 1, 0), (0, 0, MAX_FILES), (1, 0, MAX_FILES)],
    ids=["bytes", "maps", "the reader's maps"],
)
def test_what_others_of_the_process_took_is_not_there(ends, end, num_bytes, num_maps):
    source, target = ends
    assert ends[end].budget.take(num_bytes, num_maps)
    for seed in range(4):
        arrived = send(*ends, numbers(seed))
        assert not is_shared(source)
        np.testing.assert_array_equal(arrived, numbers(seed))
        send(target, source, None)
    ends[end].budget.take(-num_bytes, -num_maps)
    if end == 0:  # A writer tries again; what a reader could not map stays unused.
        send(*ends, numbers())
        send(target, source, None)
        send(*ends, numbers())
        assert is_shared(source)


def test_what_came_once_takes_no_memory(ends):
    send(*ends, numbers())
    assert ends[0].has_given_all_back()


@pytest.mark.parametrize("kind", ["file", "fifo"])
def test_a_path_that_has_become_another_is_not_mapped(tmp_path, ends, kind):
    source, target = ends
    send(*ends, numbers())
    pieces = source.encode(numbers())
    found = re.search(rb"/proc/\d+/fd/(\d+)", b"".join(pieces))
    offered = int(found.group(1))
    # Its writer gives up the memory, and opens something else.
    source.shared.close()
    path = tmp_path / kind
    if kind == "file":
        path.write_bytes(bytes(SIZE))
    else:
        os.mkfifo(path)  # Who opens it waits for who writes, if it does wait.
    other = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if other != offered:
        os.dup2(other, offered)
        os.close(other)
    try:
        np.testing.assert_array_equal(deliver(*ends, pieces), numbers())
        assert target.has_given_all_back()
    finally:
        os.close(offered)


@pytest.mark.parametrize("num_cores", [1, 2, 3, 64])
def test_a_large_array_is_copied_in_parts(monkeypatch, num_cores):
    monkeypatch.setattr(shared_memory, "_SPLIT_BYTES", 100)
    monkeypatch.setattr(shared_memory, "num_cores", lambda: num_cores)
    started, refused = [], []
    start = threading.Thread.start

    def start_most(thread):
        if len(started) == 4:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_most)
    arrays = [np.arange(size, dtype=np.uint8) for size in (99, 100, 1001)]
    sizes = [padded(array.nbytes) for array in arrays]
    memory = np.zeros(sum(sizes), np.uint8)
    write([array.data for array in arrays], memory)
    for array, part in zip(
        arrays, np.split(memory, np.cumsum(sizes)[:-1]), strict=True
    ):
        np.testing.assert_array_equal(part[: array.nbytes], array)
        assert not part[array.nbytes :].any()
    # For two of them; this thread copies too.
    assert len(started) + len(refused) == 2 * (min(num_cores, 4) - 1)
    assert bool(refused) == (num_cores == 64)
    assert not any(thread.is_alive() for thread in started)

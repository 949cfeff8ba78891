"""Memory that one process writes and another reads, for large arrays on one host.

A connection's ends lend each other memory in numbered slots. All they need to say is

    writer:  OFFER: slot 3 is this memory      reader:  slot 3 is released (it maps it)
    writer:  a frame, its arrays in slot 3     reader:  slot 3 is released (all dropped)

so a slot is written only while nobody views it, and one that the reader cannot map is
never written. What is released goes in the header of whatever is sent next. The memory
is anonymous (`memfd`), found by its reader in `/proc`, and gone with its last process.
Whatever is missing or exhausted, arrays then go through the connection's stream.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

# Arrays begin at multiples of this, which JAX and SIMD code want.
ALIGNMENT = 64
# From here on an array is large: smaller ones are as fast through a socket.
LARGE_BYTES = 2**17
# Of one connection, each way; the bits of a word.
NUM_SLOTS = 32
# What one process lends, to all others.
MAX_BYTES = 2**29
# Maps of one process, lent and borrowed; each takes a file descriptor, of which many
# systems allow a process 1024.
MAX_MAPS = 256


class Offer(NamedTuple):
    """What its reader needs to map a slot's memory.

    Attributes:
      path: where it can be opened as long as its writer waits for that.
      device, inode: which file it is; without its writer, the path may be another's.
      num_bytes: its size.
    """

    path: str
    device: int
    inode: int
    num_bytes: int


class Limits:
    """What the connections of a process may still take together."""

    def __init__(self, num_bytes: int, num_maps: int):
        self._num_bytes, self._num_maps = num_bytes, num_maps
        self._lock = threading.Lock()

    def take(self, num_bytes: int, num_maps: int) -> bool:
        """Takes so much, if there is so much; less than 0 gives back."""
        with self._lock:
            if num_bytes > self._num_bytes or num_maps > self._num_maps:
                return False
            self._num_bytes -= num_bytes
            self._num_maps -= num_maps
            return True


_limits = Limits(MAX_BYTES, MAX_MAPS)


class Lender:
    """The slots that this end of a connection writes."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._lock = threading.Lock()
        self._slots: list[Bytes] = []
        # Slots that nobody views; the last was released last, and is still in caches.
        self._free: list[int] = []
        # One slot at a time is on offer: none more if the reader cannot map.
        self._offered: tuple[int, int] | None = None
        self._largest = 0
        self._is_closed = False

    def put(self, views: Sequence[memoryview]) -> int | None:
        """Copies what the views hold into a free slot, one behind the other, aligned.

        Returns:
          The slot, or None: no slot that is free is large enough.
        """
        size = sum(padded(view.nbytes) for view in views)
        with self._lock:
            fitting = [s for s in reversed(self._free) if self._slots[s].size >= size]
            if not fitting:
                return None
            slot = min(fitting, key=lambda s: self._slots[s].size)
            self._free.remove(slot)
            memory = self._slots[slot]
        start = 0
        for view in views:
            # NumPy copies without the interpreter's lock.
            memory[start : start + view.nbytes] = np.frombuffer(view, np.uint8)
            start += padded(view.nbytes)
        return slot

    def offer(self, views: Sequence[memoryview]) -> tuple[int, Offer] | None:
        """Makes memory for views such as these and says what to tell the other end.

        Returns:
          A slot and its memory, or None: there may be no more, or as much was never
          needed before; what is sent once, such as a checkpoint, may not come again.
        """
        size = _rounded(sum(padded(view.nbytes) for view in views))
        with self._lock:
            if size > self._largest:
                self._largest = size
                return None
            if self._is_closed or self._offered is not None:
                return None
            # A slot that is free and too small has had its time.
            small = [s for s in self._free if self._slots[s].size < size]
            slot = small[0] if small else len(self._slots)
            if slot == NUM_SLOTS:
                return None
            more_bytes = size - (self._slots[slot].size if small else 0)
            if not self._limits.take(more_bytes, 0 if small else 1):
                return None
            try:
                fd, memory = _make_memory(size)
            except (AttributeError, OSError):
                self._limits.take(-more_bytes, 0 if small else -1)
                return None  # Not on this system, or not now.
            self._offered = slot, fd
            if small:
                self._free.remove(slot)
                self._slots[slot] = memory
            else:
                self._slots.append(memory)
        status = os.fstat(fd)
        path = f"/proc/{os.getpid()}/fd/{fd}"
        return slot, Offer(path, status.st_dev, status.st_ino, size)

    def take_back(self, released: int) -> None:
        """The other end maps, or no longer views, these slots: bit 3 means slot 3."""
        with self._lock:
            if self._is_closed:
                return
            if self._offered is not None and released >> self._offered[0] & 1:
                os.close(self._offered[1])
                self._offered = None
            self._free += [s for s in range(NUM_SLOTS) if released >> s & 1]

    def close(self) -> None:
        """Gives up all slots, of which the other end keeps what it views."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            if self._offered is not None:
                os.close(self._offered[1])
            num_bytes = sum(memory.size for memory in self._slots)
            self._limits.take(-num_bytes, -len(self._slots))
            self._slots, self._free = [], []


class Borrower:
    """The slots that this end of a connection reads; one thread at a time calls it."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._maps: dict[int, mmap.mmap] = {}
        self._leases: dict[int, weakref.ref[Bytes]] = {}
        # Appended to by whatever thread drops the last view, even in a collection of
        # garbage; so nothing is locked and nothing sent there.
        self._released: deque[int] = deque()

    def accept(self, slot: int, offer: Offer) -> None:
        """Maps the memory of a slot and releases it; what cannot be mapped never is."""
        is_new = slot not in self._maps
        if is_new and not self._limits.take(0, 1):
            return
        try:
            self._maps[slot] = _map_memory(offer)
        except (OSError, ValueError):
            if is_new:
                self._limits.take(0, -1)
            return
        self._released.append(slot)

    def borrow(self, slot: int) -> memoryview:
        """A slot, read-only; it is released when nothing views it any more."""
        whole = np.frombuffer(self._maps[slot], np.uint8)
        released = self._released
        self._leases[slot] = weakref.ref(whole, lambda _: released.append(slot))
        return whole.data

    def take_released(self) -> int:
        """What to tell the other end: bit 3 means slot 3."""
        released = 0
        while self._released:
            try:
                released |= 1 << self._released.popleft()
            except IndexError:
                break  # Another thread was quicker.
        return released

    def close(self) -> None:
        """Gives up all slots; what still views one keeps it."""
        self._limits.take(0, -len(self._maps))
        self._maps = {}


class SharedMemory:
    """What one end of a connection lends and borrows.

    Args:
      limits: by default those of this process.
    """

    def __init__(self, limits: Limits | None = None):
        self.lender = Lender(limits or _limits)
        self.borrower = Borrower(limits or _limits)

    def close(self) -> None:
        """The connection is lost."""
        self.lender.close()
        self.borrower.close()


def padded(length: int) -> int:
    """What so many bytes take, so that what follows is aligned."""
    return -(-length // ALIGNMENT) * ALIGNMENT


def _rounded(size: int) -> int:
    """A little more, so that what is a little larger fits too."""
    step = max(mmap.PAGESIZE, 1 << (size.bit_length() - 4))
    return -(-size // step) * step


def _make_memory(size: int) -> tuple[int, Bytes]:
    fd = os.memfd_create("acmelike")
    try:
        # Takes the memory now: too little is an error here and would be a signal later.
        os.posix_fallocate(fd, 0, size)
        return fd, np.frombuffer(mmap.mmap(fd, size), np.uint8)
    except BaseException:
        os.close(fd)
        raise


def _map_memory(offer: Offer) -> mmap.mmap:
    # If the path is another's by now, it may be a pipe, which must not be waited for.
    fd = os.open(offer.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != (offer.device, offer.inode):
            raise OSError("the memory is gone")
        return mmap.mmap(fd, offer.num_bytes, prot=mmap.PROT_READ)
    finally:
        os.close(fd)

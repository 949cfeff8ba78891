"""Shared memory for large arrays between two processes of one host.

The two ends of a connection lend each other memory in numbered slots. The messages are

    writer:  OFFER: slot 3 is this memory      reader:  slot 3 is released (it maps it)
    writer:  a frame, its arrays in slot 3     reader:  slot 3 is released (all dropped)

So a slot is written only while no array views it, and a slot that the reader cannot map
is never written. Released slots are named in the header of the next frame. The memory
is anonymous (`memfd`): its reader finds it in `/proc`, and it disappears with the last
process that has it. If no slot can be had, arrays go through the stream.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

# Arrays start at multiples of this, as JAX and SIMD code require.
ALIGNMENT = 64
# Smaller arrays are as fast through a socket.
LARGE_BYTES = 2**17
# Slots of a connection in each direction; the bits of a word.
NUM_SLOTS = 32
# What one process lends to all others.
MAX_BYTES = 2**29
# Maps of one process, lent and borrowed; each takes a file descriptor, of which many
# systems allow a process 1024.
MAX_MAPS = 256


class Offer(NamedTuple):
    """Says how a reader can map the memory of a slot.

    Attributes:
      path: where it can be opened while its writer waits for that.
      device, inode: identify the file; when its writer has ended, the path may be
        another file's.
      num_bytes: its size.
    """

    path: str
    device: int
    inode: int
    num_bytes: int


class MemoryBudget:
    """How much memory and how many maps the connections of a process may still take."""

    def __init__(self, num_bytes: int, num_maps: int):
        self._num_bytes, self._num_maps = num_bytes, num_maps
        self._lock = threading.Lock()

    def take(self, num_bytes: int, num_maps: int) -> bool:
        """Takes that much if it is left; negative numbers return it."""
        with self._lock:
            if num_bytes > self._num_bytes or num_maps > self._num_maps:
                return False
            self._num_bytes -= num_bytes
            self._num_maps -= num_maps
            return True


_budget = MemoryBudget(MAX_BYTES, MAX_MAPS)


class Lender:
    """The slots that this end of a connection writes."""

    def __init__(self, budget: MemoryBudget):
        self._budget = budget
        self._lock = threading.Lock()
        self._slots: list[Bytes] = []
        # Free slots; the last one was released last and is still in the caches.
        self._free: list[int] = []
        # One slot is offered at a time; if the reader cannot map it, no other one is.
        self._offered: tuple[int, int] | None = None
        self._largest = 0
        self._is_closed = False

    def put(self, views: Sequence[memoryview]) -> int | None:
        """Copies views into a free slot, one after the other, aligned.

        Returns:
          The slot, or None if no free slot is large enough.
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
        """Makes memory for views of this size, to be offered to the other end.

        Returns:
          A slot and its memory; or None, if there may be no more, or if this size is
          needed for the first time: what is sent once may never come again.
        """
        size = _rounded(sum(padded(view.nbytes) for view in views))
        with self._lock:
            if size > self._largest:
                self._largest = size
                return None
            if self._is_closed or self._offered is not None:
                return None
            # A free slot that is too small is replaced.
            small = [s for s in self._free if self._slots[s].size < size]
            slot = small[0] if small else len(self._slots)
            if slot == NUM_SLOTS:
                return None
            more_bytes = size - (self._slots[slot].size if small else 0)
            if not self._budget.take(more_bytes, 0 if small else 1):
                return None
            try:
                fd, memory = _make_memory(size)
            except (AttributeError, OSError):
                self._budget.take(-more_bytes, 0 if small else -1)
                return None  # Not supported by this system, or exhausted.
            self._offered = slot, fd
            if small:
                self._free.remove(slot)
                self._slots[slot] = memory
            else:
                self._slots.append(memory)
        status = os.fstat(fd)
        path = f"/proc/{os.getpid()}/fd/{fd}"
        return slot, Offer(path, status.st_dev, status.st_ino, size)

    def release(self, released: int) -> None:
        """Takes back slots, as bits: the other end has mapped or released them."""
        with self._lock:
            if self._is_closed:
                return
            if self._offered is not None and released >> self._offered[0] & 1:
                os.close(self._offered[1])
                self._offered = None
            for slot in range(len(self._slots)):
                if released >> slot & 1 and slot not in self._free:
                    self._free.append(slot)

    def close(self) -> None:
        """Releases all slots; the other end keeps what it views."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            if self._offered is not None:
                os.close(self._offered[1])
            num_bytes = sum(memory.size for memory in self._slots)
            self._budget.take(-num_bytes, -len(self._slots))
            self._slots, self._free = [], []


class Borrower:
    """The slots that this end of a connection reads; one thread at a time calls it."""

    def __init__(self, budget: MemoryBudget):
        self._budget = budget
        self._maps: dict[int, mmap.mmap] = {}
        self._leases: dict[int, weakref.ref[Bytes]] = {}
        # Filled by the thread that drops the last view, perhaps during a garbage
        # collection; so it takes no lock and sends nothing.
        self._released: deque[int] = deque()

    def accept(self, slot: int, offer: Offer) -> None:
        """Maps a slot's memory and releases the slot, unless it cannot be mapped."""
        is_new = slot not in self._maps
        if is_new and not self._budget.take(0, 1):
            return
        try:
            self._maps[slot] = _map_memory(offer)
        except (OSError, ValueError):
            if is_new:
                self._budget.take(0, -1)
            return
        self._released.append(slot)

    def num_bytes(self, slot: int) -> int:
        """The size of a slot; 0 if there is none that may be read now."""
        lease = self._leases.get(slot)
        if slot not in self._maps or (lease is not None and lease() is not None):
            return 0
        return len(self._maps[slot])

    def borrow(self, slot: int) -> memoryview:
        """The memory of a slot, read-only; it is released when no array views it."""
        whole = np.frombuffer(self._maps[slot], np.uint8)
        released = self._released
        self._leases[slot] = weakref.ref(whole, lambda _: released.append(slot))
        return whole.data

    def take_released(self) -> int:
        """The slots that were released since the last call, as bits."""
        released = 0
        while self._released:
            try:
                released |= 1 << self._released.popleft()
            except IndexError:
                break  # Another thread has taken it.
        return released

    def close(self) -> None:
        """Releases all slots; arrays that still view one keep it."""
        self._budget.take(0, -len(self._maps))
        self._maps = {}


class SharedMemory:
    """The shared memory of one end of a connection: what it lends and borrows.

    Args:
      budget: by default the one of this process.
    """

    def __init__(self, budget: MemoryBudget | None = None):
        self.lender = Lender(budget or _budget)
        self.borrower = Borrower(budget or _budget)

    def close(self) -> None:
        """Releases everything, when the connection is lost."""
        self.lender.close()
        self.borrower.close()


def padded(length: int) -> int:
    """The size of so many bytes with padding, so that the next array is aligned."""
    return -(-length // ALIGNMENT) * ALIGNMENT


def _rounded(size: int) -> int:
    """Rounds a size up a little, so that slightly larger arrays fit too."""
    step = max(mmap.PAGESIZE, 1 << (size.bit_length() - 4))
    return -(-size // step) * step


def _make_memory(size: int) -> tuple[int, Bytes]:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    fd = os.memfd_create("acmelike", flags)
    try:
        # Takes the memory now: a shortage is an error here, and a signal later.
        os.posix_fallocate(fd, 0, size)
        # And nobody can take it away, which would be a signal for the reader.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        return fd, np.frombuffer(mmap.mmap(fd, size), np.uint8)
    except BaseException:
        os.close(fd)
        raise


def _map_memory(offer: Offer) -> mmap.mmap:
    # The path may be another file's by now, even a pipe; opening must not block.
    fd = os.open(offer.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != (offer.device, offer.inode):
            raise OSError("the memory is gone")
        if status.st_size < offer.num_bytes or not _cannot_shrink(fd):
            raise OSError("the memory may be taken away")
        return mmap.mmap(fd, offer.num_bytes, prot=mmap.PROT_READ)
    finally:
        os.close(fd)


def _cannot_shrink(fd: int) -> bool:
    return bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)

"""Shared memory for large arrays between two processes of one host.

A process has blocks of memory, which it writes and all others only read. The two ends
of a connection name those that the reader has mapped by numbered slots. The messages
are

    writer:  OFFER: slot 3 is this block       reader:  slot 3 is released (it maps it)
    writer:  a frame, its arrays in slot 3     reader:  slot 3 is released (all dropped)

So a block is written only while no array views it, and a slot that the reader cannot
map is never used. What many readers get is written once: each of them has a slot for
the block. Released slots are named in the header of the next frame. The memory is
anonymous (`memfd`): its reader finds it in `/proc`, and it disappears with the last
process that has it. If no slot can be had, arrays go through the stream.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from acmelike.core.status import memory_limit, num_cores
from acmelike.errors import StoreFull

Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

# Arrays start at multiples of this, as JAX and SIMD code require.
ALIGNMENT = 64
# Smaller arrays are as fast through a socket.
LARGE_BYTES = 2**17
# A larger one is copied by several threads: one core has not all of the bandwidth.
_SPLIT_BYTES = 2**26
_MAX_COPIERS = 4
# Slots of a connection in each direction; the bits of a word.
NUM_SLOTS = 32
_MACHINE_BYTES = memory_limit()
# What one process lends to all others for messages, and for stored values.
MAX_BYTES = max(2**29, _MACHINE_BYTES // 8)
_MAX_STORED_BYTES = _MACHINE_BYTES // 4
# Files of one process for lent and borrowed memory, of which many systems allow a
# process 1024.
MAX_FILES = 256


class Offer(NamedTuple):
    """Says how a reader can map the memory of a slot.

    Attributes:
      path: where it can be opened while its writer waits for that.
      device, inode: identify the file; when its writer has ended, the path may be
        another file's.
      num_bytes: its size; 0 takes the slot back.
      is_stored: whether it has a stored value; then it is released at once, and not
        with the next message.
    """

    path: str
    device: int
    inode: int
    num_bytes: int
    is_stored: bool


TAKEN_BACK = Offer("", 0, 0, 0, False)


class MemoryBudget:
    """How much memory and how many files a process may still take for it."""

    def __init__(self, num_bytes: int, num_files: int):
        self._num_bytes, self._num_files = num_bytes, num_files
        self._lock = threading.Lock()

    def take(self, num_bytes: int, num_files: int) -> bool:
        """Takes that much if it is left; negative numbers return it."""
        with self._lock:
            if num_bytes > self._num_bytes or num_files > self._num_files:
                return False
            self._num_bytes -= num_bytes
            self._num_files -= num_files
            return True


class Block:
    """Memory that this process writes and its readers have mapped.

    Args:
      num_bytes: its size.

    Attributes:
      memory: its bytes.
      num_bytes: its size.
      is_stored: whether it is for a value of `put`, and not for messages.
      num_users: slots in use and leases of this process; it is written only if there
        are none.
      slots: the slots that stand for it, by connection.
      is_retired: whether it is never written again: it is no longer needed, or somebody
        may still view it who can no longer say so.
      idle_since: when it lost its last user.
    """

    def __init__(self, num_bytes: int, *, is_stored: bool):
        self._fd, self.memory = _make_memory(num_bytes)
        self.num_bytes, self.is_stored = num_bytes, is_stored
        self.num_users = 0
        self.slots: dict[Lender, int] = {}
        self.is_retired = False
        self.idle_since = 0.0

    @property
    def is_free(self) -> bool:
        """Whether it may be written."""
        return not self.num_users and not self.is_retired

    def offer(self) -> Offer:
        """How a reader can map it."""
        status = os.fstat(self._fd)
        path = f"/proc/{os.getpid()}/fd/{self._fd}"
        size, is_stored = self.num_bytes, self.is_stored
        return Offer(path, status.st_dev, status.st_ino, size, is_stored)

    def close(self) -> None:
        """Lets go of the memory; readers that have mapped it keep it."""
        os.close(self._fd)
        self.memory = np.empty(0, np.uint8)


class BlockPool:
    """The blocks of memory that a process shares with others.

    Args:
      budget: what those for messages may take.
      max_stored_bytes: what those for stored values may take.

    Attributes:
      budget: the same.
      lock: guards the blocks, and the slots of all connections.
      on_end: called, at any moment and in any thread, when a stored value has ended.
    """

    def __init__(self, budget: MemoryBudget, max_stored_bytes: int = 2**62):
        self.budget, self.lock = budget, threading.Lock()
        self._max_stored_bytes = max_stored_bytes
        self.on_end: Callable[[], None] | None = None
        self._blocks: list[Block] = []
        # Blocks whose lease has ended. It may end during a garbage collection in a
        # thread that holds the lock, so that ending one takes none.
        self._ended: deque[Block] = deque()

    def find(self, num_bytes: int, known: Container[Block]) -> Block | None:
        """A block for messages that nobody uses and that is not among `known`.

        With the lock.
        """
        for block in self._blocks:
            is_fit = num_bytes <= block.num_bytes <= 2 * num_bytes
            if is_fit and block.is_free and not block.is_stored and block not in known:
                return block
        return self._new_block(num_bytes, is_stored=False)

    def store(self, message: Shareable) -> bool:
        """Writes the arrays of a value into a block of its own; False if it cannot.

        Raises:
          StoreFull: stored values would take too much memory.
        """
        size = _rounded(size_of(message.views))
        with self.lock:
            self.end_leases()
            fitting = [
                block
                for block in self._blocks
                if block.is_stored and block.is_free and block.num_bytes == size
            ]
            block = fitting[-1] if fitting else self._new_stored_block(size)
            if block is None:
                return False
            self.use_for(message, block)
        write(message.views, block.memory)
        message.note_written()
        return True

    def use_for(self, message: Shareable, block: Block) -> None:
        """Reserves a block for the arrays of a message. With the lock."""
        block.num_users += 1
        # By way of a memoryview: NumPy lets a view keep the oldest array of the same
        # memory, which would be the block's and not the lease.
        whole = np.frombuffer(block.memory.data, np.uint8)
        weakref.finalize(whole, self._end_lease, block).atexit = False
        message.block, message.lease = block, whole
        message.is_written = threading.Event()

    def trim(self) -> None:
        """Lets go of memory that stored values have not needed for some seconds.

        As much as they take now is kept, and a little: the next value may take it, and
        new memory is several times slower.
        """
        with self.lock:
            self.end_leases()
            before = time.monotonic() - _IDLE_SECONDS
            lenders = self._drop_idle(self._max_idle_bytes(), before)
        for lender in lenders:
            lender.send_withdrawn()

    def end_leases(self) -> None:
        """Takes note of the leases that have ended. With the lock."""
        while self._ended:
            self.leave(self._ended.popleft())

    def leave(self, block: Block) -> None:
        """A slot or a lease of a block is used no longer. With the lock."""
        block.num_users -= 1
        if not block.num_users:
            block.idle_since = time.monotonic()
        self.drop_unused(block)

    def drop_unused(self, block: Block) -> None:
        """Lets go of a block that nobody uses or could use again. With the lock."""
        could_be = (block.slots or block.is_stored) and not block.is_retired
        if block.num_users or could_be or block not in self._blocks:
            return
        self._blocks.remove(block)
        self.budget.take(0 if block.is_stored else -block.num_bytes, -_NUM_FILES)
        block.close()

    def _end_lease(self, block: Block) -> None:
        self._ended.append(block)
        if block.is_stored and self.on_end is not None:
            self.on_end()

    def _new_stored_block(self, num_bytes: int) -> Block | None:
        used = [b.num_bytes for b in self._blocks if b.is_stored and b.num_users]
        self._drop_idle(max(0, self._max_stored_bytes - sum(used) - num_bytes))
        if sum(used) + num_bytes > self._max_stored_bytes:
            raise StoreFull(
                f"al.put: no room for {num_bytes:,} bytes: this process has stored "
                f"{len(used)} values of {sum(used):,} bytes, and they may take "
                f"{self._max_stored_bytes:,}. A value goes when nobody has its Ref"
            )
        return self._new_block(num_bytes, is_stored=True)

    def has_surplus(self) -> bool:
        """Whether `trim` will find something, now or in some seconds."""
        with self.lock:
            idle = [
                b.num_bytes for b in self._blocks if b.is_stored and not b.num_users
            ]
            return sum(idle) > self._max_idle_bytes()

    def _max_idle_bytes(self) -> int:
        used = [b.num_bytes for b in self._blocks if b.is_stored and b.num_users]
        return max(sum(used), _MAX_IDLE_BYTES)

    def _drop_idle(self, max_bytes: int, before: float = math.inf) -> set[Lender]:
        """Lets go of the oldest blocks that have no stored value any more.

        Args:
          max_bytes: so much memory of them may stay.
          before: the time since which they have had none, at the latest.

        Returns:
          The connections whose other ends have to be told.
        """
        idle = [b for b in self._blocks if b.is_stored and not b.num_users]
        num_bytes, lenders = sum(block.num_bytes for block in idle), set[Lender]()
        for block in idle:
            if num_bytes <= max_bytes or block.idle_since > before:
                continue
            num_bytes -= block.num_bytes
            block.is_retired = True
            lenders.update(block.slots)
            for lender, slot in block.slots.items():
                lender.withdraw(slot)
            self.drop_unused(block)
        return lenders

    def _new_block(self, num_bytes: int, *, is_stored: bool) -> Block | None:
        num_counted = 0 if is_stored else num_bytes
        if not self.budget.take(num_counted, _NUM_FILES):
            return None
        try:
            block = Block(num_bytes, is_stored=is_stored)
        except (AttributeError, OSError):
            self.budget.take(-num_counted, -_NUM_FILES)
            return None  # Not supported by this system, or exhausted.
        self._blocks.append(block)
        return block


# A block has a file, and another one for its map.
_NUM_FILES = 2
# Of stored values that are gone, so much memory is kept at least, and all of it for so
# long.
_MAX_IDLE_BYTES = 2**26
_IDLE_SECONDS = 10.0

pool = BlockPool(MemoryBudget(MAX_BYTES, MAX_FILES), _MAX_STORED_BYTES)


class Shareable(Protocol):
    """What can be written into a block: the arrays of a message.

    Attributes:
      views: the arrays.
      block: where they are written already, or None.
      lease: of that block.
      is_written: set when they are there.
    """

    views: list[memoryview]
    block: Block | None
    lease: Bytes | None
    is_written: threading.Event | None

    def note_written(self) -> None:
        """Called when they are there, once."""


class Lender:
    """The slots of this end of a connection, as its writer.

    Args:
      pool: has the blocks that the slots stand for.

    Attributes:
      withdrawn: slots of which the other end is still to be told that it may unmap
        them.
      send_withdrawn: sends that, if no other message does before.
    """

    def __init__(self, pool: BlockPool):
        self._pool = pool
        self.withdrawn: deque[int] = deque()
        self.send_withdrawn: Callable[[], None] = _send_nothing
        self._blocks: list[Block] = []  # By slot.
        # Slots that nobody uses; the last one was released last, and its block may
        # still be in the caches.
        self._free: list[int] = []
        self._used: set[int] = set()
        # For messages one slot is offered at a time; if the reader cannot map it, no
        # other one is.
        self._offered: set[int] = set()
        self._largest = 0
        self._is_closed = False

    def put(self, message: Shareable) -> int | None:
        """Writes the arrays of a message into a block, if they are in none.

        Returns:
          The slot that stands for the block, which is in use from now on; or None, if
          none can be had.
        """
        with self._pool.lock:
            self._pool.end_leases()
            has_block = message.block is not None
            slot = self._slot_with(message.block) if has_block else self._fit(message)
            if slot is None:
                return None
            self._free.remove(slot)
            self._used.add(slot)
            block = self._blocks[slot]
            block.num_users += 1
            if not has_block:
                self._pool.use_for(message, block)
        if not has_block:
            try:
                write(message.views, block.memory)
            finally:
                message.note_written()  # Whoever sends it too waits for that.
        elif message.is_written is not None:
            message.is_written.wait()  # Another thread copies.
        return slot

    def offer(self, message: Shareable) -> tuple[int, Offer] | None:
        """Offers a block for arrays of this size to the other end.

        Returns:
          A slot and its block; or None, if there may be no more, or if this size is
          needed for the first time: what is sent once may never come again.
        """
        size = _rounded(size_of(message.views))
        with self._pool.lock:
            is_new = message.block is None and size > self._largest
            self._largest = max(self._largest, size)
            is_stored = message.block is not None and message.block.is_stored
            if is_new or self._is_closed or (self._is_offering() and not is_stored):
                return None
            self._pool.end_leases()
            block = message.block or self._pool.find(size, self._blocks)
            slot = None if block is None else self._slot_for(block)
            if block is None or slot is None:
                return None
            self._offered.add(slot)
            return slot, block.offer()

    def withdraw(self, slot: int) -> None:
        """Asks the other end to unmap a slot. With the lock.

        Until it has answered, the slot stands for no other block: another thread may
        offer that before this is sent.
        """
        if slot in self._free:
            self._free.remove(slot)
            self.withdrawn.append(slot)

    def release(self, released: int) -> None:
        """Takes back slots, as bits: the other end mapped, unmapped or released it."""
        with self._pool.lock:
            for slot in range(len(self._blocks)):
                if not released >> slot & 1 or slot in self._free:
                    continue
                self._free.append(slot)
                if slot in self._used:
                    self._used.remove(slot)
                    self._pool.leave(self._blocks[slot])
                self._offered.discard(slot)

    def close(self) -> None:
        """Releases all slots; the other end keeps what it views."""
        with self._pool.lock:
            self._pool.end_leases()
            if self._is_closed:
                return
            self._is_closed = True
            for slot, block in enumerate(self._blocks):
                block.slots.pop(self, None)
                if slot in self._used:
                    block.is_retired = True
                    self._pool.leave(block)
                self._pool.drop_unused(block)
            self._blocks, self._free = [], []
            self.send_withdrawn = _send_nothing

    # --- With the lock

    def _is_offering(self) -> bool:
        """Whether the reader may still map what was offered last."""
        return any(not self._blocks[slot].is_retired for slot in self._offered)

    def _slot_with(self, block: Block | None) -> int | None:
        """The free slot that stands for a block."""
        return next((s for s in self._free if self._blocks[s] is block), None)

    def _fit(self, message: Shareable) -> int | None:
        """The smallest free slot whose block may be written and is large enough."""
        size = size_of(message.views)
        fitting = [
            slot
            for slot in reversed(self._free)
            if self._blocks[slot].num_bytes >= size and self._blocks[slot].is_free
        ]
        return min(fitting, key=lambda s: self._blocks[s].num_bytes, default=None)

    def _slot_for(self, block: Block) -> int | None:
        """A slot that stands for a block from now on; None if it has one, or none is.

        Better than a new slot is a free one whose block is of no use any more or
        smaller than this one.
        """
        if block in self._blocks:
            return None
        slot = len(self._blocks)
        for free in self._free:
            old = self._blocks[free]
            if old.is_retired or old.num_bytes < block.num_bytes:
                slot = free
        if slot == NUM_SLOTS:
            return None
        if slot in self._free:
            self._free.remove(slot)
            old, self._blocks[slot] = self._blocks[slot], block
            old.slots.pop(self, None)
            self._pool.drop_unused(old)
        else:
            self._blocks.append(block)
        block.slots[self] = slot
        return slot


class Borrower:
    """The slots that this end of a connection reads; one thread at a time calls it.

    Args:
      budget: what the maps may take.

    Attributes:
      on_released: called, at any moment and in any thread, when the last view of a
        stored value ends: the other end should not wait for the next message.
    """

    def __init__(self, budget: MemoryBudget):
        self._budget = budget
        self.on_released: Callable[[], None] | None = None
        self._maps: dict[int, mmap.mmap] = {}
        self._stored: set[int] = set()  # Slots with stored values.
        self._leases: dict[int, weakref.ref[Bytes]] = {}
        # Filled by the thread that drops the last view, perhaps during a garbage
        # collection; so it takes no lock and sends nothing.
        self.released: deque[int] = deque()

    def accept(self, slot: int, offer: Offer) -> None:
        """Maps a slot's memory and releases the slot, unless it cannot be mapped.

        Of an offer without bytes, it unmaps the slot.
        """
        if not offer.num_bytes:
            if self._maps.pop(slot, None) is not None:
                self._budget.take(0, -1)
            self.released.append(slot)
            return
        is_new = slot not in self._maps
        if is_new and not self._budget.take(0, 1):
            return
        try:
            self._maps[slot] = _map_memory(offer)
        except (OSError, ValueError):
            if is_new:
                self._budget.take(0, -1)
            return
        (self._stored.add if offer.is_stored else self._stored.discard)(slot)
        self.released.append(slot)

    def num_bytes(self, slot: int) -> int:
        """The size of a slot; 0 if there is none that may be read now."""
        lease = self._leases.get(slot)
        if slot not in self._maps or (lease is not None and lease() is not None):
            return 0
        return len(self._maps[slot])

    def borrow(self, slot: int) -> memoryview:
        """The memory of a slot, read-only; it is released when no array views it."""
        whole = np.frombuffer(self._maps[slot], np.uint8)
        released = self.released
        on_released = self.on_released if slot in self._stored else None

        def release(_: object) -> None:
            released.append(slot)
            if on_released is not None:
                on_released()

        self._leases[slot] = weakref.ref(whole, release)
        return whole.data

    def take_released(self) -> int:
        """The slots that were released since the last call, as bits."""
        released = 0
        while self.released:
            try:
                released |= 1 << self.released.popleft()
            except IndexError:
                break  # Another thread has taken it.
        return released

    def close(self) -> None:
        """Releases all slots; arrays that still view one keep it."""
        self._budget.take(0, -len(self._maps))
        self._maps, self._leases = {}, {}
        self.on_released = None


class SharedMemory:
    """The shared memory of one end of a connection: what it lends and borrows.

    Args:
      blocks: by default those of this process.
    """

    def __init__(self, blocks: BlockPool | None = None):
        blocks = blocks or pool
        self.lender, self.borrower = Lender(blocks), Borrower(blocks.budget)

    def close(self) -> None:
        """Releases everything, when the connection is lost."""
        self.lender.close()
        self.borrower.close()


def _send_nothing() -> None:
    """There is no connection."""


def write(views: Sequence[memoryview], memory: Bytes) -> None:
    """Copies views into memory, aligned; other threads run meanwhile."""
    start = 0
    for view in views:
        source = np.frombuffer(view, np.uint8)
        _copy(source, memory[start : start + view.nbytes])
        start += padded(view.nbytes)


def _copy(source: Bytes, target: Bytes) -> None:
    if len(source) < _SPLIT_BYTES:
        target[:] = source
        return
    num_parts = min(_MAX_COPIERS, num_cores())
    parts = zip(
        np.array_split(target, num_parts),
        np.array_split(source, num_parts),
        strict=True,
    )
    first, *others = (partial(np.copyto, *part) for part in parts)
    threads = []
    for copy in others:
        thread = threading.Thread(target=copy, name="copy")
        try:
            thread.start()
        except RuntimeError:  # There can be no more threads.
            copy()
        else:
            threads.append(thread)
    first()
    for thread in threads:
        thread.join()


def size_of(views: Sequence[memoryview]) -> int:
    """What views take in a block."""
    return sum(padded(view.nbytes) for view in views)


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
        # Mapped now as well: to write to a page for the first time takes longer.
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
        return fd, np.frombuffer(mmap.mmap(fd, size, flags=flags), np.uint8)
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

"""Compression of messages between hosts: Zstandard, from the package zstandard."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from acmelike.errors import ConfigError, RpcError
from acmelike.rpc.sockets.memory import MAX_AHEAD_BYTES, new_memory

# Of smaller messages little is saved, and it takes longer than to send them.
MIN_BYTES = 2**10
# What a compressed message may have when it is whole again. What is larger is sent as
# it is, as a few bytes could otherwise ask for any memory.
MAX_BYTES = 2**30
# The fastest that still packs floats, at more than a gigabyte per second.
_LEVEL = 1
# Level 1 takes half a megabyte; who sends may not ask for more memory than this.
_MAX_WINDOW_BYTES = 2**23
# A message that shrinks by less than an eighth is sent as it is.
_MIN_SAVED = 8
_thread = threading.local()


def require_compression(label: str) -> None:
    """Looks for the package, before anything starts.

    Args:
      label: of a node that needs it.

    Raises:
      ConfigError: it is not installed.
    """
    try:
        import zstandard  # noqa: F401
    except ImportError:
        raise ConfigError(
            f"node '{label}' has compression='zstd', which needs the package "
            f"zstandard: pip install 'acmelike[cluster]'"
        ) from None


def pack(pieces: Iterable[bytes | memoryview], num_bytes: int) -> list[bytes] | None:
    """Compresses a message.

    Args:
      pieces: its bytes, in order.
      num_bytes: of all of them.

    Returns:
      The packed bytes, in order; None if it is better sent as it is.
    """
    if not MIN_BYTES <= num_bytes <= MAX_BYTES:
        return None
    packer = _compressor().compressobj(size=num_bytes)
    packed = [part for piece in pieces if (part := packer.compress(piece))]
    packed.append(packer.flush())
    if sum(map(len, packed)) > num_bytes - num_bytes // _MIN_SAVED:
        return None
    return packed


def unpack(packed: memoryview, num_bytes: int) -> memoryview:
    """The bytes that were packed, in new memory.

    Memory is taken as it is filled, and never more than for what was announced.

    Args:
      packed: what has arrived.
      num_bytes: that it has when it is whole, as its sender says; at most `MAX_BYTES`.

    Raises:
      RpcError: it is not what `pack` makes, or has more or fewer bytes.
    """
    try:
        import zstandard
    except ImportError:
        raise RpcError(
            "a message is compressed, which needs the package zstandard on this host "
            "too: pip install 'acmelike[cluster]'"
        ) from None

    unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    memory = new_memory(min(num_bytes, MAX_AHEAD_BYTES))
    try:
        with unpacker.stream_reader(packed) as stream:
            filled = 0
            while num_new := stream.readinto(memory[filled:]):
                filled += num_new
                if filled == len(memory) < num_bytes:
                    memory = new_memory(min(num_bytes, 2 * filled), memory)
                elif filled == num_bytes:
                    break
            is_whole = filled == num_bytes and not stream.read(1)
    except zstandard.ZstdError as error:
        raise RpcError(f"a message cannot be decompressed: {error}") from None
    if not is_whole:
        raise RpcError("a compressed message has other bytes than it says")
    return memory


def _compressor() -> Any:
    """That of the calling thread: one is for one thread, and takes a while to make."""
    if not hasattr(_thread, "compressor"):
        import zstandard

        _thread.compressor = zstandard.ZstdCompressor(level=_LEVEL)
    return _thread.compressor

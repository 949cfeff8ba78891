"""Values as data, for programs that are not part of the run; nothing here runs code.

A body is MessagePack, with arrays out of band, as docs/wire.md says byte by byte. All
that a value says of its size is checked before memory is taken for it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from acmelike.errors import RpcError
from acmelike.rpc.sockets.codec import CallParts, Payload

# The kinds of frames that a caller sends: a call, and a cancel. `frames` has all.
_KINDS = frozenset({0, 1})
_ARRAY = 1  # The extension type.
OUTSIDE = "another program"

# What one value may have at most. Lists take up to 56 times the memory of their bytes.
MAX_BODY_BYTES = 2**24
MAX_ITEMS = 2**16
MAX_NESTING = 64
MAX_AXES = 32
# Of a label or a method. To look for the nearest name of a long one takes long.
MAX_NAME = 256
_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1

# The types of an array's numbers, by what a value calls them.
DTYPES = {
    kind: np.dtype(kind)
    for kind in (
        *("|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8"),
        *("<f2", "<f4", "<f8", "<c8", "<c16"),
    )
}


class DataCodec:
    """None, truths, numbers, text, bytes, lists, maps and arrays of numbers."""

    magic = b"aD"
    kinds = _KINDS
    max_body_bytes = MAX_BODY_BYTES
    is_trusted = False

    def make_payload(self, value: Any) -> Payload:
        import msgpack  # Not before it is used: few runs have edges to the outside.

        views: list[memoryview] = []
        plain = _to_plain(value, views, 0)
        body = msgpack.packb(plain, use_bin_type=True, strict_types=True)
        if len(body) > MAX_BODY_BYTES:
            raise RpcError(
                f"a value of {len(body):,} bytes is too large for another program: it "
                f"may have {MAX_BODY_BYTES:,} beside its arrays; send what is large as "
                f"an array"
            )
        return Payload(body, views, self.magic)

    def read(self, body: memoryview, buffers: list[memoryview]) -> Any:
        import msgpack

        def read_extension(code: int, data: bytes) -> np.ndarray[Any, Any]:
            if code != _ARRAY:
                raise RpcError(f"there is no extension type {code}")
            return _array(_unpacked(msgpack, data), buffers)

        value = _unpacked(msgpack, body, read_extension)
        _check(value, 0)
        return value

    def read_call(self, value: Any) -> CallParts:
        if not isinstance(value, list) or len(value) != 5:
            raise TypeError(
                "it has to be a list: label of the node, method, positional arguments "
                "(a list), named arguments (a map), seconds (a number or nil)"
            )
        label, method, args, kwargs, seconds = value
        for part, kind, words in (
            (label, str, "label is no text"),
            (method, str, "method is no text"),
            (args, list, "positional arguments are no list"),
            (kwargs, dict, "named arguments are no map"),
        ):
            if not isinstance(part, kind):
                raise TypeError(f"its {words}, but {_named(part)}")
        if max(len(label), len(method)) > MAX_NAME:
            raise ValueError(f"its label and method may have {MAX_NAME} characters")
        if seconds is not None:
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
                raise TypeError(f"its seconds are no number, but {_named(seconds)}")
            if not seconds >= 0:
                raise ValueError(f"its seconds have to be 0 or more, not {seconds}")
            seconds = float(seconds)
        return CallParts(label, method, tuple(args), kwargs, seconds, OUTSIDE)

    def error_value(self, error: BaseException) -> Any:
        """Its type and message; a traceback says more than others should know."""
        try:
            message = str(error)
        except Exception as failure:
            message = f"its message cannot be shown: {type(failure).__name__}"
        # Text that is no Unicode, such as of a file's name, and text without end.
        message = message.encode(errors="replace").decode()[:MAX_ITEMS]
        return {"type": type(error).__name__, "message": message}


DATA = DataCodec()


# --- Writing --------------------------------------------------------------------------


def _to_plain(value: Any, views: list[memoryview], depth: int) -> Any:
    """The value as MessagePack knows it; the bytes of arrays are added to `views`."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.generic):
        return _number(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        if not _MIN_INT <= value <= _MAX_INT:
            raise RpcError(
                f"the number {_short(value)} has more than 64 bits, which other "
                f"programs cannot read: send it as text"
            )
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if depth >= MAX_NESTING:
        raise RpcError(
            f"a value is nested more than {MAX_NESTING} times, or contains itself: "
            f"another program takes no more"
        )
    if isinstance(value, (list, tuple)):
        _check_num_items(value)
        return [_to_plain(part, views, depth + 1) for part in value]
    if isinstance(value, dict):
        _check_num_items(value)
        for name in value:
            if not isinstance(name, str):
                raise RpcError(
                    f"a key of a map is {_named(name)}, and other programs take text "
                    f"only: use str(key)"
                )
        return {
            str.__str__(name): _to_plain(part, views, depth + 1)
            for name, part in value.items()
        }
    if isinstance(value, np.ndarray) or hasattr(value, "__array__"):
        return _extension(np.asarray(value), views)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _to_plain(getattr(value, field.name), views, depth + 1)
            for field in dataclasses.fields(value)
        }
    raise RpcError(
        f"{_named(value)} cannot be sent to another program: make it of None, numbers, "
        f"text, bytes, lists, dicts, dataclasses and arrays of numbers"
    )


def _number(value: np.generic) -> Any:
    if value.dtype.kind in "biuf":
        return float(value) if value.dtype.kind == "f" else value.item()
    if isinstance(value, (str, bytes)):
        return value.item()
    raise RpcError(
        f"{_named(value)} cannot be sent to another program: send it as an array"
    )


def _extension(array: np.ndarray[Any, Any], views: list[memoryview]) -> Any:
    import msgpack

    dtype = array.dtype.newbyteorder("<")
    if dtype.str not in DTYPES:
        raise RpcError(
            f"an array of {array.dtype} cannot be sent to another program: convert it "
            f"to one of {', '.join(str(dtype) for dtype in DTYPES.values())}"
        )
    array = array.astype(dtype, copy=False)
    if not array.flags.c_contiguous:
        array = array.copy(order="C")
    described = [len(views), dtype.str, list(array.shape)]
    # A view of bytes, as memory of no number has no other view.
    views.append(array.reshape(-1).view(np.uint8).data)
    return msgpack.ExtType(_ARRAY, msgpack.packb(described))


def _check_num_items(value: Any) -> None:
    if len(value) > MAX_ITEMS:
        raise RpcError(
            f"a {type(value).__name__} with {len(value):,} items is too large for "
            f"another program: it may have {MAX_ITEMS:,}; send numbers as an array"
        )


# --- Reading --------------------------------------------------------------------------


def _unpacked(
    msgpack: Any, body: bytes | memoryview, read_extension: Any = None
) -> Any:
    """MessagePack with every limit; a list or map takes memory before its items."""

    def refuse(code: int, data: bytes) -> None:
        raise RpcError(f"there is no extension type {code} here")

    try:
        return msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=_map,
            ext_hook=read_extension or refuse,
            max_str_len=MAX_BODY_BYTES,
            max_bin_len=MAX_BODY_BYTES,
            max_ext_len=MAX_BODY_BYTES,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
        )
    except RpcError:
        raise
    except Exception as error:
        words = str(error) or type(error).__name__
        raise RpcError(f"this is no MessagePack that can be read: {words}") from None


def _map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise RpcError("a map has a key twice")
    return value


def _check(value: Any, depth: int) -> None:
    """Refuses what MessagePack can say, and no value here can be."""
    kind = type(value)
    if kind is list:
        parts = value
    elif kind is dict:
        parts = value.values()
        if not all(type(name) is str for name in value):
            raise RpcError("a key of a map is no text")
    elif kind is np.ndarray or value is None or kind in (bool, int, float, str, bytes):
        return
    else:
        raise RpcError(f"{_named(value)} is no value here")
    if depth >= MAX_NESTING:
        raise RpcError(f"a value is nested more than {MAX_NESTING} times")
    for part in parts:
        _check(part, depth + 1)


def _array(described: Any, buffers: list[memoryview]) -> np.ndarray[Any, Any]:
    """A read-only view of a buffer; nothing is allocated, whatever is said of it."""
    if not isinstance(described, list) or len(described) != 3:
        raise RpcError("an array is not described by index, type and shape")
    index, name, shape = described
    if type(index) is not int or not 0 <= index < len(buffers):
        raise RpcError(f"an array is in buffer {index!r}, of {len(buffers)}")
    dtype = DTYPES.get(name) if isinstance(name, str) else None
    if dtype is None:
        raise RpcError(
            f"an array is of type {name!r}, and may be of {', '.join(DTYPES)}"
        )
    if not isinstance(shape, list) or len(shape) > MAX_AXES:
        raise RpcError(f"the shape of an array is no list of at most {MAX_AXES} sizes")
    for size in shape:
        if type(size) is not int or not 0 <= size < 2**48:
            raise RpcError(f"the shape of an array has the size {size!r}")
    # NumPy counts the bytes of an array without numbers as if it had some.
    if math.prod(size for size in shape if size) * dtype.itemsize >= 2**62:
        raise RpcError("the shape of an array is too big")
    num_bytes, found = math.prod(shape) * dtype.itemsize, buffers[index].nbytes
    if num_bytes != found:
        raise RpcError(
            f"an array of type {name} and shape {shape} has {num_bytes} bytes, and its "
            f"buffer has {found}"
        )
    buffer = buffers[index]
    if dtype.kind == "b" and num_bytes and np.frombuffer(buffer, np.uint8).max() > 1:
        raise RpcError("an array of truths has a byte that is neither 0 nor 1")
    return np.frombuffer(buffer, dtype).reshape(shape)


def _named(value: object) -> str:
    return f"a value of type {type(value).__name__}"


def _short(value: int) -> str:
    bits = value.bit_length()
    return str(value) if bits <= 128 else f"with {bits:,} bits"

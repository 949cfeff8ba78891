"""Values as pickles, between processes of one run; whoever sends one is trusted."""

from __future__ import annotations

import copyreg
import io
import pickle
from collections import ChainMap
from collections.abc import Callable
from typing import Any, ClassVar

import cloudpickle
import numpy as np

from acmelike.rpc.failure import to_wire
from acmelike.rpc.freeze import ATOMS
from acmelike.rpc.sockets.codec import CallParts, Payload
from acmelike.rpc.sockets.ledger import current

_MAGIC = b"aL"
_MAX_SMALL_BYTES = 2**12
# To ask a dtype for its name takes longer than to find it here.
_dtype_names: dict[np.dtype[Any], str] = {}


def make_payload(value: Any) -> Payload:
    """Pickles a value, with cloudpickle if that is needed."""
    if _is_plain(value):  # A third of the time.
        return Payload(pickle.dumps(value, 5), [], _MAGIC)
    buffers: list[pickle.PickleBuffer] = []
    file = io.BytesIO()
    pickler = _Pickler(file, 5, buffer_callback=buffers.append)
    current.refs = None
    try:
        pickler.dump(value)
        body = file.getvalue()
        if b"__main__" not in body:
            if current.refs is None and not buffers:
                return Payload(body, [], _MAGIC)
            return _payload(body, buffers)
    except Exception:
        pass  # Such as a local function, which cloudpickle can send.
    # Cloudpickle costs ten times as much, but it sends by value what only this process
    # can import.
    buffers, file, current.refs = [], io.BytesIO(), None
    try:
        _CloudPickler(file, 5, buffer_callback=buffers.append).dump(value)
    except BaseException:
        current.refs = None  # They are in no message, and would be kept.
        raise
    return _payload(file.getvalue(), buffers)


def _is_plain(value: Any) -> bool:
    """Whether a value is numbers and texts, in tuples: no class, array or ref."""
    kind = type(value)
    if kind is tuple:
        for part in value:
            if type(part) not in ATOMS and not _is_plain(part):
                return False
        return True
    return kind in ATOMS or (kind is dict and not value)


def _payload(body: bytes, buffers: list[pickle.PickleBuffer]) -> Payload:
    views = [buffer.raw() for buffer in buffers] if buffers else []
    refs, current.refs = current.refs, None
    return Payload(body, views, _MAGIC, refs or ())


def _reduce(array: Any) -> Any:
    """Reduces an array for pickle; arrays of plain numbers in a short form.

    NumPy's own form takes a third longer to write and three times as long to read,
    which is most of the cost of sending a few small arrays. The bytes of small arrays
    are in the pickle, because a buffer out of band costs more than to copy them.
    """
    dtype = array.dtype
    if dtype.kind in "biufc" and array.size and array.flags.c_contiguous:
        name = _dtype_names.get(dtype) or _dtype_names.setdefault(dtype, dtype.str)
        is_small = array.nbytes <= _MAX_SMALL_BYTES
        data = array.tobytes() if is_small else pickle.PickleBuffer(array)
        return np.ndarray, (array.shape, name, data)
    return array.__reduce_ex__(5)


class _Reductions(dict[type, Any]):
    """Reductions for messages only, and otherwise those of `copyreg`."""

    def __missing__(self, kind: type) -> Any:
        return copyreg.dispatch_table[kind]


_reductions = _Reductions({np.ndarray: _reduce})
_cloud_reductions: dict[type, Any] = {}


def reduce_in_messages(kind: type, reduce: Callable[[Any], Any]) -> None:
    """Has the instances of a class pickled by a function, in messages only."""
    _reductions[kind] = _cloud_reductions[kind] = reduce


class _Pickler(pickle.Pickler):
    """Pickle's own, written in C, but for arrays."""

    dispatch_table = _reductions


class _CloudPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Cloudpickle's own, but for what is reduced in messages only."""

    dispatch_table: ClassVar[Any] = ChainMap(
        _cloud_reductions, cloudpickle.Pickler.dispatch_table
    )


class PickleCodec:
    """Any value, as a pickle of protocol 5 with the arrays out of band."""

    magic = _MAGIC
    kinds = frozenset(range(7))
    max_body_bytes = 2**36
    is_trusted = True

    make_payload = staticmethod(make_payload)

    def read(self, body: memoryview, buffers: list[memoryview]) -> Any:
        return pickle.loads(body, buffers=buffers) if buffers else pickle.loads(body)

    def read_call(self, value: Any) -> CallParts:
        parts: CallParts = value  # Every process of a run sends it so.
        return parts

    def error_value(self, error: BaseException) -> Any:
        return to_wire(error)


PICKLE = PickleCodec()

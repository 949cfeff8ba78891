"""What is sent arrives as it was."""

import copyreg
import socket

import ml_dtypes
import numpy as np
import pytest

from acmelike.rpc.sockets.frames import RESULT, FrameReader, encode
from acmelike.rpc.sockets.stream import Stream

ARRAYS = {
    "a number": np.array(2.5),
    "numbers": np.arange(6, dtype=np.int16).reshape(2, 3),
    "truths": np.array([True, False]),
    "complex numbers": np.array([1 + 2j]),
    "half precision": np.ones(3, np.float16),
    "the other byte order": np.arange(3).astype(">i4"),
    "nothing": np.zeros((2, 0, 3)),
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "every other": np.arange(10)[::2],
    "one, repeated": np.broadcast_to(np.ones(1), (3,)),
    "JAX's half precision": np.ones(2, ml_dtypes.bfloat16),
    "fields": np.array([(1, 2.0)], [("a", np.int32), ("b", np.float64)]),
    "words": np.array(["one", "three"]),
    "days": np.array(["2020-02-29"], "datetime64[D]"),
    "objects": np.array([None, {"a": 1}], object),
}


class Amount:
    """Nothing that pickle could take apart without being told how."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        raise TypeError("this is for copyreg")


def sent(value):
    """The value after its way through a socket."""
    here, there = socket.socketpair()
    with here, there:
        for piece in encode(RESULT, 7, value).pieces:
            here.sendall(piece)
        return FrameReader(Stream(there)).read().value


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_of_any_kind_arrives_as_it_was(name):
    array = ARRAYS[name]
    (arrived,) = sent([array])
    assert arrived.dtype == array.dtype
    assert arrived.shape == array.shape
    np.testing.assert_array_equal(arrived, array)


def test_subclasses_of_arrays_stay_what_they_are():
    masked = np.ma.masked_array([1, 2], [True, False])
    arrived = sent(masked)
    assert isinstance(arrived, np.ma.MaskedArray)
    assert arrived.mask.tolist() == [True, False]


def test_types_that_were_registered_with_copyreg_are_sent_as_they_say(monkeypatch):
    monkeypatch.setitem(
        copyreg.dispatch_table, Amount, lambda amount: (Amount, (amount.value,))
    )
    # Which knows them too, and is slow.
    monkeypatch.delattr("cloudpickle.Pickler")
    assert sent({"amount": Amount(3)})["amount"].value == 3

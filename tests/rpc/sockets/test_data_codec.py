"""Values as data: what may be sent, what arrives, and what is refused before it is."""

from __future__ import annotations

import enum
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgpack
import numpy as np
import pytest

from acmelike.errors import RpcError, RpcTimeout
from acmelike.rpc.sockets.data_codec import (
    DATA,
    DTYPES,
    MAX_BODY_BYTES,
    MAX_ITEMS,
    MAX_NESTING,
)
from acmelike.rpc.sockets.frames import PayloadCache
from acmelike.rpc.sockets.pickle_codec import PICKLE


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Reading:
    at: Point
    values: Any


class Color(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Number(np.ndarray):
    """A subclass, which arrives as an array."""


def sent(value):
    """The value after its way as bytes."""
    payload = DATA.make_payload(value)
    views = [memoryview(bytes(view)) for view in payload.views]
    return DATA.read(memoryview(payload.body), views)


def nested(depth):
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "arrived"),
    [
        (None, None),
        (True, True),
        (-(2**63), -(2**63)),
        (2**64 - 1, 2**64 - 1),
        (0.1, 0.1),
        ("naïve", "naïve"),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"ab"), b"ab"),
        ([], []),
        ((1, [2, (3,)]), [1, [2, [3]]]),
        ({"a": {"b": None}}, {"a": {"b": None}}),
        (Point(1, 2), [1, 2]),
        (Reading(Point(1, 2), [None]), {"at": [1, 2], "values": [None]}),
        (Color.RED, "red"),
        (Level.HIGH, 3),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.int16(-3), -3),
        (np.bool_(True), True),
        (np.str_("word"), "word"),
        (nested(MAX_NESTING), nested(MAX_NESTING)),
        ([0] * MAX_ITEMS, [0] * MAX_ITEMS),
    ],
)
def test_values_arrive_as_what_other_languages_know(value, arrived):
    found = sent(value)
    assert found == arrived
    assert type(found) is type(arrived)


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4), (1,) * 32])
def test_arrays_arrive_with_type_and_shape_and_cannot_be_written(kind, shape):
    array = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2)
    (found,) = sent([array.astype(kind)])
    assert found.dtype.str == kind
    assert found.shape == shape
    np.testing.assert_array_equal(found, array.astype(kind))
    assert not found.flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        np.arange(10, dtype=np.float32)[::2],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3).astype(">i4"),
        np.broadcast_to(np.ones(1), (3,)),
        np.arange(3.0).view(Number),
    ],
    ids=["every other", "columns first", "big endian", "repeated", "subclass"],
)
def test_arrays_of_any_layout_arrive(array):
    found = sent(array)
    np.testing.assert_array_equal(found, array)
    assert type(found) is np.ndarray
    assert found.dtype == array.dtype.newbyteorder("<")


def test_the_bytes_of_an_array_are_sent_from_where_they_are():
    array = np.arange(6.0)
    (view,) = DATA.make_payload([array]).views
    assert np.shares_memory(np.frombuffer(view, np.uint8), array)


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2**64, "more than 64 bits, which other programs cannot read: send it as text"),
        (-(2**63) - 1, "more than 64 bits"),
        pytest.param(1 << 10**6, "the number with 1,000,001 bits has", id="long"),
        (1j, "a value of type complex cannot be sent to another program: make it of "),
        (np.complex64(1), "of type complex64 cannot be .*: send it as an array"),
        (np.datetime64("2020-02-29"), "of type datetime64 cannot be sent"),
        ({1, 2}, "of type set cannot be sent"),
        (threading.Event(), "of type Event cannot be sent"),
        (int, "of type type cannot be sent"),
        (Point, "of type type cannot be sent"),
        ({1: 2}, r"a key of a map is a value of type int, .*: use str\(key\)"),
        (np.array(["a"]), "an array of <U1 cannot be sent .*: convert it to one of "),
        (np.array([None]), "an array of object cannot be sent"),
        (np.array([1], "datetime64[D]"), r"an array of datetime64\[D\] cannot be"),
        (np.zeros(1, [("a", np.int32)]), "an array of .* cannot be sent"),
        (nested(MAX_NESTING + 1), "nested more than 64 times"),
        (LOOP, "nested more than 64 times, or contains itself"),
        ([0] * (MAX_ITEMS + 1), "a list with 65,537 items is .*: it may have 65,536"),
        ({str(i): i for i in range(MAX_ITEMS + 1)}, "a dict with 65,537 items"),
        pytest.param(bytes(MAX_BODY_BYTES), "send what is large as an array", id="big"),
    ],
)
def test_what_cannot_be_sent_is_named_with_what_to_do(value, words):
    with pytest.raises(RpcError, match=words):
        DATA.make_payload(value)


def array_bytes(*described, code=1):
    """A body that is one array, described as it is said."""
    return msgpack.packb(msgpack.ExtType(code, msgpack.packb(list(described))))


HUGE = 2**40


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "incomplete input"),
        (b"\xc1", "FormatError"),
        (b"\x01\x01", "extra data"),
        (b"\xa1\xff", "utf-8"),
        (b"\xdd\xff\xff\xff\xff", "exceeds max_array_len"),
        (b"\xdf\xff\xff\xff\xff", "exceeds max_map_len"),
        (b"\xdd\x00\x01\x00\x01", "exceeds max_array_len"),
        (b"\xc6\xff\xff\xff\xff", "incomplete input"),
        (b"\xdb\xff\xff\xff\xff", "incomplete input"),
        (b"\xc9\xff\xff\xff\xff\x01", "exceeds max_ext_len"),
        (b"\x91" * MAX_NESTING + b"\x90", "nested more than 64 times"),
        (b"\x81\xa1a" * MAX_NESTING + b"\x80", "nested more than 64 times"),
        (b"\x91" * 100_000 + b"\x01", "StackError"),
        (b"\x81\x01\x01", "not allowed for map key"),
        (b"\x81\xc4\x01a\x01", "a key of a map is no text"),
        (b"\x82\xa1a\x01\xa1a\x02", "a map has a key twice"),
        (b"\xd6\xff\x00\x00\x00\x01", "of type Timestamp is no value here"),
        (array_bytes(0, "<f4", [2], code=2), "there is no extension type 2"),
        (msgpack.packb(msgpack.ExtType(1, b"")), "incomplete input"),
        (msgpack.packb(msgpack.ExtType(1, b"\x01")), "is not described by index"),
        (array_bytes(0, "<f4"), "is not described by index, type and shape"),
        (array_bytes(1, "<f4", [2]), "an array is in buffer 1, of 1"),
        (array_bytes(-1, "<f4", [2]), "an array is in buffer -1, of 1"),
        (array_bytes(True, "<f4", [2]), "an array is in buffer True, of 1"),
        (array_bytes(0, "O", [1]), "an array is of type 'O', and may be of"),
        (array_bytes(0, "<M8[s]", [1]), "an array is of type"),
        (array_bytes(0, ">f4", [2]), "an array is of type"),
        (array_bytes(0, "<f4,<f4", [1]), "an array is of type"),
        (array_bytes(0, b"<f4", [2]), "an array is of type"),
        (array_bytes(0, ["<f4"], [2]), "an array is of type"),
        (array_bytes(0, "<f4", 2), "the shape of an array is no list"),
        (array_bytes(0, "|u1", [8] + [1] * 32), "is no list of at most 32 sizes"),
        (array_bytes(0, "<f4", [-2]), "the shape of an array has the size -2"),
        (array_bytes(0, "<f4", [-1, -2]), "the shape of an array has the size -1"),
        (array_bytes(0, "<f4", [2.0]), "the shape of an array has the size 2.0"),
        (array_bytes(0, "<f4", [True, 2]), "the shape of an array has the size True"),
        (array_bytes(0, "<f4", [2**63]), "the shape of an array has the size"),
        (array_bytes(0, "<f4", [3]), r"has 12 bytes, and its buffer has 8"),
        (array_bytes(0, "<f4", [1]), r"has 4 bytes, and its buffer has 8"),
        (array_bytes(0, "<f4", [HUGE, HUGE]), "the shape of an array is too big"),
        (array_bytes(0, "<f4", [HUGE]), "bytes, and its buffer has 8"),
        (array_bytes(0, "<f4", [0]), r"has 0 bytes, and its buffer has 8"),
        (array_bytes(0, "|b1", [8]), "a byte that is neither 0 nor 1"),
    ],
)
def test_bytes_that_are_no_value_are_refused(body, words):
    buffer = memoryview(b"\x00\x00\x80\x3f\x02\x00\x00\x00")
    with pytest.raises(RpcError, match=words):
        DATA.read(memoryview(body), [buffer])


def test_an_array_without_numbers_may_not_say_that_it_has_sizes_without_end():
    with pytest.raises(RpcError, match="the shape of an array is too big"):
        body = array_bytes(0, "<f4", [0, 2**47, 2**47])
        DATA.read(memoryview(body), [memoryview(b"")])


CALL = ["store", "echo", [1], {"a": 2}, None]


def test_a_call_is_a_list_of_five():
    parts = DATA.read_call([*CALL[:4], 2])
    assert parts == ("store", "echo", (1,), {"a": 2}, 2.0, "another program")
    assert DATA.read_call(CALL).until is None


@pytest.mark.parametrize(
    ("place", "part", "words"),
    [
        (0, 1, "its label is no text, but a value of type int"),
        (1, None, "its method is no text, but a value of type NoneType"),
        (0, "x" * 257, "its label and method may have 256 characters"),
        (1, "x" * 257, "its label and method may have 256 characters"),
        (2, {}, "its positional arguments are no list, but a value of type dict"),
        (3, [], "its named arguments are no map, but a value of type list"),
        (4, "1", "its seconds are no number, but a value of type str"),
        (4, True, "its seconds are no number, but a value of type bool"),
        (4, -1.0, "its seconds have to be 0 or more, not -1.0"),
        (4, float("nan"), "its seconds have to be 0 or more, not nan"),
    ],
)
def test_what_is_no_call_is_told(place, part, words):
    value = list(CALL)
    value[place] = part
    with pytest.raises((TypeError, ValueError), match=words):
        DATA.read_call(value)


@pytest.mark.parametrize("value", [None, 1, [], CALL[:4], [*CALL, 1], {}])
def test_a_value_of_another_form_is_no_call(value):
    with pytest.raises(TypeError, match="it has to be a list: label of the node"):
        DATA.read_call(value)


class Unshowable(Exception):
    def __str__(self):
        raise RuntimeError


def test_of_an_error_its_type_and_message_are_sent_and_no_more():
    error = RpcTimeout("too late")
    error.__notes__ = ["raised by a secret"]
    assert DATA.error_value(error) == {"type": "RpcTimeout", "message": "too late"}
    words = "its message cannot be shown: RuntimeError"
    assert DATA.error_value(Unshowable()) == {"type": "Unshowable", "message": words}
    # Whatever the message is, it can be sent.
    for message in ("\udcff", "x" * MAX_BODY_BYTES):
        DATA.make_payload(DATA.error_value(ValueError(message)))


def test_without_edges_to_other_programs_messagepack_is_not_imported():
    """Nodes in environments with few packages need it only then."""
    words = (
        "import sys, acmelike.launchers.launching; assert 'msgpack' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", words], check=True)


def test_a_cache_keeps_what_codecs_write_apart():
    payloads, value = PayloadCache(), {"a": np.arange(3)}
    data, pickled = payloads.of(value, DATA), payloads.of(value, PICKLE)
    assert (data.magic, pickled.magic) == (b"aD", b"aL")
    assert payloads.of(value, DATA) is data
    assert payloads.of(value, PICKLE) is pickled

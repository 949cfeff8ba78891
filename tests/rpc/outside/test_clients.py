"""Clients that know docs/wire.md and nothing else call a node, under every launcher."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
import re
import shutil
import struct
import subprocess
import sys
import zlib

import pytest

from acmelike import Node, Program, launch
from tests.rpc.outside.examples import FOLDER, SCENARIO, client
from tests.rpc.outside.shop import Shop

Array, CallFailed, Client = client.Array, client.CallFailed, client.Client


@pytest.fixture(params=["threads", "processes"])
def launcher(request):
    return request.param


@pytest.fixture(params=[None, True], ids=["plain", "tls"])
def endpoint(request, launcher):
    """Of a shop that runs, as data."""
    program = Program("shops")
    shop = program.add_node(Node(Shop), label="shop")
    program.expose(shop, tls=request.param)
    with launch(program, launcher) as run:
        yield dataclasses.asdict(run.endpoint(shop))


def raised(call):
    with pytest.raises(CallFailed) as failed:
        call()
    return failed.value.kind, failed.value.message


LATE = "shop.wait_for (it waited: 0 of 99 are sold)"
UNSENDABLE = (
    "shop.make_set: a value of type set cannot be sent to another program: make it of "
    "None"
)
MISSING = "node 'shop' (Shop) has no method 'sel'; did you mean 'sell'?"
CANCELLED = "shop.wait_for: cancelled by its caller"


@pytest.mark.long
def test_a_client_in_python_without_acmelike(endpoint):
    shop = Client(endpoint, seconds=30.0)
    try:
        for values in (
            [None, True, False, 0, -1, 127, 128, -32, -33, 2**63 - 1, -(2**63)],
            [0.1, math.inf, "", "naïve", "x" * 40, "x" * 70_000, b"", b"\0\xff" * 300],
            [[], {}, [[]], {"a": [1, {"b": [None]}]}, list(range(300))],
            [{str(i): i for i in range(70)}, 255, 256, 65_535, 65_536, 2**32],
        ):
            found = shop.call("echo", *values, more=values)
            assert found == {"args": values, "kwargs": {"more": values}}
        image = Array("|u1", [2, 3], bytes([0, 1, 2, 253, 254, 255]))
        scaled = shop.call("scaled", image, by=0.5)
        assert (scaled.dtype, scaled.shape) == ("<f4", [2, 3])
        assert struct.unpack("<6f", scaled.data) == (0, 0.5, 1, 126.5, 127, 127.5)
        ones = Array("<f4", [300, 1000], struct.pack("<f", 1.0) * 300_000)
        total = shop.call("add", ones, ones)
        assert total == ("<f4", [300, 1000], struct.pack("<f", 2.0) * 300_000)
        prices = Array("<f4", [2, 2], struct.pack("<4f", 1, 2, 3, 4))
        assert shop.call("item") == {"name": "apple", "prices": prices}
        for array in (Array("<f8", [], bytes(8)), Array("<i2", [0, 3], b"")):
            assert shop.call("echo", array)["args"] == [array]

        assert raised(lambda: shop.call("fail")) == ("KeyError", "'sold out'")
        kind, message = raised(lambda: shop.call("make_set"))
        assert kind == "RpcFailed"
        assert message.startswith(UNSENDABLE)
        assert raised(lambda: shop.call("sel")) == ("NoSuchMethod", MISSING)
        late = raised(lambda: shop.call("wait_for", 99, seconds=0.05))
        assert late == ("RpcTimeout", LATE)
        number = shop.start("wait_for", 99)
        shop.cancel(number)
        assert raised(lambda: shop.result(number)) == ("RpcClosed", CANCELLED)
        # A parked call is answered when another one lets it proceed.
        number = shop.start("wait_for", 1)
        assert shop.call("sell") == 1
        assert shop.result(number) == "1 are sold"
    finally:
        shop.close()


@pytest.mark.long
@pytest.mark.skipif(shutil.which("node") is None, reason="install Node.js")
def test_a_client_in_javascript(endpoint, tmp_path):
    path = tmp_path / "endpoint.json"
    path.write_text(json.dumps(endpoint))
    ended = subprocess.run(
        ["node", SCENARIO, path], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    kind, message = found.pop("unsendable")
    assert kind == "RpcFailed"
    assert message.startswith(UNSENDABLE)
    assert found == {
        "scalars": [None, True, -7, 2**40, 0.1, "naïve", {"bytes": [0, 255]}],
        "large": [str(2**64 - 1), str(-(2**63))],
        "nested": [True, True],
        "scaled": ["<f4", [2, 3], [0, 0.5, 1, 126.5, 127, 127.5]],
        "sum": ["<f4", [300, 1000], True],
        "item": ["apple", [2, 2], [1, 2, 3, 4]],
        "failed": ["KeyError", "'sold out'"],
        "missing": ["NoSuchMethod", MISSING],
        "late": ["RpcTimeout", LATE],
        "cancelled": ["RpcClosed", CANCELLED],
        "sold": 1,
        "parked": "1 are sold",
    }


def test_the_bytes_in_the_document_are_right():
    page = (FOLDER.parent / "wire.md").read_text()
    hexadecimal = re.compile(r"^    ((?:[0-9a-f]{2} +)+)", re.MULTILINE)
    described, buffer, *example, _ = hexadecimal.findall(page)
    sent = []

    class Sock:
        sendall = sent.append

    caller = Client.__new__(Client)
    caller.sock = Sock
    caller._send(client.CALL, 7, ["store", "add", [1], {}, None])
    array = Array("<f4", [1, 3], struct.pack("<3f", 1, 2, 3))
    assert bytes.fromhex(buffer) == array.data
    assert client.unpack(bytes.fromhex(described), [array.data]) == array
    (message,) = sent
    fields, (body,) = example[:-1], example[-1:]
    assert b"".join(map(bytes.fromhex, fields))[4:24] == message[4:24]
    # The client writes its body in another form, which is as good.
    value = client.unpack(bytes.fromhex(body), [])
    assert value == ["store", "add", [1], {}, None]
    rest = b"".join(map(bytes.fromhex, [*fields[1:], body]))
    assert zlib.crc32(rest) == int.from_bytes(bytes.fromhex(fields[0]), "little")


def test_the_example_in_python_imports_the_standard_library_only():
    names = set()
    for node in ast.walk(ast.parse((FOLDER / "client.py").read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    assert names and names <= sys.stdlib_module_names

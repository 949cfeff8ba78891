"""What programs outside of a run may do at an exposed node, and what it costs."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import os
import pickle
import random
import resource
import socket
import ssl
import struct
import sys
import threading
import zlib
from contextlib import closing, suppress

import pytest

from acmelike import Node, Program, concurrent, deadline, launch, when
from acmelike.core.status import resident_bytes
from acmelike.errors import ConfigError, NodeFailed, RpcClosed, RpcTimeout
from acmelike.rpc import Authority
from acmelike.rpc.sockets import server as server_module
from acmelike.rpc.sockets.data_codec import MAX_BODY_BYTES
from tests.rpc.outside.examples import client
from tests.rpc.outside.shop import Safe, Shop
from tests.rpc.sockets.serving import Writes, exposing, identity_of, mutated

Array, CallFailed, Client, pack = (
    client.Array,
    client.CallFailed,
    client.Client,
    client.pack,
)


class Store:
    """A service with calls of every kind."""

    def __init__(self):
        self.num_calls = 0
        self.may_go_on = threading.Event()

    def echo(self, value):
        self.num_calls += 1
        return value

    def make(self, num_bytes):
        self.num_calls += 1
        return bytes(num_bytes)

    def _blocks(self):
        return "it never comes"

    @when(_blocks)
    def never(self):
        raise AssertionError

    def _blocks_past(self, num):
        return None if self.num_calls >= num else "too few calls"

    @when(_blocks_past)
    def past(self, num):
        return num

    @concurrent
    def hang(self):
        self.may_go_on.wait()
        return "it went on"

    def leave(self):
        raise SystemExit

    def _private(self):
        raise AssertionError

    def step(self):
        raise AssertionError


@pytest.fixture
def store():
    store = Store()
    yield store
    store.may_go_on.set()


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def exposed(request, store):
    with exposing(store, tls=request.param) as found:
        yield found


@pytest.fixture
def caller(exposed):
    """A client that behaves."""
    with closing(Client(exposed.endpoint, seconds=30.0)) as found:
        yield found


def frame(kind, value=None, number=0, body=None, buffers=(), **changes):
    """A frame whose checksum is right, whatever else is said in it."""
    found = list(buffers)
    body = pack(value, found) if body is None else body
    fields = {"magic": b"aD", "version": 4, "num_buffers": len(found), "slot": -1}
    fields |= {"length": len(body), "lengths": [len(each) for each in found]}
    fields |= {"released": 0, **changes}
    rest = struct.pack(
        "<2sBBIiQqI",
        fields["magic"],
        fields["version"],
        kind,
        fields["num_buffers"],
        fields["slot"],
        number,
        fields["length"],
        fields["released"],
    )
    rest += struct.pack(f"<{len(found)}q", *fields["lengths"]) + body
    pieces = [struct.pack("<I", zlib.crc32(rest)), rest, bytes(-len(body) % 64)]
    for each in found:
        pieces += [each, bytes(-len(each) % 64)]
    return b"".join(pieces)


def call_frame(method, *args, number=0):
    return frame(client.CALL, ["store", method, list(args), {}, None], number)


def connect(endpoint):
    """A connection, with TLS if the endpoint has it, that has shown no key."""
    sock = socket.create_connection((endpoint["ip"], endpoint["port"]), timeout=10.0)
    if endpoint["name"]:
        context = ssl.create_default_context(cadata=endpoint["authority"])
        sock = context.wrap_socket(sock, server_hostname=endpoint["name"])
    return sock


def wait_until_closed(sock):
    """Reads until the other end closes the connection."""
    with suppress(ConnectionResetError, ssl.SSLError):
        while sock.recv(2**20):
            pass


def lines(caplog):
    return [record.message for record in caplog.records]


# --- Who may call -----------------------------------------------------------------


def test_a_wrong_key_is_refused_with_one_line(exposed, caller, store, caplog):
    with pytest.raises(OSError, match=r"closed the connection|reset"):
        Client({**exposed.endpoint, "key": "00" * 32})
    assert caller.call("echo", 1) == 1
    assert lines(caplog) == ["refused a connection: it does not have the node's key"]
    assert store.num_calls == 1


@pytest.mark.parametrize("what", ["a call", "a pickle"])
def test_without_a_key_nothing_is_read(exposed, caller, store, caplog, tmp_path, what):
    path = tmp_path / "file"
    with connect(exposed.endpoint) as sock:
        sent = call_frame("echo", "x" * 100)
        if what == "a pickle":
            body = pickle.dumps(Writes(path), 5)
            sent = frame(client.CALL, body=body, magic=b"aL")
        sock.sendall(sent)
        wait_until_closed(sock)
    assert caller.call("echo", 1) == 1
    assert store.num_calls == 1
    assert not path.exists()
    assert lines(caplog) == ["refused a connection: it does not have the node's key"]


def test_a_proof_is_of_no_use_a_second_time(exposed, monkeypatch):
    sent = []
    kind = ssl.SSLSocket if exposed.endpoint["name"] else socket.socket
    send = kind.sendall

    def note(self, data, *flags):
        sent.append(bytes(data))
        return send(self, data, *flags)

    monkeypatch.setattr(kind, "sendall", note)
    Client(exposed.endpoint).close()
    monkeypatch.undo()
    (hello,) = sent
    assert hello.startswith(b"aLcaller")
    with connect(exposed.endpoint) as sock:
        sock.sendall(hello)
        assert sock.recv(8) == b"aLexpose"
        received = b""
        with suppress(ConnectionResetError):
            while more := sock.recv(1000):
                received += more
        assert len(received) == 32  # The rest of the number, and no answer.


def test_a_caller_knows_that_the_node_has_the_key(exposed):
    """Who listens at the port of a node that has ended learns nothing of use."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fake = {**exposed.endpoint, "port": listener.getsockname()[1]}
        fake |= {"name": "", "authority": ""}
        failed = []

        def connect():
            try:
                Client(fake, seconds=10.0)
            except ConnectionError as error:
                failed.append(str(error))

        thread = threading.Thread(target=connect)
        thread.start()
        sock, _ = listener.accept()
        with sock:
            sock.sendall(b"aLexpose" + bytes(32))
            assert len(sock.recv(72, socket.MSG_WAITALL)) == 72
            sock.sendall(b"aLcallee" + bytes(32))
            thread.join()
    assert failed == ["the other end does not have the node's key"]


def test_a_certificate_of_another_authority_is_refused_by_the_caller(store, caplog):
    with exposing(store, tls=True) as exposed:
        other = identity_of(Authority()).authority.decode()
        for changes in ({"authority": other}, {"name": "process-0"}):
            with pytest.raises(ssl.SSLCertVerificationError):
                Client({**exposed.endpoint, **changes})
        with closing(Client(exposed.endpoint)) as caller:
            assert caller.call("echo", 1) == 1
    assert store.num_calls == 1
    words = "refused a connection: there is no TLS 1.3 with it: "
    assert [line.startswith(words) for line in lines(caplog)] == [True, True]


@pytest.mark.parametrize("version", ["TLSv1_2", None])
def test_where_there_is_tls_it_is_1_3(store, caplog, version):
    with exposing(store, tls=True) as exposed:
        where = exposed.endpoint["ip"], exposed.endpoint["port"]
        with socket.create_connection(where, timeout=10.0) as sock:
            if version is None:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(100))
                wait_until_closed(sock)
            else:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                context.maximum_version = ssl.TLSVersion[version]
                with pytest.raises(ssl.SSLError):
                    context.wrap_socket(sock)
        with closing(Client(exposed.endpoint)) as caller:
            assert caller.call("echo", 1) == 1
    (line,) = lines(caplog)
    assert line.startswith("refused a connection: there is no TLS 1.3 with it: ")


def test_the_certificate_is_one_that_strict_clients_take(store):
    """Python 3.13 is strict by default, and so are TLS libraries of other languages."""
    with exposing(store, tls=True) as exposed:
        endpoint = exposed.endpoint
        context = ssl.create_default_context(cadata=endpoint["authority"])
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        where = endpoint["ip"], endpoint["port"]
        with (
            socket.create_connection(where, timeout=10.0) as plain,
            context.wrap_socket(plain, server_hostname=endpoint["name"]) as sock,
        ):
            assert sock.version() == "TLSv1.3"
            assert sock.recv(8) == b"aLexpose"


# --- What may be called -----------------------------------------------------------


@pytest.mark.parametrize("launcher", ["threads", "processes"])
def test_only_the_exposed_nodes_can_be_called(launcher):
    program = Program("two nodes in one process")
    with program.colocate("both"):
        shop = program.add_node(Node(Shop), label="shop")
        safe = program.add_node(Node(Safe), label="safe")
        till = program.add_node(Node(Shop), label="till")
    program.expose(shop)
    program.expose(till)
    with launch(program, launcher) as run:
        endpoint = dataclasses.asdict(run.endpoint(shop))
        with closing(Client(endpoint, seconds=30.0)) as caller:
            for label in ("safe", "till", "", "both"):
                caller.node = label
                with pytest.raises(CallFailed, match=f"no node '{label}' here"):
                    caller.call("open")
            caller.node = "shop"
            assert caller.call("sell") == 1
        # Nor has one node's key a meaning at another one.
        other = dataclasses.asdict(run.endpoint(till))
        with pytest.raises(OSError, match=r"closed the connection|reset"):
            Client({**other, "key": endpoint["key"]}, seconds=30.0)
        assert endpoint["key"] not in repr(run.endpoint(shop))
        with pytest.raises(ConfigError, match="node 'safe' is not exposed: call"):
            run.endpoint(safe)


@pytest.mark.parametrize(
    "method", ["_private", "__init__", "__reduce__", "step", "num_calls", "", "x" * 99]
)
def test_only_public_methods_can_be_called(exposed, caller, method):
    with pytest.raises(CallFailed) as failed:
        caller.call(method)
    assert failed.value.kind == "NoSuchMethod"
    assert caller.call("echo", 1) == 1


def test_an_error_tells_its_type_and_message_only(exposed, caller):
    """No traceback, which has paths and code; not even of an exit."""
    caller._send(client.CALL, 77, ["store", "echo", [], {}, None])
    kind, number, value = caller._read()
    assert (kind, number, set(value)) == (client.ERROR, 77, {"type", "message"})
    assert value["type"] == "TypeError"
    with pytest.raises(CallFailed, match=r"^SystemExit: $"):
        caller.call("leave")
    assert caller.call("echo", 1) == 1


def test_arguments_for_which_a_guard_raises_fail_their_call_only(exposed, caller):
    """Within a run that would be a fault of the node, and end the run."""
    with pytest.raises(CallFailed, match="TypeError: '>=' not supported"):
        caller.call("past", "many")
    with pytest.raises(CallFailed, match="TypeError: "):
        caller.call("past")
    assert caller.call("echo", 1) == 1
    assert caller.call("past", 1) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\xc1", "this is no MessagePack that can be read"),
        (b"\x91" * 100_000, "this is no MessagePack that can be read: StackError"),
        (pickle.dumps(("store", "echo", (1,), {}, None, "me"), 5), "no MessagePack"),
        (pack(["store", "echo", [1], {}]), "what was sent is no call: it has to be a"),
        (pack(["store", "echo", [1], {}, "soon"]), "its seconds are no number"),
        (pack([None, "echo", [1], {}, None]), "its label is no text"),
    ],
)
def test_what_is_no_call_fails_by_itself(exposed, caller, body, words):
    caller.sock.sendall(frame(client.CALL, body=body, number=50))
    kind, number, value = caller._read()
    assert (kind, number, value["type"]) == (client.ERROR, 50, "RpcError")
    assert words in value["message"]
    assert caller.call("echo", 1) == 1


# --- What ends a connection -------------------------------------------------------

NOT_HERE = "closed a connection: a frame of kind {} cannot come here"
NO_FRAME = "closed a connection: what arrives is no frame of version 4 that begins with"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": 2}, NOT_HERE.format(2)),
        ({"kind": 3}, NOT_HERE.format(3)),
        ({"kind": 4}, NOT_HERE.format(4)),
        ({"kind": 5}, NOT_HERE.format(5)),
        ({"kind": 200}, NOT_HERE.format(200)),
        ({"magic": b"GE"}, NO_FRAME),
        ({"version": 3}, NO_FRAME),
        ({"slot": 0}, "closed a connection: a frame's header says what cannot be"),
        ({"slot": 0, "buffers": [b"1"]}, "a frame is in memory that was not lent"),
        ({"length": -1}, "a frame's header says what cannot be"),
        ({"length": MAX_BODY_BYTES + 1}, "a frame's header says what cannot be"),
        ({"num_buffers": 2**31}, "a frame's header says what cannot be"),
        ({"buffers": [b"1"], "lengths": [-64]}, "more bytes than it can have"),
        ({"buffers": [b"1"], "lengths": [2**62]}, "more bytes than it can have"),
    ],
)
def test_a_frame_that_cannot_be_ends_its_connection(
    exposed, caller, caplog, changes, words
):
    with closing(Client(exposed.endpoint, seconds=10.0)) as liar:
        value = ["store", "echo", [1], {}, None]
        liar.sock.sendall(frame(**{"kind": 0, "value": value, **changes}))
        wait_until_closed(liar.sock)
    assert caller.call("echo", 1) == 1
    (line,) = lines(caplog)
    assert words in line


def test_a_pickle_of_who_has_the_key_is_not_unpickled(
    exposed, caller, caplog, tmp_path
):
    path = tmp_path / "file"
    for kind in (client.CALL, client.CANCEL):
        with closing(Client(exposed.endpoint, seconds=10.0)) as liar:
            body = pickle.dumps(("store", "echo", (Writes(path),), {}, None, "me"), 5)
            liar.sock.sendall(frame(kind, body=body, magic=b"aL"))
            wait_until_closed(liar.sock)
    assert caller.call("echo", 1) == 1
    assert not path.exists()
    assert [NO_FRAME in line for line in lines(caplog)] == [True, True]


def test_two_calls_with_one_number_end_their_connection(exposed, caller, caplog):
    with closing(Client(exposed.endpoint, seconds=10.0)) as liar:
        liar.sock.sendall(2 * call_frame("never", number=7))
        wait_until_closed(liar.sock)
    assert caller.call("echo", 1) == 1
    assert lines(caplog) == ["closed a connection: two calls at once have the number 7"]
    # And what was parked for it goes with it.
    assert exposed.server.parked() == ()


# --- What a connection can cost ---------------------------------------------------


def test_a_stranger_who_says_nothing_is_refused(exposed, caller, caplog, monkeypatch):
    assert caller.call("echo", 0) == 0
    monkeypatch.setattr(server_module, "STRANGER_SECONDS", 0.0)
    monkeypatch.setattr(server_module, "_LOOK_SECONDS", 0.01)
    where = exposed.endpoint["ip"], exposed.endpoint["port"]
    with socket.create_connection(where, timeout=10.0) as stranger:
        wait_until_closed(stranger)
    assert "it did not say who it is" in caplog.text
    assert caller.call("echo", 1) == 1


def test_of_many_strangers_the_first_are_refused(exposed, caller):
    where = exposed.endpoint["ip"], exposed.endpoint["port"]
    strangers = [socket.create_connection(where, timeout=10.0) for _ in range(110)]
    try:
        assert caller.call("echo", 1) == 1
        for stranger in strangers[:10]:
            wait_until_closed(stranger)
        strangers[-1].setblocking(False)
        with suppress(BlockingIOError):
            while True:
                assert strangers[-1].recv(2**10)  # Its number at most, and no end.
    finally:
        for stranger in strangers:
            stranger.close()


def test_without_a_file_descriptor_the_newest_connection_is_refused(
    exposed, caller, caplog
):
    assert caller.call("echo", 1) == 1
    with socket.socket() as newest:
        newest.settimeout(10.0)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            newest.connect((exposed.endpoint["ip"], exposed.endpoint["port"]))
            wait_until_closed(newest)
            assert caller.call("echo", 2) == 2
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "refused a connection: Too many open files" in caplog.text
    with closing(Client(exposed.endpoint, seconds=10.0)) as later:
        assert later.call("echo", 3) == 3


def test_no_memory_is_taken_for_bytes_that_have_not_arrived(exposed, caller):
    before = resident_bytes()
    with closing(Client(exposed.endpoint)) as liar:
        size = 2**34
        liar.sock.sendall(frame(client.CALL, 1, buffers=[b"1"], lengths=[size])[:200])
        liar.sock.sendall(bytes(2**20))
        assert caller.call("echo", 1) == 1
        assert resident_bytes() - before < 2**26


@pytest.mark.parametrize("kind", ["half a frame", "no answer is read"])
def test_who_is_stuck_is_closed_in_the_end(exposed, caller, caplog, monkeypatch, kind):
    monkeypatch.setattr(server_module, "STUCK_SECONDS", 0.0)
    monkeypatch.setattr(server_module, "_LOOK_SECONDS", 0.01)
    with closing(Client(exposed.endpoint, seconds=10.0)) as slow:
        if kind == "half a frame":
            slow.sock.sendall(call_frame("echo", 1)[:50])
            wait_until_closed(slow.sock)
        else:
            ended = (BrokenPipeError, ConnectionResetError, ssl.SSLError)
            with pytest.raises(ended):
                for number in itertools.count():
                    slow.sock.sendall(call_frame("make", 2**20, number=number))
    assert caller.call("echo", 1) == 1
    assert " s its caller has read no answer, or has not ended what" in caplog.text


def test_for_who_reads_no_answers_few_are_kept(exposed, caller, store):
    with closing(Client(exposed.endpoint, seconds=1.0)) as slow:
        with pytest.raises(TimeoutError):
            for number in range(2_000):
                value = Array("|u1", [2**18], bytes(2**18))
                slow._send(client.CALL, number, ["store", "echo", [value], {}, None])
        assert store.num_calls < 200
        assert caller.call("echo", 1) == 1


def test_few_calls_of_one_connection_are_parked(exposed, caller, monkeypatch):
    monkeypatch.setattr(server_module, "_MAX_PARKED", 3)
    numbers = [caller.start("never") for _ in range(3)]
    with pytest.raises(CallFailed, match="3 calls of this connection wait already"):
        caller.call("never")
    caller.cancel(numbers[0])
    with pytest.raises(CallFailed, match="cancelled by its caller"):
        caller.result(numbers[0])
    with pytest.raises(CallFailed, match="RpcTimeout"):
        caller.call("never", seconds=0.01)
    with closing(Client(exposed.endpoint, seconds=10.0)) as other:
        assert other.call("echo", 1) == 1


def test_few_calls_of_concurrent_methods_run(exposed, caller, store, monkeypatch):
    monkeypatch.setattr(server_module, "_MAX_THREADS", 2)
    numbers = [caller.start("hang") for _ in range(2)]
    with pytest.raises(CallFailed, match="2 calls like this one run already"):
        caller.call("hang")
    assert caller.call("echo", 1) == 1
    store.may_go_on.set()
    assert [caller.result(number) for number in numbers] == ["it went on"] * 2


def test_a_lost_connection_withdraws_its_parked_calls(exposed, caller):
    with closing(Client(exposed.endpoint, seconds=10.0)) as lost:
        lost.start("never")
        assert lost.call("echo", 1) == 1
        (parked,) = exposed.server.parked()
        assert parked.caller == "another program"
    while exposed.server.parked():
        assert caller.call("echo", 1) == 1


# --- Changed bytes ----------------------------------------------------------------


def example_frames():
    numbers = Array("<f8", [300], bytes(2400))
    calls = [("echo", [1]), ("echo", [numbers]), ("echo", [[numbers, "x" * 50]])]
    calls += [("never", []), ("echo", []), ("nothing", []), ("past", [{"a": None}])]
    frames = [
        frame(client.CALL, ["store", method, args, {}, None], number)
        for number, (method, args) in enumerate(calls)
    ]
    return [*frames, frame(client.CANCEL, None, 3), frame(4, None), frame(2, numbers)]


def changed_body(chance):
    """A frame whose checksum is right, and whose body is not."""
    numbers = Array("<f8", [300], bytes(2400))
    buffers: list[bytes] = []
    body = pack(["store", "echo", [numbers, {"a": [1, b"x"]}], {}, 2.0], buffers)
    return frame(client.CALL, body=mutated(body, chance), buffers=buffers)


def run_mutations(endpoint, num_frames):
    chance, frames = random.Random(0), example_frames()
    for number in range(num_frames):
        sent = mutated(chance.choice(frames), chance)
        if number % 2:
            sent = changed_body(chance)
        if chance.random() < 0.2:
            # Before it has shown its key.
            sock = connect(endpoint)
            sent = mutated(b"aLcaller" + bytes(64), chance) + sent
        else:
            sock = Client(endpoint, seconds=10.0).sock
        with sock:
            with suppress(OSError):  # It may be refused already.
                sock.sendall(sent)
                sock.shutdown(socket.SHUT_WR)
            wait_until_closed(sock)


LONG = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("tls", "num_frames"),
    [
        (False, 500),
        (True, 200),
        pytest.param(False, 100_000, marks=LONG),
        pytest.param(True, 10_000, marks=LONG),
    ],
)
def test_changed_frames_do_no_harm(store, caplog, tls, num_frames):
    caplog.set_level("ERROR")
    with exposing(store, tls=tls) as exposed:
        # What is allocated once.
        run_mutations(exposed.endpoint, min(num_frames // 5, 1_000))
        before = resident_bytes()
        run_mutations(exposed.endpoint, num_frames)
        with closing(Client(exposed.endpoint, seconds=10.0)) as caller:
            assert caller.call("echo", 1) == 1
        # Some of them were calls after all, and those that were parked have gone.
        assert store.num_calls >= num_frames / 100
        assert exposed.server.parked() == ()
        assert resident_bytes() - before < 2**25


@pytest.mark.parametrize("tls", [False, True])
def test_who_has_been_refused_leaves_nothing(store, tls):
    """Garbage is rarely collected in a process with much else in memory."""
    with exposing(store, tls=tls) as exposed:
        gc.collect()
        gc.disable()
        try:
            run_mutations(exposed.endpoint, 100)
            with closing(Client(exposed.endpoint, seconds=10.0)) as caller:
                for method, args in (("echo", []), ("past", ["many"]), ("leave", [])):
                    with pytest.raises(CallFailed):
                        caller.call(method, *args)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            found = {type(each) for each in gc.garbage}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert [kind for kind in found if kind.__module__.startswith("acmelike")] == []


# --- In a run ---------------------------------------------------------------------


@pytest.fixture(params=["threads", "processes"])
def launcher(request):
    return request.param


def make_program(**where):
    program = Program("shops")
    shop = program.add_node(Node(Shop), label="shop")
    program.expose(shop, **where)
    return program, shop


def test_another_program_may_end_the_run(launcher):
    program, shop = make_program()
    with launch(program, launcher) as run:
        endpoint = dataclasses.asdict(run.endpoint(shop))
        with closing(Client(endpoint, seconds=30.0)) as caller:
            assert caller.call("close_shop") is None
            assert run.wait() == "the shop is closed"


def test_calls_that_wait_end_with_the_run(launcher):
    program, shop = make_program()
    with launch(program, launcher) as run:
        endpoint = dataclasses.asdict(run.endpoint(shop))
        caller = Client(endpoint, seconds=30.0)
        number = caller.start("wait_for", 9)
        assert caller.call("echo")["args"] == []
    with closing(caller), pytest.raises(CallFailed, match=r"RpcClosed: shop\.wait_for"):
        caller.result(number)


@pytest.mark.parametrize("method", ["hang", "hang_alone"])
def test_a_method_that_hangs_does_not_keep_a_run_from_its_end(launcher, caplog, method):
    program, shop = make_program()
    with launch(program, launcher, grace_seconds=0.2) as run:
        endpoint = dataclasses.asdict(run.endpoint(shop))
        caller = Client(endpoint, seconds=30.0)
        caller.start(method)
        if method == "hang":
            caller.call("echo")
        else:
            with suppress(RpcTimeout):  # It has begun when others cannot be called.
                while True:
                    with deadline(0.05):
                        run.client(shop).echo()
        caller.close()
    assert "still runs 0 s after the end of the run" in caplog.text
    Shop.may_go_on.set()
    Shop.may_go_on = threading.Event()


def test_a_port_that_is_taken_is_told(launcher):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program, _ = make_program(port=port)
        words = f"'shop' cannot be exposed at 127.0.0.1:{port}: Address already in use;"
        with pytest.raises((ConfigError, NodeFailed), match=words):
            with launch(program, launcher) as run:
                run.wait()


def test_without_cryptography_tls_is_refused_before_anything_starts(
    launcher, monkeypatch
):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    program, _ = make_program(ip="0.0.0.0")
    with pytest.raises(ConfigError, match=r"exposed with TLS, .*'acmelike\[cluster\]'"):
        launch(program, launcher)


def test_a_port_is_closed_again_if_another_one_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        program, _ = make_program()
        other = program.add_node(Node(Shop), label="other")
        program.expose(other, port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match="node 'other' cannot be exposed"):
            launch(program, "threads")


def test_an_endpoint_is_not_waited_for_after_the_end(launcher):
    program, shop = make_program()
    with launch(program, launcher) as run:
        run.endpoint(shop)
        run.stop()
        run.wait()
        assert run.endpoint(shop).node == "shop"  # Still known.


def test_an_endpoint_is_not_waited_for_where_its_process_cannot_listen():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        program, shop = make_program(port=taken.getsockname()[1])
        with pytest.raises(NodeFailed), launch(program, "processes") as run:
            with pytest.raises(RpcClosed, match="failed in its exposed port"):
                run.endpoint(shop)


def test_who_listens_on_every_network_speaks_tls(launcher):
    program, shop = make_program(ip="0.0.0.0")
    with launch(program, launcher) as run:
        endpoint = run.endpoint(shop)
        assert endpoint.ip == "0.0.0.0"
        assert endpoint.authority.startswith("-----BEGIN CERTIFICATE-----")
        found = {**dataclasses.asdict(endpoint), "ip": "127.0.0.1"}
        with closing(Client(found, seconds=30.0)) as caller:
            assert caller.call("sell") == 1

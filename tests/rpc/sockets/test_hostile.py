"""What others may cost who connect: strangers, liars, idlers, the slow and mistaken."""

from __future__ import annotations

import itertools
import os
import random
import resource
import socket
import ssl
import struct
import sys
import threading
import time
import zlib
from contextlib import ExitStack, suppress
from types import SimpleNamespace

import numpy as np
import pytest

from acmelike import deadline, start, when
from acmelike.core.status import resident_bytes
from acmelike.errors import RpcClosed, RpcError, RpcFailed, RpcTimeout
from acmelike.rpc import Authority, Channel, new_key
from acmelike.rpc.failure import from_wire
from acmelike.rpc.sockets import channel as channel_module
from acmelike.rpc.sockets import server as server_module
from acmelike.rpc.sockets.endpoints import listen_near
from acmelike.rpc.sockets.frames import (
    CALL,
    CONTROL,
    RESULT,
    FrameReader,
    encode,
    make_frame,
)
from acmelike.rpc.sockets.greeting import CALLEE_BYTES, CALLER_BYTES, greeting
from acmelike.rpc.sockets.pickle_codec import make_payload
from acmelike.rpc.sockets.stream import Stream
from acmelike.rpc.sockets.tls import TlsSocket
from tests.launchers.fakes import wait_until
from tests.rpc.sockets.serving import (
    FAR,
    KEY,
    NEAR,
    Writes,
    client_of,
    identity_of,
    mutated,
    no_file_left,
    serving,
)


class Unreadable:
    """Something that can be pickled and not be read."""

    def __reduce__(self):
        return int, ("this is no number",)


class Store:
    """A service with calls of every kind."""

    def __init__(self):
        self.num_calls = 0
        self.may_go_on = threading.Event()
        self.notes = []

    def echo(self, value):
        self.num_calls += 1
        return value

    def note(self, word):
        self.notes.append(word)

    def make(self, num_bytes):
        self.num_calls += 1
        return bytes(num_bytes)

    def make_unreadable(self):
        return Unreadable()

    def hang(self):
        self.may_go_on.wait()

    def take_long(self):
        threading.Event().wait(0.3)

    def _blocks(self):
        return "it never comes"

    @when(_blocks)
    def never(self):
        raise AssertionError


@pytest.fixture
def store():
    store = Store()
    yield store
    store.may_go_on.set()


@pytest.fixture(params=["near", "far"])
def served(request, store, tmp_path):
    """Served to processes of this host, or as to those of others."""
    credentials = NEAR if request.param == "near" else FAR
    with serving(store, tmp_path, credentials) as found:
        yield found


@pytest.fixture
def served_near(store, tmp_path):
    with serving(store, tmp_path) as found:
        yield found


@pytest.fixture
def served_far(store, tmp_path):
    with serving(store, tmp_path, FAR) as found:
        yield found


class Caller:
    """Somebody who sends what they like."""

    def __init__(self, address, connects=True):
        self.address, self.reader = address, None
        kind = socket.AF_UNIX if address.path else socket.AF_INET
        self.sock = socket.socket(kind, socket.SOCK_STREAM)
        if connects:
            self.connect()

    def connect(self):
        self.sock.connect(self.address.path or (self.address.ip, self.address.port))

    def greet(self, key=KEY, identity=FAR.identity):
        """Shows that it belongs to the run of the key or of the identity."""
        path, name = self.address.path, self.address.name
        if path:
            self.sock.sendall(greeting(key, path)[0])
        else:
            context = identity.client
            self.sock = context.wrap_socket(self.sock, server_hostname=name)

    def send(self, kind, value, number=0):
        self.sock.sendall(b"".join(encode(kind, number, value).pieces))

    def call(self, method, *args, number=0):
        self.send(CALL, ("store", method, args, {}, None, "outside"), number)

    def read(self):
        """The next answer; from then on the socket does not block."""
        if self.reader is None:
            is_near = bool(self.address.path)
            self.stream = Stream(self.sock if is_near else TlsSocket(self.sock))
            self.reader = FrameReader(self.stream)
            if is_near:
                self._try(lambda: self.reader.read_bytes(CALLEE_BYTES))
        return self._try(self.reader.read)

    def _try(self, read):
        while True:
            try:
                return read()
            except BlockingIOError:
                assert self.stream.wait(10.0)

    def wait_until_closed(self):
        """Reads until the other end closes the connection."""
        self.sock.settimeout(10.0)
        try:
            while self.sock.recv(2**20):
                pass
        except (ConnectionResetError, ssl.SSLError):
            pass  # It did not read all that was sent, or refuses who asks.

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


# --- Strangers --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["none", "of another run", "of another address"])
def test_of_a_stranger_no_byte_is_unpickled(served_near, tmp_path, caplog, kind):
    address = served_near.address
    with Caller(address) as stranger:
        if kind == "of another run":
            stranger.greet(new_key())
        elif kind == "of another address":
            stranger.address = address._replace(path=address.path + "x")
            stranger.greet()
        check_refused(served_near, stranger, tmp_path / "file")
    (line,) = [record.message for record in caplog.records]
    assert line == "refused a connection: it does not belong to this run"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("plain text", "it does not show a certificate of this run: "),
        ("none", "it does not show a certificate of this run: peer did not return a"),
        ("of another run", "its certificate is not of this run: "),
    ],
)
def test_of_a_stranger_on_another_host_no_byte_is_unpickled(
    served_far, tmp_path, caplog, kind, why
):
    identity = identity_of(Authority())
    identity.client.check_hostname = False
    identity.client.verify_mode = ssl.CERT_NONE
    if kind == "none":
        identity.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        identity.client.check_hostname = False
        identity.client.verify_mode = ssl.CERT_NONE
    with Caller(served_far.address) as stranger:
        if kind != "plain text":
            stranger.greet(identity=identity)
        check_refused(served_far, stranger, tmp_path / "file")
    (line,) = [record.message for record in caplog.records]
    assert line.startswith(f"refused a connection: {why}")


@pytest.mark.skipif(os.geteuid() != 0, reason="run as root")
def test_another_user_is_refused_even_with_the_key(served_near, tmp_path, caplog):
    os.seteuid(65534)
    try:
        stranger = Caller(served_near.address)
    finally:
        os.seteuid(0)
    with stranger:
        with suppress(OSError):
            stranger.greet()
        check_refused(served_near, stranger, tmp_path / "file")
    (line,) = [record.message for record in caplog.records]
    assert line == "refused a connection of another user"


def check_refused(served, stranger, path):
    with suppress(OSError):  # It may be refused already.
        stranger.call("echo", Writes(path))
        stranger.sock.shutdown(socket.SHUT_WR)
    stranger.wait_until_closed()
    assert served.client.echo(1) == 1
    assert not path.exists()


def test_a_server_of_another_run_or_process_is_not_called(store, tmp_path):
    """Where it listens may have been another process's before."""
    other = identity_of(Authority())
    with serving(store, tmp_path, FAR) as found:
        for address, identity in (
            (found.address, other),
            (found.address._replace(name="process-0"), FAR.identity),
        ):
            channel = Channel(address, FAR._replace(identity=identity), lambda: None)
            with pytest.raises(RpcClosed, match="CERTIFICATE_VERIFY_FAILED"):
                client_of(channel).echo(1)
            channel.close("the test is over")
            channel.dispose()
    assert store.num_calls == 0


def test_of_a_server_of_another_run_no_byte_is_unpickled(tmp_path):
    listener = listen_near(str(tmp_path), KEY)
    address = listener.address
    with listener.sock:
        channel = Channel(address, NEAR, lambda: None)
        call = start(client_of(channel).echo, 1)
        sock, _ = listener.sock.accept()
        with sock:
            sock.recv(CALLER_BYTES)
            frame = encode(RESULT, 0, Writes(tmp_path / "file"))
            sock.sendall(b"aLcallee" + bytes(32) + b"".join(frame.pieces))
            with pytest.raises(RpcClosed, match="does not belong to this run"):
                call.result()
            with pytest.raises(RpcClosed):
                client_of(channel).echo(2)
        channel.close("the test is over")
        channel.dispose()
    assert not (tmp_path / "file").exists()


def test_a_stranger_who_says_nothing_is_refused(served, caplog, monkeypatch):
    assert served.client.echo(0) == 0  # Now its connection is no stranger.
    monkeypatch.setattr(server_module, "STRANGER_SECONDS", 0.0)
    monkeypatch.setattr(server_module, "_LOOK_SECONDS", 0.01)
    with Caller(served.address) as stranger:
        stranger.wait_until_closed()
    assert "it did not say who it is" in caplog.text
    assert served.client.echo(1) == 1


def test_who_waits_for_a_busy_server_is_no_stranger(served_near, store, monkeypatch):
    """It is accepted, and then a method runs that takes longer than strangers have."""
    address, client = served_near.address, served_near.client
    other, new = (Channel(address, NEAR, lambda: None) for _ in range(2))
    assert client.echo(0) == client_of(other).echo(0) == 0
    monkeypatch.setattr(server_module, "STRANGER_SECONDS", 0.1)
    monkeypatch.setattr(server_module, "_LOOK_SECONDS", 0.0)
    # While a method runs, two things come: a new connection, then a call that is long.
    first = start(client.hang)
    call, second = start(client_of(new).echo, 1), start(client_of(other).take_long)
    served_near.sockets._next_look = 0.0  # Strangers are looked at right afterwards.
    store.may_go_on.set()
    assert call.result() == 1
    first.result()
    second.result()
    for channel in (other, new):
        channel.close("the test is over")
        channel.dispose()


def test_of_many_strangers_the_first_are_refused(served):
    strangers = [Caller(served.address) for _ in range(110)]
    try:
        assert served.client.echo(1) == 1
        for stranger in strangers[:10]:
            stranger.wait_until_closed()
        strangers[-1].sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            strangers[-1].sock.recv(1)
    finally:
        for stranger in strangers:
            stranger.sock.close()


def test_of_very_many_strangers_few_lines_are_logged(served_near, caplog):
    sockets = served_near.sockets
    for number in range(50):
        sockets._warn("refused number %d", number)
    assert len(caplog.messages) == 20
    sockets._warned_at -= 1.0
    sockets._warn("refused another")
    assert caplog.messages[-1] == "refused another (30 more were not told)"


def test_without_a_file_descriptor_the_newest_connection_is_refused(served, caplog):
    assert served.client.echo(1) == 1
    with Caller(served.address, connects=False) as newest:
        with no_file_left():
            newest.connect()
            newest.wait_until_closed()
            assert served.client.echo(2) == 2
    assert "refused a connection: Too many open files" in caplog.text
    with Caller(served.address) as later:
        later.greet()
        later.call("echo", 3)
        assert later.sock.recv(1)


def test_as_long_as_no_file_descriptor_is_left_few_lines_are_logged(served, caplog):
    """Each newest connection is refused, and the next one after that time is served."""
    assert served.client.echo(1) == 1
    with ExitStack() as stack:
        callers = [
            stack.enter_context(Caller(served.address, connects=False))
            for _ in range(50)
        ]
        began = time.monotonic()
        with no_file_left():
            for caller in callers:
                caller.connect()
                caller.wait_until_closed()
            assert served.client.echo(2) == 2
        seconds = time.monotonic() - began
    words = "refused a connection: Too many open files"
    told = [line for line in caplog.messages if line.startswith(words)]
    assert told[0] == words
    assert len(told) <= 20 + seconds
    with Caller(served.address) as later:
        later.greet()
        later.call("echo", 3)
        assert later.read().value == 3


def test_where_even_the_spare_file_descriptor_is_taken_connections_wait(
    served, caplog, monkeypatch
):
    """If they were found again at once, that would take all of the server's time."""
    assert served.client.echo(1) == 1
    taken = []

    def close(number):
        os.close(number)
        taken.append(os.dup(0))  # Another thread is quicker.

    with Caller(served.address, connects=False) as newest:
        with no_file_left(), monkeypatch.context() as patched:
            system = SimpleNamespace(**(vars(os) | {"close": close}))
            patched.setattr(server_module, "os", system)
            newest.connect()
            wait_until(lambda: served.sockets._spare_at is not None)
            # Nothing finds the waiting connection, so nothing looks at it again.
            listening = served.sockets._listener.sock
            assert listening not in served.sockets._selector.get_map()
            assert served.client.echo(2) == 2
        newest.greet()
        newest.call("echo", 3)
        assert newest.read().value == 3
    for number in taken:
        os.close(number)
    assert caplog.messages == [
        "connections wait for a file descriptor: Too many open files"
    ]


# --- Liars ------------------------------------------------------------------------

HEADER = struct.Struct("<I2sBBIiQqI")


def header(magic=b"aL", version=4, kind=CALL, num_buffers=0, slot=-1, length=10):
    return HEADER.pack(0, magic, version, kind, num_buffers, slot, 0, length, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": 2**62},
        {"length": -1},
        {"num_buffers": 2**31},
        {"slot": 7},
        {"slot": 7, "num_buffers": 1},
        {"slot": 70},
        {"kind": 99},
        {"kind": CALL + 128},  # Packed, and larger than when it is whole again.
        {"version": 3},
        {"magic": b"GE"},
        {"magic": b"aD"},
        {},  # But its checksum.
    ],
)
def test_a_frame_that_cannot_be_ends_its_connection(served, caplog, wrong):
    with Caller(served.address) as liar:
        liar.greet()
        frame = bytearray(header(**wrong) + bytes(64))
        if wrong:  # Whatever else it says, its checksum is right.
            end = HEADER.size + 8 * min(wrong.get("num_buffers", 0), 1) + 10
            struct.pack_into("<I", frame, 0, zlib.crc32(frame[4:end]))
        liar.sock.sendall(frame)
        liar.wait_until_closed()
    assert served.client.echo(1) == 1
    assert len(caplog.records) == 1


def test_no_memory_is_taken_for_bytes_that_have_not_arrived(served):
    before = resident_bytes()
    with Caller(served.address) as liar:
        liar.greet()
        liar.sock.sendall(header(length=2**34) + bytes(2**20))
        assert served.client.echo(1) == 1
        assert resident_bytes() - before < 2**26


def test_nothing_is_kept_of_a_message_that_was_not_ended(served):
    with Caller(served.address) as liar:
        liar.greet()
        liar.sock.sendall(header(length=2**24) + bytes(2**20))
        assert served.client.echo(1) == 1
        connections = list(served.sockets._connections)
    while len(served.sockets._connections) == len(connections):
        pass
    assert served.client.echo(1) == 1
    (gone,) = set(connections) - served.sockets._connections
    assert gone.reader._block is None


def example_frames():
    array = np.arange(300.0)
    calls = [("echo", (1,)), ("echo", (array,)), ("echo", ([array, "x" * 50],))]
    calls += [("never", ()), ("echo", ()), ("nothing", ())]
    frames = [
        encode(CALL, number, ("store", method, args, {}, None, "outside"))
        for number, (method, args) in enumerate(calls)
    ]
    images = np.zeros((64, 64), np.uint8)
    call = make_payload(("store", "echo", (images,), {}, None, "outside"))
    frames += [encode(CONTROL, 9, None), encode(RESULT, 9, array)]
    frames += [make_frame(CALL, 9, call, pack=True)] * 3
    return [b"".join(frame.pieces) for frame in frames]


def first_bytes(address):
    """What a caller of the run sends first: its proof, or its part of TLS's."""
    if address.path:
        return greeting(KEY, address.path)[0]
    sent = ssl.MemoryBIO()
    tls = FAR.identity.client.wrap_bio(
        ssl.MemoryBIO(), sent, server_hostname=address.name
    )
    with suppress(ssl.SSLWantReadError):  # It waits for an answer.
        tls.do_handshake()
    return sent.read()


def run_mutations(served, num_frames):
    chance, frames = random.Random(0), example_frames()
    for _ in range(num_frames):
        with Caller(served.address) as liar:
            frame = mutated(chance.choice(frames), chance)
            liar.sock.settimeout(10.0)
            with suppress(OSError):  # It may be refused already.
                if chance.random() < 0.2:
                    # Before it has shown who it is.
                    hello = mutated(first_bytes(served.address), chance)
                    liar.sock.sendall(hello + frame)
                else:
                    liar.greet()
                    liar.sock.sendall(frame)
                liar.sock.shutdown(socket.SHUT_WR)
            liar.wait_until_closed()


LONG = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("served", "num_frames"),
    [
        ("near", 500),
        ("far", 300),
        pytest.param("near", 100_000, marks=LONG),
        pytest.param("far", 10_000, marks=LONG),
    ],
    indirect=["served"],
)
def test_changed_frames_do_no_harm(served, caplog, num_frames):
    """Frames are read as pickles, but of those who belong to the run."""
    caplog.set_level("ERROR")
    run_mutations(served, min(num_frames // 5, 1_000))  # What is allocated once.
    before = resident_bytes()
    run_mutations(served, num_frames)
    assert served.client.echo(1) == 1
    assert served.server.parked() == ()
    assert resident_bytes() - before < 2**25


def test_changed_answers_end_calls_and_hang_none(tmp_path):
    chance, num_refused = random.Random(0), 0
    answers = [
        (value, b"".join(encode(RESULT, 0, value).pieces))
        for value in (1, np.arange(300.0), ["x" * 50, None])
    ]
    listener = listen_near(str(tmp_path), KEY)
    address = listener.address
    with listener.sock:
        for _ in range(500):
            channel = Channel(address, NEAR, lambda: None)
            call = start(client_of(channel).echo, 1)
            sock, _ = listener.sock.accept()
            value, answer = chance.choice(answers)
            with sock:
                received = sock.recv(CALLER_BYTES, socket.MSG_WAITALL)
                reply = server_module.answer(KEY, address.path, received)
                sock.sendall(reply + mutated(answer, chance))
            try:
                found = call.result()
            except RpcError:
                num_refused += 1
            else:  # Only its padding was changed.
                np.testing.assert_equal(found, value)
            channel.close("the test is over")
            channel.dispose()
    # About one in twenty is changed in nothing but its padding.
    assert 400 < num_refused < 500


def test_a_caller_does_not_wait_for_ever_for_the_end_of_an_answer(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(channel_module, "STUCK_SECONDS", 0.05)
    answer = b"".join(encode(RESULT, 0, "x" * 500).pieces)
    listener = listen_near(str(tmp_path), KEY)
    channel = Channel(listener.address, NEAR, lambda: None)
    with listener.sock:
        call = start(client_of(channel).echo, 1)
        sock, _ = listener.sock.accept()
        with sock:  # It stays open.
            received = sock.recv(CALLER_BYTES, socket.MSG_WAITALL)
            reply = server_module.answer(KEY, listener.address.path, received)
            sock.sendall(reply + answer[:100])
            with pytest.raises(RpcError, match="the end of a message did not come in"):
                call.result()
    channel.close("the test is over")
    channel.dispose()


# --- The idle ---------------------------------------------------------------------

NUM_IDLE = 1_000
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="run on Linux")


@pytest.fixture
def many_files():
    """Lets this process have the files of so many connections: of each, both ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted, unlimited = 2 * NUM_IDLE + 500, resource.RLIM_INFINITY
    if hard != unlimited and hard < wanted:
        pytest.skip(f"allow more files: ulimit -Hn {wanted}")
    if soft != unlimited and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def num_files():
    return len(os.listdir("/proc/self/fd"))


def num_known(served):
    """How many connections are of callers that have shown who they are."""
    return sum(each.is_known for each in list(served.sockets._connections))


@needs_proc
@pytest.mark.parametrize(
    ("served", "num_idle"), [("near", NUM_IDLE), ("far", 100)], indirect=["served"]
)
def test_who_is_idle_costs_a_file_and_no_thread(many_files, served, num_idle):
    """With TLS they are fewer, as it takes longer to begin."""
    assert served.client.echo(0) == 0
    num_threads, num_before = threading.active_count(), num_files()
    before = resident_bytes()
    with ExitStack() as stack:
        idle = []
        for _ in range(num_idle):
            idle.append(stack.enter_context(Caller(served.address)))
            idle[-1].greet()
        wait_until(lambda: num_known(served) == num_idle + 1)
        assert served.client.echo(1) == 1
        assert threading.active_count() <= num_threads
        assert num_files() <= num_before + 2 * num_idle  # Both ends are here.
        assert resident_bytes() - before < 2**26
        for number in (0, num_idle - 1):
            idle[number].call("echo", number)
            assert idle[number].read().value == number
    wait_until(lambda: num_files() <= num_before)
    assert served.client.echo(2) == 2


@needs_proc
def test_of_very_many_who_say_nothing_few_have_files(many_files, served_near):
    assert served_near.client.echo(0) == 0
    num_threads, num_before = threading.active_count(), num_files()
    with ExitStack() as stack:
        silent = [
            stack.enter_context(Caller(served_near.address)) for _ in range(NUM_IDLE)
        ]
        for each in silent[:-100]:
            each.wait_until_closed()
        assert served_near.client.echo(1) == 1
        assert threading.active_count() <= num_threads
        assert num_files() <= num_before + NUM_IDLE + 100
    wait_until(lambda: num_files() <= num_before)
    assert served_near.client.echo(2) == 2


def come_and_go(served, num_callers):
    """They close at once, when they have shown who they are, or in half a frame."""
    for number in range(num_callers):
        with Caller(served.address) as caller:
            if number % 3:
                caller.greet()
            if number % 3 == 2:
                caller.sock.sendall(header(length=100))
        if number % 50 == 0:  # Others are served meanwhile.
            assert served.client.echo(number) == number
    wait_until(lambda: len(served.sockets._connections) == 1)


@needs_proc
@pytest.mark.long
@pytest.mark.parametrize(
    ("served", "num_callers"), [("near", 5_000), ("far", 300)], indirect=["served"]
)
def test_who_comes_and_goes_leaves_no_file_and_no_memory(served, caplog, num_callers):
    caplog.set_level("ERROR")  # Those who do not show who they are get a warning.
    assert served.client.echo(0) == 0
    come_and_go(served, num_callers // 5)
    num_threads, num_before = threading.active_count(), num_files()
    before = resident_bytes()
    come_and_go(served, num_callers)
    wait_until(lambda: num_files() <= num_before)
    assert threading.active_count() <= num_threads
    assert resident_bytes() - before < 2**24
    assert served.client.echo(1) == 1


# --- The slow ---------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    ("served", "num_callers"), [("near", 100), ("far", 20)], indirect=["served"]
)
def test_who_sends_a_byte_at_a_time_holds_up_nobody(served, num_callers):
    assert served.client.echo(0) == 0
    num_threads, numbers = threading.active_count(), range(num_callers)
    calls = [("store", "echo", (number,), {}, None, "outside") for number in numbers]
    frames = [b"".join(encode(CALL, 0, call).pieces) for call in calls]
    with ExitStack() as stack:
        slow = []
        for _ in numbers:
            slow.append(stack.enter_context(Caller(served.address)))
            slow[-1].greet()
        wait_until(lambda: num_known(served) == num_callers + 1)
        for at in range(len(frames[0])):  # They are all as long.
            for each, frame in zip(slow, frames, strict=True):
                each.sock.sendall(frame[at : at + 1])
            with deadline(10.0):
                assert served.client.echo(at) == at
        assert [each.read().value for each in slow] == list(numbers)
        assert threading.active_count() <= num_threads


def test_for_who_reads_no_answers_few_are_kept(served, store):
    with Caller(served.address) as slow:
        slow.greet()
        slow.sock.settimeout(1.0)
        num_sent = 0
        with pytest.raises(TimeoutError):
            for _ in range(2_000):
                slow.call("echo", bytes(2**18), number=num_sent)
                num_sent += 1
        # No more than so many are taken, and others are served meanwhile.
        assert store.num_calls < 200
        assert served.client.echo(1) == 1
        # Who reads at last gets every answer.
        numbers = [slow.read().request for _ in range(num_sent - 1)]
        assert numbers == list(range(len(numbers)))


def test_calls_that_were_received_while_answers_were_unread_are_answered(
    served_near, store, monkeypatch
):
    """No selector finds what was received together with another call."""
    were_unread = []

    def num_unsent(stream):
        """Once, when the second call is due, so much that no more calls are taken."""
        if store.num_calls and not were_unread:
            if sys._getframe(1).f_code.co_name == "_serve":
                were_unread.append(True)
                return 2**24
        return vars(stream)["num_unsent"]

    def set_num_unsent(stream, number):
        vars(stream)["num_unsent"] = number

    patched = property(num_unsent, set_num_unsent)
    monkeypatch.setattr(Stream, "num_unsent", patched, raising=False)
    calls = [("store", "echo", (number,), {}, None, "outside") for number in (1, 2)]
    with Caller(served_near.address) as caller:
        caller.greet()
        caller.sock.settimeout(10.0)
        frames = [b"".join(encode(CALL, 0, call).pieces) for call in calls]
        caller.sock.sendall(b"".join(frames))
        assert [caller.read().value for _ in calls] == [1, 2]
    assert were_unread


@pytest.mark.parametrize("kind", ["half a frame", "no answer is read"])
def test_who_is_stuck_is_closed_in_the_end(served, caplog, monkeypatch, kind):
    monkeypatch.setattr(server_module, "STUCK_SECONDS", 0.0)
    monkeypatch.setattr(server_module, "_LOOK_SECONDS", 0.01)
    with Caller(served.address) as slow:
        slow.greet()
        if kind == "half a frame":
            slow.sock.sendall(header(length=100))
            slow.wait_until_closed()
        else:
            slow.sock.settimeout(10.0)
            ended = (BrokenPipeError, ConnectionResetError, ssl.SSLError)
            with pytest.raises(ended):
                for number in itertools.count():
                    slow.call("make", 2**20, number=number)
    assert served.client.echo(1) == 1
    assert "closed a connection: for 0 s its caller" in caplog.text


def test_who_sends_without_end_does_not_keep_the_others_waiting(served, store):
    """Its calls are handled some at a time, and theirs in between."""
    credentials = served.channel._credentials
    other = Channel(served.address, credentials, lambda: None)
    assert client_of(other).echo(0) == 0
    with Caller(served.address) as busy:
        busy.greet()
        hanging = start(served.client.hang)
        frame = encode(CALL, 0, ("store", "note", ("busy",), {}, None, "outside"))
        busy.sock.sendall(b"".join(frame.pieces) * 400)
        late = start(client_of(other).note, "other")
        store.may_go_on.set()
        hanging.result()
        late.result()
        assert store.notes.index("other") < 200
    other.close("the test is over")
    other.dispose()


def test_many_calls_whose_answers_nobody_reads_yet_do_not_block_each_other(served):
    """Who sends reads meanwhile; or both ends would wait for the other to read."""
    calls = [start(served.client.make, 2**14) for _ in range(3_000)]
    assert all(len(call.result()) == 2**14 for call in calls)


def test_a_deadline_passes_while_a_large_call_cannot_be_sent(served, store):
    hanging = start(served.client.hang)
    with pytest.raises(RpcTimeout, match="its process does not take the call"):
        with deadline(0.05):
            served.client.echo(b"x" * 2**24)
    # Later calls end in the same way, and no more is kept of them.
    kept = served.channel._stream.num_unsent
    with pytest.raises(RpcTimeout, match="its process does not take the call"):
        with deadline(0.05):
            served.client.echo(b"x" * 2**24)
    assert served.channel._stream.num_unsent <= kept
    store.may_go_on.set()
    hanging.result()
    # What was sent in part is sent on, or the stream would be of no use.
    assert served.client.echo(1) == 1


def test_what_nobody_waits_for_any_more_is_not_begun(served_near, store, monkeypatch):
    """On one host; of another one's clock nothing is known."""
    served = served_near
    monkeypatch.setattr(server_module, "GRACE_SECONDS", 0.0)
    other = Channel(served.address, served.channel._credentials, lambda: None)
    hanging = start(client_of(other).hang)
    while not served.sockets._connections:
        pass
    with deadline(0.0):
        late = start(served.client.echo, 1)
    store.may_go_on.set()
    hanging.result()
    assert served.client.echo(2) == 2
    assert store.num_calls == 1
    assert not late.done()
    other.close("the test is over")
    other.dispose()


# --- Errors of one call only ------------------------------------------------------


def test_arguments_that_cannot_be_read_are_an_error_of_the_call(served):
    with pytest.raises(
        RpcError, match=r"cannot be read: ValueError.*this is no number"
    ):
        served.client.echo(Unreadable())
    assert served.client.echo(1) == 1


def test_an_outcome_that_cannot_be_read_is_an_error_of_the_call(served):
    kept = start(served.client.never)
    with pytest.raises(RpcFailed, match=r"store.make_unreadable: its outcome cannot"):
        served.client.make_unreadable()
    assert served.client.echo(1) == 1
    kept.cancel()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (("nobody", "echo", (), {}, None, "outside"), "there is no node 'nobody'"),
        ("echo", "what was sent is no call"),
        (None, "what was sent is no call"),
    ],
)
def test_what_is_no_call_is_answered_with_an_error(served, value, words):
    with Caller(served.address) as odd:
        odd.greet()
        odd.send(CALL, value)
        assert words in str(from_wire(odd.read().value))
    assert served.client.echo(1) == 1


def test_what_is_too_large_for_a_message_is_refused_where_it_is_sent(monkeypatch):
    monkeypatch.setattr("acmelike.rpc.sockets.frames.MAX_BUFFERS", 2)
    with pytest.raises(RpcError, match=r"a message of 3 arrays and .* is too large"):
        encode(CALL, 0, [np.arange(1000) for _ in range(3)])

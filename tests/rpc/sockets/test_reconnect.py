"""What becomes of calls when a connection is lost, or a process is replaced."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from acmelike import (
    ConnectionLost,
    RpcClosed,
    RpcTimeout,
    deadline,
    idempotent,
    start,
    when,
)
from acmelike.core.runtime import set_context
from acmelike.core.status import NodeMetrics
from acmelike.errors import ConfigError, RefLost
from acmelike.rpc import (
    VALUES,
    AddressBook,
    Channel,
    Credentials,
    Peer,
    Peers,
    Server,
    SocketServer,
    checked_heartbeat,
    interface_of,
    listen_far,
    listen_near,
    new_key,
)
from acmelike.rpc.refs import Store, Values
from acmelike.rpc.sockets import peers as peers_module
from acmelike.rpc.sockets import server as server_module
from acmelike.rpc.sockets import shared_memory
from acmelike.rpc.sockets.endpoints import Address, connect_near, this_host
from acmelike.rpc.sockets.ledger import Key
from acmelike.rpc.sockets.shared_memory import LARGE_BYTES, MAX_BYTES, MAX_FILES
from tests.rpc.sockets.serving import (
    AUTHORITY,
    FAR,
    KEY,
    NEAR,
    FreeScheduler,
    Supervisor,
    no_file_left,
)

ROOT = Path(__file__).parents[3]
LOST = (
    r"the connection to its process was lost \(.*\)\. It may have run, and is not "
    r"repeated: its method is not @idempotent"
)


class Shop:
    """Counts what is asked of it; some calls wait until it is open."""

    def __init__(self, name="", store=None):
        self._store = store
        self.name, self.num_calls, self.is_open, self.kept = name, 0, False, None
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def which(self):
        self.num_calls += 1
        return self.name

    @idempotent
    def read(self):
        self.num_calls += 1
        return self.name

    def _is_closed(self):
        return None if self.is_open else "it is closed"

    @when(_is_closed)
    def take(self):
        self.num_calls += 1
        return self.name

    @idempotent
    @when(_is_closed)
    def newest(self):
        self.num_calls += 1
        return self.name

    def open_up(self):
        self.is_open = True

    def keep(self, value):
        self.kept = value

    def hold(self, value):
        self.num_calls += 1
        self.has_begun.set()
        self.may_end.wait(10.0)

    def give(self, number):
        return self._store.put(np.full(LARGE_BYTES, number, np.uint8))

    def lend(self, number):
        self.kept = self.give(number)
        return self.kept

    def make(self, number):
        return np.full(LARGE_BYTES, number, np.uint8)


class Process:
    """What a process has that serves a node "shop".

    Attributes:
      store, shop, server, sockets, address: see there.
      annex: the server of another node of the process, "annex".
    """

    def __init__(self, folder, credentials, incarnation=0, name=""):
        self.store = Store(lambda key: None)
        self.store.serve("shop", incarnation)
        self.shop = Shop(name, self.store)
        scheduler = FreeScheduler(threading.Event())
        self.server = Server("shop", scheduler, Supervisor())
        self.server.open(self.shop)
        self.annex = Server("annex", scheduler, Supervisor())
        self.annex.open(Shop(f"annex of {name}"))
        values = Server(VALUES, scheduler, Supervisor())
        values.open(Values(self.store))
        self.servers = {"shop": self.server, "annex": self.annex, VALUES: values}
        if credentials.identity:
            listener = listen_far("127.0.0.1", credentials.identity, incarnation)
        else:
            listener = listen_near(str(folder), credentials.key, incarnation)
        self.sockets = SocketServer(
            self.servers, scheduler, listener, print, holder=self.store
        )
        self.address = self.sockets.address
        self.sockets.start()

    def wait_for_parked(self, num=1):
        """Returns when so many calls wait here."""
        wait_until(lambda: len(self.server.parked()) == num)

    def cut(self):
        """Ends all connections; returns when nothing is left of them here."""
        connections = set(self.sockets._connections)
        assert connections
        calls = [call for each in connections for call in each.parked.values()]
        for connection in connections:
            connection.stream.end()
        wait_until(lambda: not connections & self.sockets._connections)
        wait_until(lambda: all(call.has_outcome for call in calls))

    def close(self):
        self.sockets.close()
        for server in self.servers.values():
            server.close("the test is over")
        self.store.close()


class InThread(threading.Thread):
    """Calls a function in a thread; `outcome` returns or raises what it did."""

    def __init__(self, call):
        super().__init__()
        self._call = call
        self.start()

    def run(self):
        try:
            self._value, self._error = self._call(), None
        except BaseException as error:
            self._error = error

    def outcome(self):
        self.join(10.0)
        assert not self.is_alive()
        if self._error is not None:
            raise self._error
        return self._value


def wait_until(is_so):
    limit = time.monotonic() + 10.0
    while not is_so():
        assert time.monotonic() < limit


def client_of(peers, label="shop"):
    return peers.client(Peer(label, interface_of(Shop)), None)


def book(version, process):
    return AddressBook(version, {"shop": process.address})


@pytest.fixture(params=["near", "far"])
def credentials(request):
    return {"near": NEAR, "far": FAR}[request.param]


@pytest.fixture
def start_process(tmp_path, credentials):
    """Starts processes, and ends them with the test."""
    started = []

    def start_one(incarnation=0, name=""):
        started.append(Process(tmp_path, credentials, incarnation, name))
        return started[-1]

    yield start_one
    for process in started:
        process.close()


@pytest.fixture
def process(start_process):
    return start_process(0, "first")


@contextmanager
def calling(credentials):
    peers = Peers(credentials)
    yield peers
    peers.close()
    peers.dispose()


@pytest.fixture
def peers(credentials):
    with calling(credentials) as found:
        yield found


@pytest.fixture
def client(peers, process):
    peers.take_book(book(1, process))
    return client_of(peers)


@pytest.fixture
def no_news(monkeypatch):
    """Nobody waits for the end of the run where a test knows that it goes on."""
    monkeypatch.setattr(peers_module, "NEWS_SECONDS", 0.0)


# --- A connection that is lost -----------------------------------------------------


def test_a_call_that_may_have_run_is_not_repeated_and_the_next_one_is_sent(
    process, client
):
    call = start(client.take)
    process.wait_for_parked()
    process.cut()
    began = time.monotonic()
    with pytest.raises(ConnectionLost, match=rf"^shop\.take: {LOST}$"):
        call.result()
    assert time.monotonic() - began < 1.0
    process.shop.open_up()
    assert client.which() == "first"
    assert process.shop.num_calls == 1
    assert process.server.parked() == ()


def test_a_call_of_an_idempotent_method_is_sent_again(process, client):
    calls = [start(client.newest) for _ in range(2)]
    process.wait_for_parked(2)
    waiting = InThread(calls[0].result)
    for _ in range(3):
        process.cut()
        process.wait_for_parked(1)  # By the thread that waits.
    assert not calls[1].done()  # So is the other one, by this look.
    process.wait_for_parked(2)
    client.open_up()
    assert waiting.outcome() == "first"
    wait_until(calls[1].done)
    assert calls[1].result() == "first"
    assert process.shop.num_calls == 2


def test_an_idempotent_call_that_has_run_runs_again(process, client, monkeypatch):
    """Its answer is lost on the way."""
    real, lost = server_module._Connection.answer, []

    def lose_once(self, *args):
        if not lost:
            lost.append(self)
            self.stream.end()
        real(self, *args)

    monkeypatch.setattr(server_module._Connection, "answer", lose_once)
    assert client.read() == "first"
    assert process.shop.num_calls == 2


def test_a_call_that_was_not_sent_is_sent_whatever_its_method(process, client):
    for number in range(5):
        assert client.which() == "first"
        assert process.shop.num_calls == number + 1
        process.cut()


def test_a_call_that_was_sent_is_not_repeated_for_what_is_behind_it(
    process, client, peers, no_news
):
    large = bytes(2**23)
    first = InThread(lambda: client.hold(large))
    assert process.shop.has_begun.wait(10.0)
    second = InThread(lambda: client.hold(large))
    wait_until(lambda: any(c._stream.num_unsent for c in peers._all_channels()))
    for connection in process.sockets._connections:
        connection.stream.end()
    process.shop.may_end.set()
    with pytest.raises(ConnectionLost, match="It may have run"):
        first.outcome()
    assert second.outcome() is None
    assert process.shop.num_calls == 2


def test_a_call_that_is_cancelled_while_its_process_is_gone_is_not_made(
    start_process, process, peers, client
):
    call = start(client.newest)
    process.wait_for_parked()
    peers.take_book(AddressBook(2, {}))
    waiting = InThread(call.result)
    wait_until(call._sending.locked)
    call.cancel()
    second = start_process(1, "second")
    peers.take_book(book(3, second))
    with pytest.raises(RpcClosed, match=r"shop\.newest: cancelled by its caller"):
        waiting.outcome()
    assert second.server.parked() == ()


def test_calls_of_two_threads_end_with_their_connection(process, client, no_news):
    waiting = [InThread(start(client.take).result) for _ in range(2)]
    waiting += [InThread(start(client.newest).result) for _ in range(2)]
    process.wait_for_parked(4)
    process.cut()
    for thread in waiting[:2]:
        with pytest.raises(ConnectionLost, match="It may have run"):
            thread.outcome()
    process.wait_for_parked(2)
    client.open_up()
    assert [thread.outcome() for thread in waiting[2:]] == ["first", "first"]


def test_of_two_threads_that_wait_for_one_call_one_sends_it_again(process, client):
    call = start(client.newest)
    process.wait_for_parked()
    waiting = [InThread(call.result) for _ in range(3)]
    process.cut()
    process.wait_for_parked()
    client.open_up()
    assert [thread.outcome() for thread in waiting] == ["first"] * 3
    assert process.shop.num_calls == 1


def test_the_deadline_of_a_call_holds_however_often_it_is_sent(process, client):
    began = time.monotonic()
    with deadline(0.5):
        call = start(client.newest)
    process.wait_for_parked()
    wait_until(lambda: time.monotonic() > began + 0.3)
    process.cut()
    assert not call.done()  # It is sent again.
    with pytest.raises(RpcTimeout, match=r"shop\.newest.*it is closed"):
        call.result()
    assert 0.5 <= time.monotonic() - began < 0.75
    assert process.server.parked() == ()


def test_a_cancelled_call_is_not_sent_again(process, client):
    call = start(client.newest)
    process.wait_for_parked()
    process.cut()
    call.cancel()
    with pytest.raises(RpcClosed, match=r"shop\.newest: cancelled by its caller"):
        call.result()
    assert call.done()
    assert process.server.parked() == ()


def test_a_connection_that_is_lost_again_and_again_is_given_up(tmp_path, caplog):
    process = Process(tmp_path, Credentials(new_key()))
    with calling(NEAR) as peers:
        peers.take_book(book(1, process))
        client = client_of(peers)
        # The other end closes it before the call is written, or after.
        words = r"shop\.read: (it was sent 5 times|its process is gone.*has not run)"
        with pytest.raises(ConnectionLost, match=words):
            client.read()
        with pytest.raises(ConnectionLost, match=r"shop\.which"):
            client.which()
    process.close()
    assert process.shop.num_calls == 0
    assert "it does not belong to this run" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="run on Linux")
def test_nothing_is_left_of_lost_connections(process, client, no_news):
    array, counts = np.ones(LARGE_BYTES, np.uint8), []
    for number in range(20):
        assert (client.make(number) == number).all()
        client.keep(array + 1)
        call = start(client.take)
        process.wait_for_parked()
        process.cut()
        with pytest.raises(ConnectionLost):
            call.result()
        process.shop.keep(None)
        counts.append(len(os.listdir("/proc/self/fd")))
    assert counts[-1] <= max(counts[:5])
    # What the connections took of the process's budget is back.
    assert shared_memory.pool.budget.take(MAX_BYTES, MAX_FILES)
    shared_memory.pool.budget.take(-MAX_BYTES, -MAX_FILES)


# --- Nodes that share a process ----------------------------------------------------


@pytest.fixture
def nodes(process, peers):
    """Clients of two nodes of a process."""
    here = process.address
    peers.take_book(AddressBook(1, {"shop": here, "annex": here}))
    return [client_of(peers, label) for label in ("shop", "annex")]


def test_two_nodes_of_a_process_share_a_connection(
    start_process, process, peers, nodes
):
    calls = [InThread(node.which) for node in nodes]
    assert [call.outcome() for call in calls] == ["first", "annex of first"]
    assert len(process.sockets._connections) == 1
    # Two processes do not, and the connection to the first one is kept.
    kept = set(process.sockets._connections)
    second = start_process(0, "second")
    addresses = {"shop": process.address, "annex": second.address}
    peers.take_book(AddressBook(2, addresses))
    assert [node.which() for node in nodes] == ["first", "annex of second"]
    assert process.sockets._connections == kept
    assert len(second.sockets._connections) == 1


def test_two_nodes_of_a_process_lose_their_connection_together(process, nodes, no_news):
    calls = [start(node.take) for node in nodes]
    process.wait_for_parked()
    wait_until(lambda: len(process.annex.parked()) == 1)
    process.cut()
    for call, label in zip(calls, ("shop", "annex"), strict=True):
        with pytest.raises(ConnectionLost, match=rf"^{label}\.take: {LOST}$"):
            call.result()
    assert [node.which() for node in nodes] == ["first", "annex of first"]
    assert len(process.sockets._connections) == 1


# --- A process that is replaced ----------------------------------------------------


def test_calls_go_to_the_newest_incarnation(start_process, process, peers, client):
    lost, kept = start(client.take), start(client.newest)
    process.wait_for_parked(2)
    second = start_process(1, "second")
    assert client.which() == "first"
    peers.take_book(book(2, second))
    # The book says that the run goes on, so nobody waits for its end.
    began = time.monotonic()
    with pytest.raises(ConnectionLost, match=rf"^shop\.take: {LOST}$"):
        lost.result()
    assert time.monotonic() - began < 0.4
    waiting = InThread(kept.result)
    second.wait_for_parked()
    assert client.which() == "second"
    # Though the first one still lives.
    wait_until(lambda: process.server.parked() == ())
    second.shop.open_up()
    assert client.which() == "second"
    assert waiting.outcome() == "second"
    for older in (0, 1, 2):
        peers.take_book(book(older, process))
        assert client.which() == "second"
    assert process.shop.num_calls == 1


def test_a_call_waits_for_a_process_that_is_gone(start_process, process, peers, client):
    assert client.which() == "first"
    kept = start(client.newest)
    process.wait_for_parked()
    process.close()
    waiting = [InThread(call) for call in (client.which, client.read, kept.result)]
    assert not kept.done()
    second = start_process(1, "second")
    second.shop.open_up()
    peers.take_book(book(2, second))
    assert [thread.outcome() for thread in waiting] == ["second"] * 3
    assert second.shop.num_calls == 3


def test_a_call_waits_for_a_node_without_an_address(start_process, process, peers):
    client = client_of(peers)
    peers.take_book(AddressBook(1, {}))
    with pytest.raises(RpcTimeout, match=r"^shop: its process is not there$"):
        with deadline(0.01):
            client.which()
    metrics = NodeMetrics(label="buyer")

    def call_as_node():
        set_context(SimpleNamespace(label="buyer", is_serial=False, metrics=metrics))
        return client.which()

    waiting = InThread(call_as_node)
    wait_until(lambda: metrics.waits_for is not None)
    status = metrics.status(methods={}, parked=(), memory_bytes=0)
    assert str(status) == "buyer: waits for shop: its process is not there (0 steps)"
    assert status.can_end_alone
    peers.take_book(book(2, process))
    assert waiting.outcome() == "first"


def test_a_call_waits_for_a_file_descriptor_and_says_so(process, client, caplog):
    metrics = NodeMetrics(label="buyer")
    why = "no connection can be opened: Too many open files"

    def call_as_node():
        set_context(SimpleNamespace(label="buyer", is_serial=False, metrics=metrics))
        return client.which()

    with no_file_left():
        with pytest.raises(RpcTimeout, match=r"^shop: .*Too many open files"):
            with deadline(0.01):
                client.which()
        waiting = InThread(call_as_node)
        wait_until(lambda: getattr(metrics.waits_for, "reason", "") == why)
        status = metrics.status(methods={}, parked=(), memory_bytes=0)
    assert str(status) == f"buyer: waits for shop: {why} (0 steps)"
    assert waiting.outcome() == "first"
    told = [line for line in caplog.messages if "Too many open files" in line]
    assert told == [
        "no connection to 'shop' can be opened: Too many open files; it is tried again"
    ]


def test_a_deadline_holds_while_a_process_is_gone(process, peers, client):
    kept = start(client.newest)
    with deadline(0.5):
        short = start(client.newest)
    process.wait_for_parked(2)
    process.close()
    for call in (client.which, client.read, kept.result):
        with pytest.raises(RpcTimeout, match=r"^shop: its process cannot be reached: "):
            with deadline(0.01):
                call()
    # It has a deadline of its own.
    with pytest.raises(RpcTimeout, match=r"^shop: its process cannot be reached: "):
        short.result()
    assert short.done()
    assert not kept.done()
    with pytest.raises(RpcTimeout, match="cannot be reached"):
        short.result()


def test_the_end_of_the_run_wakes_who_waits_for_a_process(process, peers, client):
    kept = start(client.newest)
    process.wait_for_parked()
    process.close()
    waiting = [InThread(call) for call in (client.which, kept.result)]
    peers.end("the run ended: it is late")
    for thread in waiting:
        with pytest.raises(RpcClosed, match=r"^shop: the run ended: it is late$"):
            thread.outcome()


def test_the_end_of_the_run_is_the_reason_if_a_connection_is_lost_with_it(
    process, peers, client, monkeypatch
):
    monkeypatch.setattr(peers_module, "NEWS_SECONDS", 10.0)
    call = start(client.take)
    process.wait_for_parked()
    process.cut()
    waiting = InThread(call.result)
    peers.end("the run ended: somebody died")
    with pytest.raises(RpcClosed, match=r"^shop\.take: the run ended: somebody died$"):
        waiting.outcome()


def test_another_incarnation_than_the_one_that_is_meant_is_never_called(
    start_process, process, peers
):
    """Its port may be the one that the other had."""
    second = start_process(1, "second")
    meant = process.address._replace(port=second.address.port)
    if not process.address.path:
        # They have different keys.
        meant = meant._replace(name="process-0")
    process.close()
    peers.take_book(AddressBook(1, {"shop": meant}))
    with pytest.raises(RpcTimeout, match="cannot be reached"):
        with deadline(0.2):
            client_of(peers).which()
    assert second.shop.num_calls == 0


# --- Stored values -----------------------------------------------------------------


def test_a_value_of_a_dead_incarnation_is_lost(start_process, process, peers, client):
    read, other = client.give(1), client.give(2)
    value = read.get()
    process.close()
    with pytest.raises(RefLost, match=r"the value is lost: .*is gone"):
        other.get()
    second = start_process(1, "second")
    peers.take_book(book(2, second))
    again = [client.give(number) for number in (3, 4)]
    assert [ref.get()[0] for ref in again] == [3, 4]
    with pytest.raises(RefLost, match="the process of 'shop' has ended"):
        other.get()
    assert (value == 1).all()
    assert read.get() is value


def test_a_value_is_not_lost_with_a_connection(process, client, monkeypatch):
    read, other = client.give(1), client.lend(2)
    assert read.get()[0] == 1
    connect, errors = Channel.connect, [ConnectionResetError("by the system")]

    def connect_later(channel, seconds):
        if errors:
            raise errors.pop()
        return connect(channel, seconds)

    monkeypatch.setattr(Channel, "connect", connect_later)
    assert other.get()[0] == 2 and not errors


def test_a_ref_may_arrive_before_the_book(start_process, process, peers, client):
    second = start_process(1, "second")
    with calling(NEAR if process.address.path else FAR) as others:
        others.take_book(book(2, second))
        key = client_of(others).give(7).key
        second.shop.kept = second.store._refs[key]
        with pytest.raises(RpcTimeout, match="shop: its process is not there"):
            with deadline(0.01):
                peers.store.fetch(key)
        waiting = InThread(lambda: peers.store.fetch(key))
        peers.take_book(book(2, second))
        assert (waiting.outcome() == 7).all()
        del waiting
        second.shop.kept = None


def test_a_value_of_a_process_that_no_book_has_had_is_lost(credentials):
    """That process ended before this one was started."""
    peers = Peers(credentials, heartbeat=0.1)
    peers.take_book(AddressBook(3, {}))
    words = r"the value is lost: no address of the process of 'shop' came in 0\.1 s"
    with pytest.raises(RefLost, match=words):
        with deadline(10.0):
            peers.store.fetch(Key("shop", 0))
    peers.close()
    peers.dispose()


def test_what_was_lent_on_a_lost_connection_is_freed(process, peers, client, no_news):
    peers.store.serve("caller")
    ref = peers.store.put(np.ones(LARGE_BYTES, np.uint8))
    client.keep(ref)
    call, seen = start(client.take), weakref.ref(ref)
    process.wait_for_parked()
    del ref
    gc.collect()
    assert seen() is not None
    process.cut()
    with pytest.raises(ConnectionLost):
        call.result()
    gc.collect()
    wait_until(lambda: seen() is None)
    process.shop.kept = None


# --- A process that is killed ------------------------------------------------------

SHOP = """
import pickle, sys
from acmelike.rpc import Credentials, Identity
from tests.rpc.sockets.test_reconnect import Process, read, write

key = read(sys.stdin)
identity = Identity()
write(sys.stdout, identity.public_key)
if certificate := read(sys.stdin):
    identity.take(certificate)
process = Process(".", Credentials(key, identity if certificate else None))
write(sys.stdout, process.address)
sys.stdin.read()
process.close()
"""


def write(stream, value):
    print(pickle.dumps(value).hex(), file=stream, flush=True)


def read(stream):
    return pickle.loads(bytes.fromhex(stream.readline()))


@pytest.fixture
def child(peers, credentials):
    """A process of its own that serves a node "shop", which the peers know."""
    with subprocess.Popen(
        [sys.executable, "-c", SHOP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        write(process.stdin, KEY)
        public_key = read(process.stdout)
        is_far = credentials.identity is not None
        write(process.stdin, AUTHORITY.sign(public_key) if is_far else None)
        peers.take_book(AddressBook(1, {"shop": read(process.stdout)}))
        yield process
        process.kill()


def test_a_call_ends_within_a_second_of_the_death_of_a_process(
    start_process, peers, child
):
    client = client_of(peers)
    waiting = InThread(start(client.take).result)
    kept = start(client.newest)
    assert client.which() == ""
    child.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    with pytest.raises(ConnectionLost, match="It may have run"):
        waiting.outcome()
    assert time.monotonic() - killed < 1.0
    second = start_process(1, "second")
    second.shop.open_up()
    peers.take_book(book(2, second))
    assert kept.result() == "second"


def test_a_value_is_lost_at_once_if_its_process_is_killed_in_a_fetch(peers, child):
    client = client_of(peers)
    known, first, second = [client.give(number) for number in (1, 2, 3)]
    assert (known.get() == 1).all()
    child.send_signal(signal.SIGSTOP)
    waiting = InThread(first.get)
    wait_until(lambda: any(each._calls for each in peers._all_channels()))
    child.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    with pytest.raises(RefLost, match="the value is lost: "):
        waiting.outcome()
    with pytest.raises(RefLost, match="the value is lost: "):
        second.get()
    assert time.monotonic() - killed < 1.0
    assert (known.get() == 1).all()


# --- A host that vanished ----------------------------------------------------------


def test_both_ends_ask_for_a_sign_of_the_other_host(tmp_path):
    with calling(FAR) as peers:
        process = Process(tmp_path, FAR)
        peers.take_book(book(1, process))
        assert client_of(peers).which() == ""
        (channel,), (connection,) = (
            peers._channels.values(),
            process.sockets._connections,
        )
        for end in (channel._stream._sock._sock, connection.sock._sock):
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)
            waits = [end.getsockopt(socket.IPPROTO_TCP, option) for option in options]
            assert waits == [3, 1]
            # It would end connections to processes that are busy and do not read.
            assert not end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        process.close()


@pytest.mark.parametrize("seconds", [0.0, 1.9, 3601.0, float("nan")])
def test_a_heartbeat_is_some_seconds(seconds):
    assert checked_heartbeat(2.0) == 2.0
    with pytest.raises(ConfigError, match=r"heartbeat: expected 2 to 3,600 seconds"):
        checked_heartbeat(seconds)


def test_a_process_that_accepts_nobody_is_waited_for_no_longer_than_asked(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as callers:
        listener.bind(path)
        listener.listen(0)
        address = Address(this_host(), path)
        callers.enter_context(connect_near(address, 5.0))  # It is full now.
        with pytest.raises(TimeoutError, match=r"accepted nobody for 0\.05 s"):
            for _ in range(100):
                callers.enter_context(connect_near(address, 0.05))

"""Large arrays over a socket server, from threads, and to a process that dies."""

from __future__ import annotations

import gc
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from acmelike import concurrent, deadline, start, updating, when
from acmelike.errors import ConnectionLost, ContractError, RpcClosed, RpcError
from acmelike.launchers.scheduler import FreeScheduler
from acmelike.rpc import Channel, Request, Server
from acmelike.rpc.sockets import server as server_module
from acmelike.rpc.sockets.endpoints import listen_near
from acmelike.rpc.sockets.shared_memory import LARGE_BYTES
from acmelike.rpc.sockets.stream import Stream
from tests.launchers.fakes import wait_until
from tests.rpc.sockets.serving import (
    FAR,
    NEAR,
    Supervisor,
    client_of,
    exposing,
    serving,
)

SIZE = 2 * LARGE_BYTES
ROOT = Path(__file__).parents[3]
needs_maps = pytest.mark.skipif(sys.platform != "linux", reason="run on Linux")


class News:
    """Counts how often it is pickled."""

    num_pickled = 0

    def __init__(self, text):
        self.text = text

    def __reduce__(self):
        News.num_pickled += 1
        return News, (self.text,)


class Store:
    """Hands arrays out and takes them back."""

    def __init__(self):
        self.is_open, self.news, self.given = False, [], []

    def _blocks_never(self):
        return "it never comes"

    @when(_blocks_never)
    def never(self):
        raise AssertionError

    def _blocks_keep(self, array):
        return None if self.is_open else "it is closed"

    @when(_blocks_keep)
    def keep(self, array):
        self.seen = weakref.ref(array)

    def open_up(self):
        self.is_open = True

    def _blocks_news(self, newer_than):
        return None if len(self.news) > newer_than else "there is nothing new"

    @when(_blocks_news)
    def newer(self, newer_than):
        return self.news

    def tell(self, news):
        self.news = [*self.news, News(news)]

    def has_dropped(self):
        return self.seen() is None

    def give(self, array):
        self.given.append(array)

    def _blocks_take(self):
        return None if self.given else "nothing was given"

    @when(_blocks_take)
    def take(self):
        return self.given.pop()

    @concurrent
    def aside(self):
        return 1

    def make(self, number):
        return np.full(SIZE, number, np.uint8)

    def add(self, array, number):
        return array + np.uint8(number)


@pytest.fixture(params=[NEAR, FAR], ids=["near", "far"])
def served(request, tmp_path):
    """A server of a store, its address, and a channel there."""
    with serving(Store(), tmp_path, request.param) as found:
        yield found.server, found.address, found.channel


@pytest.fixture
def served_near(tmp_path):
    """As `served`, with shared memory."""
    with serving(Store(), tmp_path) as found:
        yield found.server, found.address, found.channel


@pytest.mark.parametrize("how", ["serving", "exposing"])
def test_a_service_that_is_no_longer_served_may_be_updated(tmp_path, how):
    service = Store()
    with serving(service, tmp_path) if how == "serving" else exposing(service):
        with pytest.raises(ContractError, match="not the thread of node 'store'"):
            with updating(service):
                pass
    with updating(service):
        service.open_up()


def test_a_call_that_can_have_no_thread_fails_and_nothing_else_does(
    served, monkeypatch
):
    store = client_of(served[-1])
    assert store.aside() == 1

    def no_more(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_more)
        with pytest.raises(RpcError, match=r"store\.aside: can't start new thread"):
            store.aside()
    assert store.aside() == 1


def test_a_concurrent_call_never_has_the_lock_of_a_service_that_opens():
    class Gate:
        def __init__(self):
            self.is_open = threading.Event()

        @concurrent
        def wait(self):
            return self.is_open.wait(5.0)

        def open_up(self):
            self.is_open.set()

    def open_meanwhile(call):
        server._lock.release()
        server.open(Gate())
        server._lock.acquire()

    server = Server("gate", FreeScheduler(threading.Event()), Supervisor())
    server._wait_for_lock = open_meanwhile
    server._lock.acquire()
    waits = server.submit(Request("wait", (), {}, None, "caller"))
    server.submit(Request("open_up", (), {}, None, "caller"))
    assert waits.result() is True
    server.close("the test is over")


def test_what_a_replaced_process_asked_for_is_withdrawn(tmp_path):
    with serving(Store(), tmp_path, FAR) as served:
        call = start(served.client.take)
        served.client.open_up()
        assert len(served.server.parked()) == 1
        name = FAR.identity.name
        served.sockets.take_names(frozenset({name, "another"}))
        served.client.open_up()
        served.sockets.take_names(frozenset({"another"}))
        with pytest.raises(ConnectionLost):
            call.result()
        wait_until(lambda: not served.server.parked())
        again = Channel(served.address, FAR, lambda: None)
        with pytest.raises(ConnectionLost):
            client_of(again).open_up()
        again.close("the test is over")
        again.dispose()


def wrong_arrays(channel, num_calls):
    """What threads that share a connection get instead of their own arrays."""
    store, wrong = client_of(channel), []

    def call(thread):
        for i in range(num_calls):
            number = num_calls * thread + i
            array = store.make(number)
            if (
                not (array == number).all()
                or not (store.add(array, 7) == number + 7).all()
            ):
                wrong.append(number)

    threads = [threading.Thread(target=call, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def test_threads_that_share_a_connection_get_their_own_arrays(served):
    _, address, channel = served
    num_calls = 60 if address.path else 15  # As TLS takes longer.
    assert wrong_arrays(channel, num_calls) == []


@needs_maps
def test_their_arrays_are_in_memory_that_both_ends_have(served_near):
    *_, channel = served_near
    assert wrong_arrays(channel, num_calls=60) == []
    assert _num_maps() >= 4  # One way and the other.


@needs_maps
def test_arguments_go_before_the_answer_is_sent(served_near, no_gc):
    """So that the caller can use the same memory, which is in the caches, again."""
    server, _, channel = served_near
    client_of(channel).open_up()
    array, num_before = np.ones(SIZE, np.uint8), _num_maps()
    for _ in range(20):
        client_of(channel).keep(array)
        assert server._service.has_dropped()
    # One block, which both ends have mapped.
    assert _num_maps() <= num_before + 2


@pytest.mark.parametrize("has_deadline", [False, True])
def test_arguments_of_a_parked_call_go_when_it_is_done(served, has_deadline):
    *_, channel = served
    store = client_of(channel)
    gc.disable()  # It must not take that: memory would be lent for as long.
    try:
        with deadline(60 if has_deadline else None):
            kept = start(store.keep, np.zeros(SIZE, np.uint8))
        store.open_up()
        assert kept.result() is None
        assert store.has_dropped()
    finally:
        gc.enable()


def test_what_several_wait_for_is_pickled_once_each_time(served):
    server, address, channel = served
    other = Channel(address, channel._credentials, lambda: None)
    stores = [client_of(one) for one in (channel, channel, other)]
    try:
        for number, text in enumerate(["first", "second"]):
            waiting = [start(store.newer, number) for store in stores]
            while len(server.parked()) < len(stores):
                pass
            before = News.num_pickled
            server.submit(Request("tell", (text,), {}, None, "outside"))
            for call in waiting:
                assert [news.text for news in call.result()][number:] == [text]
            assert News.num_pickled - before == number + 1  # of one list
    finally:
        other.close("the test is over")
        other.dispose()


@pytest.mark.parametrize(
    ("credentials", "size", "sender"),
    [
        (NEAR, 10, "MainThread"),
        (NEAR, SIZE, "sender of answers"),
        (FAR, 10, "sender of answers"),
    ],
)
def test_who_lets_calls_proceed_sends_only_what_is_quick(
    tmp_path, monkeypatch, credentials, size, sender
):
    """A learner that publishes has other things to do than to copy and to encrypt."""
    senders = []
    make_frame = server_module.make_frame

    def note_thread(*args, **options):
        senders.append(threading.current_thread().name)
        return make_frame(*args, **options)

    with serving(Store(), tmp_path, credentials) as found:
        waiting = [start(found.client.newer, 0) for _ in range(3)]
        while len(found.server.parked()) < 3:
            pass
        monkeypatch.setattr(server_module, "make_frame", note_thread)
        text = "x" * size
        found.server.submit(Request("tell", (text,), {}, None, "outside"))
        for call in waiting:
            (news,) = call.result()
            assert news.text == text
    assert senders == [sender] * 3


def test_a_call_that_is_cancelled_while_a_method_runs_ends_as_cancelled(served):
    server, _, channel = served
    call = start(client_of(channel).never)
    while not server.parked():
        pass
    with server.updating():
        server.withdraw(server._parked[0])
    with pytest.raises(RpcClosed, match=r"store.never: cancelled by its caller"):
        call.result()


@pytest.fixture
def no_gc():
    """What goes now goes without a garbage collection."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_an_answer_is_kept_by_no_thread_when_it_is_sent(served, no_gc):
    server, _, channel = served
    call = start(client_of(channel).take)
    while not server.parked():
        pass
    array = np.zeros(SIZE, np.uint8)
    seen = weakref.ref(array)
    server.submit(Request("give", (array,), {}, None, "outside"))
    assert call.result().nbytes == SIZE
    del array
    limit = time.monotonic() + 10.0
    while seen() is not None:
        assert time.monotonic() < limit


@pytest.mark.parametrize("credentials", [NEAR, FAR])
def test_a_connection_that_has_ended_is_kept_by_nobody(tmp_path, no_gc, credentials):
    with serving(Store(), tmp_path, credentials) as served:
        assert served.client.make(1)[-1] == 1
        (connection,) = served.sockets._connections
        seen = weakref.ref(connection)
        del connection
        served.channel.close("the test is over")
        limit = time.monotonic() + 10.0
        while seen() is not None:
            assert time.monotonic() < limit


def test_a_call_that_was_cancelled_is_kept_by_nobody(served, no_gc):
    server, _, channel = served
    call = start(client_of(channel).never)
    while not server.parked():
        pass
    seen = weakref.ref(server._parked[0].wakeup)
    call.cancel()
    with pytest.raises(RpcClosed):
        call.result()
    limit = time.monotonic() + 10.0
    while seen() is not None:
        assert time.monotonic() < limit


READER = """
import sys
from acmelike import start
import pickle
from acmelike.rpc import Channel, Client, RemoteTarget

address, credentials = pickle.loads(bytes.fromhex(sys.argv[1]))
channel = Channel(address, credentials, lambda: None)
store = Client(RemoteTarget("store", lambda: channel))
held = [store.make(number) for number in range(10)]
outcome = start(store.never)
print("holds them", flush=True)
outcome.result()
"""


@needs_maps
def test_memory_comes_back_from_a_reader_that_is_killed(served_near):
    server, address, _ = served_near
    before = _num_maps()
    words = pickle.dumps((address, NEAR)).hex()
    command = [sys.executable, "-c", READER, words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as reader:
        assert reader.stdout.readline() == "holds them\n"
        while not server.parked():
            pass
        assert _num_maps() > before
        reader.send_signal(signal.SIGKILL)
    # The parked call goes after the memory.
    while server.parked():
        pass
    assert _num_maps() == before


def _num_maps():
    """How much memory this process shares, in maps."""
    return Path("/proc/self/maps").read_text().count("/memfd:acmelike")


def test_a_connection_that_is_lost_in_its_greeting_is_closed(tmp_path, monkeypatch):
    """The system accepts it for a process that is being killed."""
    streams = []

    def send(stream, pieces):
        streams.append(stream)
        raise BrokenPipeError("it has ended")

    listener = listen_near(str(tmp_path), NEAR.key)
    channel = Channel(listener.address, NEAR, lambda: None)
    monkeypatch.setattr(Stream, "send", send)
    with pytest.raises(BrokenPipeError):
        channel.connect(1.0)
    listener.sock.close()
    assert streams[0].fileno() == -1

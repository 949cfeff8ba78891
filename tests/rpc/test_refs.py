"""Stored values between two processes, of which one may be killed or be full."""

from __future__ import annotations

import gc
import pickle
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from acmelike.errors import RefLost, RpcClosed, StoreFull
from acmelike.rpc import (
    VALUES,
    Channel,
    Client,
    RemoteTarget,
    Server,
    SocketServer,
    listen_far,
    listen_near,
)
from acmelike.rpc.refs import Ref, Store, Values
from acmelike.rpc.sockets import shared_memory
from acmelike.rpc.sockets.shared_memory import pool
from tests.rpc.sockets.serving import FAR, NEAR, FreeScheduler, Supervisor, threading

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="run on Linux")

SIZE = 2**20
ROOT = Path(__file__).parents[2]


class Owner:
    """Stores values, and gives refs of them."""

    def __init__(self, store):
        self._store, self.kept = store, []

    def give(self, number, size=SIZE):
        return self._store.put(np.full(size, number, np.uint8))

    def keep(self, value):
        self.kept.append(value)

    def kept_one(self):
        return self.kept[0]


class OwnersProcess:
    """What a process has that stores values and serves a node "owner".

    Attributes:
      store, service, sockets: see there.
    """

    def __init__(self, folder, credentials):
        self.store = Store(lambda label: None)
        self.store.serve("owner")
        self.service = Owner(self.store)
        scheduler = FreeScheduler(threading.Event())
        self.servers = {
            label: Server(label, scheduler, Supervisor()) for label in ("owner", VALUES)
        }
        self.servers["owner"].open(self.service)
        self.servers[VALUES].open(Values(self.store))
        if credentials.identity:
            listener = listen_far("127.0.0.1", credentials.identity)
        else:
            listener = listen_near(str(folder), credentials.key)
        self.sockets = SocketServer(
            self.servers, scheduler, listener, print, holder=self.store
        )
        self.sockets.start()

    def num_stored(self):
        """How many values take memory."""
        pool.trim()
        return sum(block.num_users > 0 for block in pool._blocks if block.is_stored)

    def close(self):
        self.sockets.close()
        for server in self.servers.values():
            server.close("the test is over")
        self.store.close()
        self.service.kept.clear()
        gc.collect()
        assert self.num_stored() == 0
        pool.on_end = None


class ReadersProcess:
    """What a process has that calls the other one."""

    def __init__(self, address, credentials):
        self.store = Store(lambda label: self.client(VALUES))
        reason = "its process is gone"
        self.channel = Channel(address, credentials, lambda: reason, self.store)

    def client(self, label):
        return Client(RemoteTarget(label, lambda: self.channel))

    def close(self):
        self.channel.close("the test is over")
        self.store.close()
        self.channel.dispose()


@pytest.fixture(params=["near", "far"])
def credentials(request):
    return {"near": NEAR, "far": FAR}[request.param]


@pytest.fixture
def owner(tmp_path, credentials):
    process = OwnersProcess(tmp_path, credentials)
    yield process
    process.close()


@pytest.fixture
def near_owner(tmp_path):
    process = OwnersProcess(tmp_path, NEAR)
    yield process
    process.close()


@contextmanager
def reading(owner, credentials):
    process = ReadersProcess(owner.sockets.address, credentials)
    yield process
    process.close()


def test_many_readers_have_one_copy(monkeypatch, near_owner):
    copies, write = [], shared_memory.write

    def counting(views, memory):
        copies.append(sum(view.nbytes for view in views))
        write(views, memory)

    monkeypatch.setattr(shared_memory, "write", counting)
    owner = near_owner
    owner.service.keep(owner.service.give(3))
    readers = [ReadersProcess(owner.sockets.address, NEAR) for _ in range(8)]
    try:
        values = [reader.client("owner").kept_one().get() for reader in readers]
        assert copies == [SIZE]
        assert all((value == 3).all() for value in values)
    finally:
        for reader in readers:
            reader.close()


def test_a_value_lives_as_long_as_its_refs(owner, credentials):
    with reading(owner, credentials) as reader:
        client = reader.client("owner")
        refs = [client.give(number) for number in range(5)]
        assert owner.num_stored() == 5
        for number, ref in enumerate(refs):
            assert (ref.get() == number).all()
        client.keep(refs[3])
        del refs[:3], ref
        while owner.num_stored() > 2:
            pass
        view = refs[1].get()[5:9]
        del refs[:]
        while len(owner.store._refs) > 1:
            pass
        assert (view == 4).all()
        assert (owner.service.kept[0].get() == 3).all()
        owner.service.kept.clear()
        del view
        while owner.num_stored():
            gc.collect()


def test_who_stored_a_value_keeps_its_bytes_without_its_ref(near_owner):
    kept = near_owner.service.give(3).get()[7:]
    gc.collect()
    assert near_owner.num_stored() == 1
    near_owner.service.keep(near_owner.service.give(4))
    assert (kept == 3).all()


def test_a_ref_that_comes_often_is_given_back_as_often(owner, credentials):
    with reading(owner, credentials) as reader:
        client = reader.client("owner")
        ref = client.give(3)
        for _ in range(20):
            client.keep([ref, ref])
            owner.service.kept.clear()
        assert (ref.get() == 3).all()
        assert owner.num_stored() == 1
        del ref
        while owner.num_stored():
            pass
        assert not reader.store._refs


def test_a_value_whose_process_has_ended_is_lost(owner, credentials):
    with reading(owner, credentials) as reader:
        read, other = [reader.client("owner").give(number) for number in (1, 2)]
        value = read.get()
        owner.sockets.close()
        with pytest.raises(RefLost, match=r"the value is lost: .*its process is gone"):
            other.get()
        assert (read.get() == 1).all()
        assert (value == 1).all()
        assert issubclass(RefLost, RpcClosed)


def test_there_is_a_limit_for_what_is_stored(owner, monkeypatch):
    monkeypatch.setattr(pool, "_max_stored_bytes", 3 * SIZE)
    # What was stored before is no reason to refuse.
    owner.service.give(0, 2 * SIZE)
    refs = [owner.service.give(number, SIZE - 100) for number in range(3)]
    with pytest.raises(StoreFull, match=r"no room for 1,048,576 bytes: .* 3 values"):
        owner.service.give(3)
    assert [ref.get()[-1] for ref in refs] == [0, 1, 2]
    refs.pop()
    assert owner.service.give(4).get()[0] == 4
    small = [owner.service.give(number, 10) for number in range(100)]
    assert small[7].get().tolist() == [7] * 10


def test_the_next_value_gets_the_memory_of_the_last(near_owner):
    size = 80 * SIZE  # More than is kept for long.
    blocks = set()
    for number in range(5):
        ref = near_owner.service.give(number, size)
        assert ref.get()[-1] == number
        blocks.add(id(ref._payload.block))
        del ref
    assert len(blocks) == 1


def test_memory_that_is_idle_is_let_go(owner, credentials, monkeypatch):
    monkeypatch.setattr(shared_memory, "_MAX_IDLE_BYTES", 3 * SIZE)
    monkeypatch.setattr(shared_memory, "_IDLE_SECONDS", 0.0)
    with reading(owner, credentials) as reader:
        refs = [reader.client("owner").give(number) for number in range(8)]
        for ref in refs:
            ref.get()
        del refs, ref
        while owner.num_stored():
            pass
        limit = time.monotonic() + 10.0
        while len(pool._blocks) > 3:  # The last are about to be given back.
            assert time.monotonic() < limit
        # What is mapped no longer can be offered again.
        for number in range(8):
            assert (reader.client("owner").give(number).get() == number).all()


def test_a_value_without_arrays_is_stored_too(owner, credentials):
    with reading(owner, credentials) as reader:
        owner.service.kept.append(owner.store.put("x" * SIZE))
        assert reader.client("owner").kept_one().get() == "x" * SIZE


def test_a_value_may_hold_refs(owner, credentials):
    with reading(owner, credentials) as reader:
        inner = owner.service.give(3)
        large = np.full(SIZE, 4, np.uint8)
        owner.service.kept.append(owner.store.put({"ref": inner, "array": large}))
        found = reader.client("owner").kept_one().get()
        assert (found["array"] == 4).all() and (found["ref"].get() == 3).all()
        del found, inner
        assert (owner.service.kept[0].get()["ref"].get() == 3).all()


def test_a_ref_does_not_leave_its_run(owner):
    ref = owner.service.give(1)
    with pytest.raises(TypeError, match="pickle what its get\\(\\) returns"):
        pickle.dumps(ref)
    assert pickle.loads(pickle.dumps(Ref([1, 2]))).get() == [1, 2]


READER = """
import pickle, sys
sys.path.insert(0, sys.argv[2])
from tests.rpc.test_refs import ReadersProcess

reader = ReadersProcess(*pickle.loads(bytes.fromhex(sys.argv[1])))
client = reader.client("owner")
refs = [client.give(number) for number in range(5)]
values = [ref.get() for ref in refs]
print("holds them", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_held_is_freed(near_owner):
    words = pickle.dumps((near_owner.sockets.address, NEAR)).hex()
    command = [sys.executable, "-c", READER, words, str(ROOT)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout.readline() == "holds them\n"
        assert near_owner.num_stored() == 5
        process.send_signal(signal.SIGKILL)
    while near_owner.num_stored():
        pass
    assert not near_owner.store._refs

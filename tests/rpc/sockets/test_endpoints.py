"""Which processes share sockets and memory, and which way calls go to a process."""

from __future__ import annotations

import io
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from acmelike.rpc import Address, Channel
from acmelike.rpc.sockets import endpoints
from tests.rpc.sockets.serving import FAR, client_of, serving


class System:
    """What a process learns from the system: `told`, by what it is of."""

    def __init__(self):
        self.told = {"boot": "a-boot", "net": 10, "pid": 11, "user": 12}

    def open(self, path):
        assert path == "/proc/sys/kernel/random/boot_id"
        return io.StringIO(f"{self.told['boot']}\n")

    def stat(self, path):
        return SimpleNamespace(st_ino=self.told[path.removeprefix("/proc/self/ns/")])

    def getuid(self):
        return self.told["user"]


@pytest.fixture
def system(monkeypatch):
    """A system that this process is on, as far as `endpoints` can see."""
    found = System()
    monkeypatch.setattr(endpoints, "sys", SimpleNamespace(platform="linux"))
    monkeypatch.setattr(endpoints, "open", found.open, raising=False)
    monkeypatch.setattr(endpoints, "os", found)
    # Without its cache, which knows the real system.
    monkeypatch.setattr(endpoints, "this_host", endpoints.this_host.__wrapped__)
    return found


@pytest.mark.parametrize("what", ["boot", "net", "pid", "user"])
def test_a_process_is_near_unless_it_differs_in_one_thing(system, what):
    address = Address(endpoints.this_host(), "\0socket", "127.0.0.1", 1234)
    assert address.is_near
    same, system.told[what] = system.told[what], 13
    assert not address.is_near
    system.told[what] = same
    assert address.is_near


def test_namespaces_of_two_kinds_are_not_taken_for_each_other(system):
    address = Address(endpoints.this_host(), "\0socket")
    system.told.update(net=system.told["pid"], pid=system.told["net"])
    assert not address.is_near


def test_a_process_without_a_socket_for_its_own_host_is_not_near(system):
    assert not Address(endpoints.this_host(), "", "127.0.0.1", 1234).is_near


class Way:
    """Says which way a call came."""

    def __init__(self, name):
        self.name = name

    def which(self):
        return self.name


@pytest.fixture
def address(tmp_path):
    """Of a process that listens for its own host and for others."""
    with (
        serving(Way("near"), tmp_path) as near,
        serving(Way("far"), tmp_path, FAR) as far,
    ):
        there = far.address
        yield near.address._replace(ip=there.ip, port=there.port, name=there.name)


@contextmanager
def calling(address):
    channel = Channel(address, FAR, lambda: None)
    yield client_of(channel)
    channel.close("the test is over")
    channel.dispose()


def test_calls_go_over_a_near_socket_if_they_can_and_otherwise_over_tls(address):
    with calling(address) as client:
        assert client.which() == "near"
    with calling(address._replace(host=f"{address.host}0")) as client:
        assert client.which() == "far"
    with calling(address._replace(path="")) as client:
        assert client.which() == "far"

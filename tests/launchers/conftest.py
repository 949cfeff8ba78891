"""The launchers, for tests that every one of them passes."""

import random
import socket
import threading
from contextlib import suppress
from functools import partial

import pytest

from acmelike.checks import is_installed
from acmelike.launchers import LAUNCHERS, HostsConfig, RayConfig
from acmelike.launchers.hosts.agent import join_run
from acmelike.launchers.hosts.launcher import Hosts
from acmelike.launchers.processes.launcher import ProcessNodes
from acmelike.launchers.processes.placement import OneHost, Placer
from acmelike.launchers.ray.launcher import place_on_ray
from acmelike.rpc import Authority
from tests.ray.starting import running_cluster

# Processes as on hosts of their own: what they say to each other goes over TLS.
FAR = "processes-far"
# Two hosts that are one: half of the processes are started by an agent.
HOSTS = "two-hosts"
# Processes on a cluster of Ray, where that is installed: `make test-ray`.
RAY = "on-ray"
SECRET = b"known to all hosts of a run"


def free_port():
    """A port that stays free: below those that the system chooses from by itself."""
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def make_hosts(num_hosts, rank=0, port=None, **settings):
    settings = {"secret": SECRET, "join_seconds": 20.0, **settings}
    return HostsConfig(
        num_hosts=num_hosts,
        rank=rank,
        rendezvous=f"127.0.0.1:{port or free_port()}",
        **settings,
    )


class Alternating:
    """Places every other process on the second host."""

    is_near, is_far = False, True  # As if they were hosts of their own.

    def __init__(self, hosts):
        self.hosts, self.heartbeat, self.number = hosts, hosts.heartbeat, 0
        self.machines, self.close = hosts.machines, hosts.close
        self.placements = [Placer(), Placer()]

    def choose(self, name, entries):
        self.number += 1
        index = self.number % 2
        machine = self.hosts.machines[index]
        return self.placements[index].choose(name, entries, [machine])

    def release(self, name):
        for placement in self.placements:
            placement.release(name)


def place_on_two_hosts(*args):
    config = make_hosts(2)
    other = make_hosts(2, 1, config.place[1])
    threading.Thread(target=join_run, args=(other,), name="agent").start()
    hosts = Hosts(config.place, Authority(config.secret), {}, config.heartbeat)
    try:
        hosts.wait_for({1: "host 1"}, config.join_seconds)
        return ProcessNodes(*args, partial(Alternating, hosts))
    except BaseException:
        hosts.close("it could not be started")
        raise


OTHERS = {
    FAR: partial(ProcessNodes, make_machines=partial(OneHost, "127.0.0.1")),
    HOSTS: place_on_two_hosts,
}


def cases():
    """The names of all launchers; what takes longer is marked."""
    yield from LAUNCHERS
    for name in OTHERS:
        yield pytest.param(name, marks=pytest.mark.slow)
    if is_installed("ray"):
        marks = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(300)]
        yield pytest.param(RAY, marks=marks)


@pytest.fixture(scope="session")
def ray_cluster():
    """The address of a cluster, which runs until the last test has ended."""
    with running_cluster(num_cpus=32) as address:
        yield address


@pytest.fixture(autouse=True, scope="module")
def ray_is_there(request):
    """Starts it where a test needs it, before it could be what a test left behind."""
    items = (item for item in request.session.items if item.path == request.path)
    if any(item.get_closest_marker("ray") for item in items):
        request.getfixturevalue("ray_cluster")


@pytest.fixture(params=[*cases()])
def launcher(request, monkeypatch):
    name = request.param
    if name in OTHERS:
        monkeypatch.setitem(LAUNCHERS, name, OTHERS[name])
    elif name == RAY:
        # Nothing is sent: all of its hosts are this one.
        address = request.getfixturevalue("ray_cluster")
        config = RayConfig(address=address, working_dir=None)
        monkeypatch.setitem(LAUNCHERS, name, partial(place_on_ray, config=config))
    return name

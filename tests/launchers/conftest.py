"""The launchers, for tests that every one of them passes."""

import random
import socket
import threading
from contextlib import suppress
from functools import partial

import pytest

from acmelike.launchers import LAUNCHERS, HostsConfig
from acmelike.launchers.hosts.agent import join_run
from acmelike.launchers.hosts.launcher import Hosts
from acmelike.launchers.processes.launcher import ProcessNodes
from acmelike.launchers.processes.placement import OneHost, Placer
from acmelike.rpc import Authority

# Processes as on hosts of their own: what they say to each other goes over TLS.
FAR = "processes-far"
# Two hosts that are one: half of the processes are started by an agent.
HOSTS = "two-hosts"
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


@pytest.fixture(
    params=[*LAUNCHERS, *(pytest.param(x, marks=pytest.mark.slow) for x in OTHERS)]
)
def launcher(request, monkeypatch):
    if request.param in OTHERS:
        monkeypatch.setitem(LAUNCHERS, request.param, OTHERS[request.param])
    return request.param

"""Hosts that have nothing in common but a network: Linux's network namespaces.

They need root. Each host has an address and a link of its own, which is cut by taking
the other end of it down.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager

import pytest

NUM_HOSTS = 3
PREFIX = f"alh{os.getpid()}"
BRIDGE = f"{PREFIX}b"


def ip(*args):
    return subprocess.run(["ip", *args], check=True, capture_output=True, text=True)


def host(rank):
    return f"{PREFIX}h{rank}"


def address(rank):
    return f"10.88.0.{rank + 1}"


def inside(rank):
    """What begins a command that runs on a host."""
    return ["ip", "netns", "exec", host(rank)]


@contextmanager
def make_hosts():
    """Namespaces that are joined by a bridge; nothing else is on it."""
    try:
        ip("netns", "add", BRIDGE)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")
    try:
        ip("-n", BRIDGE, "link", "add", "br0", "type", "bridge")
        ip("-n", BRIDGE, "link", "set", "br0", "up")
        for rank in range(NUM_HOSTS):
            near, far = f"{PREFIX}e{rank}", f"{PREFIX}p{rank}"
            ip("netns", "add", host(rank))
            ip("link", "add", near, "type", "veth", "peer", "name", far)
            ip("link", "set", near, "netns", host(rank))
            ip("link", "set", far, "netns", BRIDGE)
            ip("-n", BRIDGE, "link", "set", far, "master", "br0", "up")
            ip("-n", host(rank), "addr", "add", f"{address(rank)}/24", "dev", near)
            ip("-n", host(rank), "link", "set", near, "up")
            ip("-n", host(rank), "link", "set", "lo", "up")
            # Ray asks where it leads, to find its own address.
            ip("-n", host(rank), "route", "add", "default", "dev", near)
        yield
    finally:
        for name in (*map(host, range(NUM_HOSTS)), BRIDGE):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def cut(rank):
    ip("-n", BRIDGE, "link", "set", f"{PREFIX}p{rank}", "down")


def mend(rank):
    ip("-n", BRIDGE, "link", "set", f"{PREFIX}p{rank}", "up")


def processes(rank):
    return ip("netns", "pids", host(rank)).stdout.split()

"""Hosts that have nothing in common but a network: Linux's network namespaces.

They need root. Each host has an address and a link of its own, which is cut by taking
the other end of it down. What passes between hosts can be captured.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hosts import sniffer

ROOT = Path(__file__).parents[2]
LIMIT = 120.0
PLAIN_TEXT = b"this is in plain text"

NUM_HOSTS = 3
PREFIX = f"alh{os.getpid()}"
BRIDGE = f"{PREFIX}b"

# EPERM and EACCES, as `ip` says them of what root may not do in a container.
FORBIDDEN = ("Operation not permitted", "Permission denied")


def ip(*args):
    ended = subprocess.run(["ip", *args], capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"ip {' '.join(args)}: {ended.stderr.strip()}")
    return ended


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
    if os.geteuid() != 0:
        pytest.skip("run as root: sudo make test-hosts (or test-ray)")
    if shutil.which("ip") is None:
        pytest.skip("install iproute2")
    try:
        ip("netns", "add", BRIDGE)
    except RuntimeError as error:
        if any(words in str(error) for words in FORBIDDEN):
            pytest.skip(f"the kernel forbids network namespaces: {error}")
        raise
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


@contextmanager
def captured(folder):
    """What passes between hosts is in the file that this gives, when it ends."""
    capture = folder / "capture"
    listen = [sys.executable, sniffer.__file__, str(capture)]
    with subprocess.Popen(
        ["ip", "netns", "exec", BRIDGE, *listen],
        stdin=subprocess.PIPE,  # When this is closed, it ends.
        stdout=subprocess.PIPE,
        text=True,
    ) as watcher:
        assert watcher.stdout.readline() == "ready\n"
        send_plain_text()
        yield capture
    assert watcher.returncode == 0, "it did not see all that passed"
    # So what is not in it was not sent.
    assert PLAIN_TEXT in capture.read_bytes()


def send_plain_text():
    """Sends words from the second host to the first, and waits until they are there."""
    listen = (
        "import socket\n"
        "with socket.create_server(('', 9)) as server:\n"
        "    print('ready', flush=True)\n"
        "    print(server.accept()[0].recv(1000), flush=True)\n"
    )
    send = (
        "import socket\n"
        f"with socket.create_connection(({address(0)!r}, 9), 20.0) as sock:\n"
        f"    sock.sendall({PLAIN_TEXT!r})\n"
    )
    with subprocess.Popen(
        [*inside(0), sys.executable, "-c", listen], stdout=subprocess.PIPE, text=True
    ) as listener:
        assert listener.stdout.readline() == "ready\n"
        subprocess.run([*inside(1), sys.executable, "-c", send], check=True)
        assert listener.stdout.readline() == f"{PLAIN_TEXT!r}\n"


class CommandsOnHosts:
    """The commands of one run, that of its launcher first; a context manager.

    Args:
      folder: of the run.
      commands: what is typed, each on its host.
      variables: of all of them; None for those of this process.
    """

    def __init__(self, folder, commands, variables=None):
        self.folder = folder
        self.commands = [
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for command in commands
        ]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for command in self.commands:
            with command:
                command.kill()

    def wait_for(self, words):
        """Returns when the launcher has printed or logged these words."""
        limit = time.monotonic() + LIMIT
        while words not in self.log():
            assert time.monotonic() < limit, f"it did not say: {words}"
            assert self.commands[0].poll() is None, self.commands[0].stdout.read()
            time.sleep(0.1)

    def end(self):
        """What each command has said, and its exit status."""
        said = [each.communicate(timeout=LIMIT)[0] for each in self.commands]
        return said, [each.returncode for each in self.commands]

    def log(self):
        log = self.folder / "logs" / "run.log"
        return log.read_text() if log.exists() else ""

    def summary(self):
        return json.loads((self.folder / "summary.json").read_text())


def loses_replays_host(run):
    """Cuts the second host, which has replay: that ends the run, and is named."""
    run.wait_for("updates,")
    cut(1)
    try:
        began = time.monotonic()
        said = run.commands[0].communicate(timeout=LIMIT)[0]
        assert time.monotonic() - began < 60.0
    finally:
        mend(1)
    assert run.commands[0].returncode == 1
    (error,) = [line for line in said.splitlines() if line.startswith("error:")]
    assert "'replay'" in error and run.summary()["hosts"]["replay"] in error, said

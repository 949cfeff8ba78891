"""The launcher `hosts`: who may join, where nodes are, and what a lost host costs."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from acmelike import Node, Program, RestartPolicy, launch
from acmelike.errors import ConfigError, NodeFailed
from acmelike.launchers import HostsConfig
from acmelike.launchers.hosts import agent as agent_module
from acmelike.launchers.hosts import rendezvous as rendezvous_module
from acmelike.launchers.hosts.agent import join_run
from acmelike.launchers.hosts.launcher import Hosts
from acmelike.launchers.hosts.rendezvous import (
    Rendezvous,
    guest_certificate,
    join_rendezvous,
    launcher_identity,
)
from acmelike.launchers.processes.capacity import capacity_of_this_host
from acmelike.launchers.processes.machine import LocalMachine
from acmelike.rpc import Authority, Identity
from acmelike.rpc.sockets.frames import CONTROL, encode
from tests.launchers.conftest import SECRET, free_port, make_hosts
from tests.launchers.contract import LIMIT, Board, Noter
from tests.launchers.fakes import wait_until
from tests.rpc.sockets.serving import Writes

AGENT = """
import sys
from acmelike.launchers.hosts.agent import join_run
from acmelike.launchers import HostsConfig
rank, num_hosts, place, secret = sys.argv[1:]
print(join_run(HostsConfig(num_hosts=int(num_hosts), rank=int(rank), rendezvous=place,
                            secret=secret.encode(), heartbeat=2.0, join_seconds=30.0)))
"""


AT_ONCE = RestartPolicy(backoff=0.0)

pytestmark = pytest.mark.long  # They start processes.


def make_program(num_actors=2, restart=AT_ONCE):
    program = Program("hosts")
    board = program.add_node(Node(Board), label="board")
    with program.group("actor"):
        for _ in range(num_actors):
            program.add_node(Node(Noter, board), restart=restart)
    return program, board


class AgentProcess:
    """An agent in a process of its own, as on another host."""

    def __init__(self, hosts, rank, before=""):
        arguments = (rank, hosts.num_hosts, hosts.rendezvous, hosts.secret.decode())
        self.process = subprocess.Popen(
            [sys.executable, "-c", before + AGENT, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self.process:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGCONT)
                self.process.kill()


def test_groups_are_spread_and_other_nodes_are_with_the_launcher(tmp_path, caplog):
    caplog.set_level(logging.INFO, "acmelike")
    hosts, (program, board) = make_hosts(3), make_program(num_actors=4)
    with AgentProcess(hosts, 1) as one, AgentProcess(hosts, 2) as two:
        with launch(program, "hosts", hosts=hosts, logs=tmp_path) as run:
            notes = run.client(board).first(4)
            status = run.status()
            run.stop("seen")
            assert run.wait(LIMIT) == "seen"
        assert one.process.communicate(timeout=LIMIT)[0] == "seen\n"
        assert two.process.communicate(timeout=LIMIT)[0] == "seen\n"
    found = {label: node.host for label, node in status.items()}
    assert found["board"] == "host 0"
    # That of the launcher, which has the board too, has fewer of them.
    actors = [host for label, host in found.items() if label != "board"]
    assert sorted(map(actors.count, set(actors))) == [1, 1, 2]
    assert actors.count("host 0") == 1
    parents = [note.parent for note in notes]
    assert {one.process.pid, two.process.pid} < set(parents)
    assert (tmp_path / "actor-3.log").read_text() == "here\n"


def test_nodes_are_placed_by_what_they_need(tmp_path):
    hosts = make_hosts(2, labels={"zone": "a"})
    program, _ = make_program(num_actors=3)
    program.set_resources("actor/0", labels={"zone": "b"})
    program.set_resources("actor/1", place="launcher")
    program.set_resources("actor/2", labels={"zone": "c"})
    other = make_hosts(2, 1, hosts.place[1], labels={"zone": "b"})
    agent = threading.Thread(target=join_run, args=(other,))
    agent.start()
    with pytest.raises(ConfigError, match=r"'actor/2' needs \(1 cpu, the label zone=c"):
        launch(program, "hosts", hosts=hosts)
    agent.join(LIMIT)
    program.set_resources("actor/2", labels={"zone": "a"})
    agent = threading.Thread(target=join_run, args=(other,))
    agent.start()
    with launch(program, "hosts", hosts=hosts) as run:
        found = {label: node.host for label, node in run.status().items()}
    agent.join(LIMIT)
    assert found == {
        "board": "host 0",
        "actor/0": "host 1",
        "actor/1": "host 0",
        "actor/2": "host 0",
    }


def test_what_a_lost_host_had_is_started_elsewhere(caplog):
    hosts, (program, board) = make_hosts(2, heartbeat=2.0), make_program()
    with AgentProcess(hosts, 1) as agent:
        with launch(program, "hosts", hosts=hosts) as run:
            before = run.client(board).first(2)
            agent.process.kill()
            after = run.client(board).first(3)
            where = {label: node.host for label, node in run.status().items()}
    assert agent.process.pid in [note.parent for note in before]
    assert after[2].parent == os.getpid()
    assert set(where.values()) == {"host 0"}
    assert "its host 'host 1' is lost" in caplog.text


def test_a_host_that_was_lost_may_be_started_anew(caplog):
    caplog.set_level(logging.INFO, "acmelike")
    hosts, (program, board) = make_hosts(2, heartbeat=2.0), make_program()
    with AgentProcess(hosts, 1) as agent:
        with launch(program, "hosts", hosts=hosts) as run:
            run.client(board).first(2)
            agent.process.kill()
            run.client(board).first(3)
            with AgentProcess(hosts, 1) as again:
                while caplog.text.count("has joined") < 2:
                    assert again.process.poll() is None
                run.stop("seen")
                assert again.process.communicate(timeout=LIMIT)[0] == "seen\n"


@pytest.mark.slow
def test_without_a_policy_a_lost_host_ends_the_run():
    hosts, (program, board) = make_hosts(2, heartbeat=2.0), make_program(restart=None)
    with AgentProcess(hosts, 1) as agent:
        with pytest.raises(NodeFailed, match="its host 'host 1' is lost"):
            with launch(program, "hosts", hosts=hosts) as run:
                run.client(board).first(2)
                agent.process.kill()
                run.wait(LIMIT)


@pytest.mark.slow
def test_a_host_that_is_silent_is_lost_and_comes_back(caplog):
    caplog.set_level(logging.INFO, "acmelike")
    hosts, (program, board) = make_hosts(2, heartbeat=2.0), make_program()
    with AgentProcess(hosts, 1) as agent:
        with launch(program, "hosts", hosts=hosts) as run:
            before = run.client(board).first(2)
            agent.process.send_signal(signal.SIGSTOP)
            after = run.client(board).first(3)
            assert after[2].parent == os.getpid()
            agent.process.send_signal(signal.SIGCONT)
            seen = threading.Event()
            while "host 1" not in caplog.text or "is back" not in caplog.text:
                assert not seen.wait(0.05)
            # There are never two of one: those of before have ended.
            gone = [n.process for n in before if n.parent == agent.process.pid]
            assert gone and not any(os.path.exists(f"/proc/{pid}") for pid in gone)
    assert "was not heard" in caplog.text


def test_what_a_host_cannot_start_fails_with_its_words(monkeypatch):
    class Full(LocalMachine):
        def start(self, order):
            raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(agent_module, "LocalMachine", Full)
    hosts, (program, _) = make_hosts(2), make_program(restart=None)
    agent = threading.Thread(target=join_run, args=(make_hosts(2, 1, hosts.place[1]),))
    agent.start()
    words = "it could not be started: Cannot allocate memory"
    with pytest.raises(NodeFailed, match=words):
        with launch(program, "hosts", hosts=hosts) as run:
            run.wait(LIMIT)
    agent.join()


def test_another_secret_is_refused_in_one_line(caplog):
    hosts, (program, _) = make_hosts(2, join_seconds=1.0), make_program()
    found = []

    def join():
        port = hosts.place[1]
        other = make_hosts(2, 1, port, secret=b"not the one that is meant")
        with pytest.raises(ConfigError) as caught:
            join_run(other)
        found.append(str(caught.value))

    agent = threading.Thread(target=join)
    agent.start()
    with pytest.raises(ConfigError, match=r"these ranks have not joined .*: 1; "):
        launch(program, "hosts", hosts=hosts)
    agent.join()
    assert "its launcher has another secret" in found[0] and "\n" not in found[0]


@pytest.mark.parametrize("is_tls", [False, True])
def test_nothing_of_a_stranger_is_unpickled(tmp_path, caplog, is_tls):
    hosts, (program, _) = make_hosts(2, join_seconds=1.0), make_program()

    def call():
        frame = encode(CONTROL, 0, Writes(tmp_path / "written"))
        while True:
            try:
                sock = socket.create_connection(hosts.place, timeout=5.0)
                break
            except ConnectionRefusedError:
                pass
        with suppress(OSError):  # The launcher may be faster.
            if is_tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                sock = context.wrap_socket(sock)
            sock.sendall(b"".join(frame.pieces))
            sock.recv(1)
        sock.close()

    stranger = threading.Thread(target=call, daemon=True)
    stranger.start()
    with pytest.raises(ConfigError, match="have not joined"):
        launch(program, "hosts", hosts=hosts)
    stranger.join()
    assert not (tmp_path / "written").exists()
    assert caplog.text.count("could not join: it does not know the secret") == 1


@pytest.mark.slow
def test_a_rank_twice_is_refused():
    hosts, (program, board) = make_hosts(2), make_program()
    again = make_hosts(2, 1, hosts.place[1])
    first = threading.Thread(target=join_run, args=(again,))
    first.start()
    with launch(program, "hosts", hosts=hosts) as run:
        run.client(board).first(2)
        with pytest.raises(ConfigError, match="there is another host of rank 1"):
            join_run(again)
    first.join()


OTHER_JAX = """
from acmelike.launchers.hosts import rendezvous
there = rendezvous.versions()
rendezvous.versions = lambda: there | {"jax": "0.0.1"}
"""


@pytest.mark.slow
def test_other_versions_are_refused(caplog):
    hosts, (program, _) = make_hosts(2, join_seconds=3.0), make_program()
    with AgentProcess(hosts, 1, OTHER_JAX) as agent:
        with pytest.raises(ConfigError, match="have not joined"):
            launch(program, "hosts", hosts=hosts)
        said = agent.process.communicate(timeout=LIMIT)[0]
    words = "it has jax 0.0.1, and the launcher "
    assert f"the launcher refuses this host: {words}" in said
    assert f"(rank 1) is refused: {words}" in caplog.text


def test_only_the_agent_that_has_a_rank_may_join_again():
    authority, capacity = Authority(SECRET), capacity_of_this_host()
    hosts, lines = Hosts(("127.0.0.1", 0), authority, {}, 10.0), []

    def join(identity, is_again):
        place = hosts.place
        line, _ = join_rendezvous(*place, identity, 1, capacity, is_again, LIMIT)
        lines.append(line)
        hosts.wait_for({1: "host 1"}, LIMIT)

    agents = [Identity(), Identity()]
    for agent in agents:
        agent.take(guest_certificate(authority, agent.public_key))
    try:
        with pytest.raises(ConfigError, match="have not joined"):
            hosts.wait_for({1: "host 1"}, 0.0)  # From now on it may come.
        join(agents[0], is_again=False)
        first = hosts.machine(1)
        with pytest.raises(ConfigError, match="there is another host of rank 1"):
            join(agents[1], is_again=True)
        assert hosts.machine(1) is first
        join(agents[0], is_again=True)
        assert hosts.machine(1) is not first
    finally:
        for line in lines:
            line.close()
        hosts.close("seen")


@pytest.fixture
def other_version(monkeypatch):
    """Agents have another version of acmelike than their launcher; gives the words."""
    versions = rendezvous_module.versions

    def versions_there():
        is_launcher = threading.current_thread().name == "guest"
        return versions() if is_launcher else {**versions(), "acmelike": "0.0.1"}

    monkeypatch.setattr(rendezvous_module, "versions", versions_there)
    return "it has acmelike 0.0.1, and the launcher "


def test_versions_are_said_before_anything_that_depends_on_them(
    monkeypatch, caplog, other_version
):
    def never(*args):
        raise AssertionError("it is of another version")

    monkeypatch.setattr(rendezvous_module, "Hello", never)
    hosts = make_hosts(2, 1)
    identity = launcher_identity(Authority(hosts.secret))
    meeting = Rendezvous(*hosts.place, identity, hosts.heartbeat, never, never)
    try:
        with pytest.raises(ConfigError, match=f"refuses this host: {other_version}"):
            join_run(hosts)
        wait_until(lambda: f"(rank 1) is refused: {other_version}" in caplog.text)
    finally:
        meeting.close()


def test_a_rank_that_was_refused_is_missing_for_that_reason(caplog, other_version):
    config = make_hosts(2, 1)
    hosts = Hosts(config.place, Authority(SECRET), {}, config.heartbeat)
    try:
        with pytest.raises(ConfigError, match="refuses this host"):
            join_run(config)
        wait_until(lambda: "is refused" in caplog.text)
        words = f"have not joined .*: 1, 2; rank 1 was refused: {other_version}"
        with pytest.raises(ConfigError, match=words):
            hosts.wait_for({1: "host 1", 2: "host 2"}, 0.0)
    finally:
        hosts.close("seen")


def test_a_launcher_that_cannot_be_understood_is_said_in_one_line(monkeypatch):
    def speak_otherwise(self, connection):
        connection.stream.send([b"x" * 64])
        while connection.receive(LIMIT) is not None:
            pass
        connection.close()

    monkeypatch.setattr(Rendezvous, "_let_in", speak_otherwise)
    hosts = make_hosts(2, 1)
    identity = launcher_identity(Authority(hosts.secret))
    meeting = Rendezvous(*hosts.place, identity, hosts.heartbeat, str, print)
    try:
        with pytest.raises(ConfigError, match="says cannot be read") as error:
            join_run(hosts)
    finally:
        meeting.close()
    assert "the same version of acmelike" in str(error.value)
    assert "\n" not in str(error.value)


def join_in_vain(hosts):
    """Joins a launcher that loses the connection."""

    def lose(join):
        raise ConnectionResetError("the link was cut")

    identity = launcher_identity(Authority(hosts.secret))
    meeting = Rendezvous(*hosts.place, identity, hosts.heartbeat, lose, print)
    try:
        with pytest.raises(ConfigError, match="has closed the connection"):
            join_run(hosts)
    finally:
        meeting.close()


def test_a_lost_connection_is_not_taken_for_another_secret():
    join_in_vain(make_hosts(2, 1, join_seconds=0.0))


def test_without_a_file_descriptor_it_is_said_once_and_hosts_may_come_later(
    monkeypatch, caplog
):
    accept, numbers = socket.socket.accept, itertools.count()

    def accept_later(sock):
        if next(numbers) < 3:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(sock)

    monkeypatch.setattr(rendezvous_module, "_REFUSED_SECONDS", 0.0)
    monkeypatch.setattr(socket.socket, "accept", accept_later)
    join_in_vain(make_hosts(2, 1, join_seconds=0.0))
    assert caplog.text.count("no host can join now: Too many open files") == 1


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "it cannot reach 127.0.0.1:"), (1, "the launcher cannot reach 127.0.0.1:")],
)
def test_a_host_that_cannot_be_reached_is_refused(monkeypatch, caplog, number, words):
    # The launcher's host listens first, then that of the agent.
    numbers, listen = itertools.count(), rendezvous_module._listener

    def listen_or_not(ip):
        if next(numbers) != number:
            return listen(ip)
        sock = socket.socket()
        sock.bind((ip, 0))
        return sock

    monkeypatch.setattr(rendezvous_module, "_listener", listen_or_not)
    hosts = make_hosts(2, 1)
    identity = launcher_identity(Authority(hosts.secret))
    meeting = Rendezvous(*hosts.place, identity, hosts.heartbeat, str, print)
    try:
        with pytest.raises(ConfigError) as caught:
            join_run(hosts)
    finally:
        meeting.close()
    assert f"the launcher refuses this host: {words}" in str(caught.value)
    assert "Connection refused); hosts of a run have to reach" in str(caught.value)
    assert f"(rank 1) is refused: {words}" in caplog.text


def test_an_address_that_only_one_machine_knows_is_named(caplog):
    caplog.set_level(logging.INFO, "acmelike")
    program, _ = make_program()
    words = "127.0.0.1 means this machine itself here: if the hosts are different"
    with pytest.raises(ConfigError, match=f"have not joined .*: 1; {words}"):
        launch(program, "hosts", hosts=make_hosts(2, join_seconds=0.1))
    assert "waiting for host 1 at 127.0.0.1:" in caplog.text and words in caplog.text
    with pytest.raises(ConfigError, match=f"no launcher answered .*; {words}"):
        join_run(make_hosts(2, 1, join_seconds=0.1))


def test_two_launchers_at_one_rendezvous():
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        program, _ = make_program()
        with pytest.raises(ConfigError, match="is another launcher there"):
            launch(program, "hosts", hosts=make_hosts(2, port=port))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rank": 2}, "rank must be from 0 to 1"),
        ({"num_hosts": 0}, "hosts must be at least 1"),
        ({"rendezvous": "somewhere"}, "rendezvous must be HOST:PORT"),
        ({"rendezvous": "somewhere:0"}, "rendezvous must be HOST:PORT"),
        ({"rendezvous": ":7000"}, "rendezvous must be HOST:PORT"),
        ({"heartbeat": 1.0}, "heartbeat: expected 2 to 3,600 seconds"),
    ],
)
def test_mistakes_are_said_before_anything_starts(settings, words):
    usual = {"num_hosts": 2, "rank": 0, "rendezvous": "127.0.0.1:1", "secret": SECRET}
    with pytest.raises(ConfigError, match=words):
        HostsConfig(**{**usual, **settings})


def test_only_rank_0_launches_and_only_hosts_have_hosts():
    program, _ = make_program()
    with pytest.raises(ConfigError, match="call join_run"):
        launch(program, "hosts", hosts=make_hosts(2, 1))
    with pytest.raises(ConfigError, match="needs hosts=HostsConfig"):
        launch(program, "hosts")
    with pytest.raises(ConfigError, match="is for the launcher 'hosts'"):
        launch(program, "threads", hosts=make_hosts(2))

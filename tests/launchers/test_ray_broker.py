"""Both ends of what the launcher and its broker say to each other, without Ray."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from acmelike import Node, Program, RayConfig, Resources
from acmelike.errors import ConfigError
from acmelike.launchers.ray import launcher as launcher_module
from acmelike.launchers.ray.broker import Broker, CannotServe, _one_line
from acmelike.launchers.ray.launcher import RayConnection, place_on_ray
from acmelike.launchers.ray.messages import (
    Available,
    Bundle,
    Refused,
    Release,
    Reserve,
    Reserved,
    Room,
    Withdraw,
)
from tests.launchers.contract import Board
from tests.launchers.fakes import FakeChild

# --- The launcher's end ---------------------------------------------------------------


class FakeBroker(FakeChild):
    """Answers nothing. When it is killed, `heard` has what it was sent."""

    def kill(self):
        self.heard = []
        with suppress(TimeoutError):
            while (message := self.theirs.receive(0.0)) is not None:
                self.heard.append(message)
        super().kill()


@pytest.fixture
def broker(monkeypatch):
    child = FakeBroker()
    monkeypatch.setattr(launcher_module, "LocalChild", lambda *args: child)
    monkeypatch.setattr(launcher_module, "_RELEASE_SECONDS", 0.3)
    return child


def test_a_reservation_that_nobody_waits_for_any_more_is_withdrawn(broker):
    ray = RayConnection(None, None)
    for message, answer in (
        (Reserve((), 0.0), Reserved),
        (Available(Resources()), Room),
    ):
        with pytest.raises(ConfigError, match="Ray did not answer within 0 s"):
            ray.ask(message, answer, 0.01)
    ray.close()
    heard = [type(message) for message in broker.heard]
    assert heard == [Reserve, Withdraw, Available, Release]


def test_who_waits_for_an_answer_does_not_hold_up_the_end(broker, caplog):
    ray = RayConnection(None, None)
    with ray._asking:
        ray.close()
    assert broker.is_killed
    assert "it has not answered an earlier question" in caplog.text


def test_nothing_is_left_of_a_ray_whose_broker_is_killed(broker):
    ray = RayConnection(None, None)
    folder = Path(ray.make_folder())
    (folder / "session").write_text("of Ray")
    ray.close()
    assert broker.is_killed and not folder.exists()


@pytest.mark.parametrize("address", [None, "10.0.0.1:6379"])
def test_only_a_ray_of_the_runs_own_has_a_folder_here(broker, monkeypatch, address):
    found = SimpleNamespace(has_location=True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    broker.theirs.send(Refused("there is no Ray"))
    program = Program("rays")
    program.add_node(Node(Board), label="board")
    config = RayConfig(address=address)
    with pytest.raises(ConfigError, match="there is no Ray"):
        place_on_ray(program, None, None, None, False, config=config)
    connect = broker.heard[0]
    assert connect.address == address
    assert (connect.folder is None) == (address is not None)
    if connect.folder is not None:
        assert not Path(connect.folder).exists()


@pytest.mark.parametrize("address", ["ray://10.0.0.1:10001", "http://10.0.0.1:8265"])
def test_an_address_with_a_scheme_is_refused_before_anything_starts(
    monkeypatch, address
):
    words = f"ray-address {address}: .* give HOST:PORT of the head, .*ray start --head"
    with pytest.raises(ConfigError, match=words):
        RayConfig(address=address)
    monkeypatch.setenv("RAY_ADDRESS", address)
    for given in (None, "auto"):
        with pytest.raises(ConfigError, match=f"RAY_ADDRESS {address}: "):
            RayConfig(address=given)
    assert RayConfig(address="10.0.0.1:6379").find_cluster() == "10.0.0.1:6379"


# --- The broker's end -----------------------------------------------------------------


@pytest.fixture
def fake_ray(monkeypatch):
    """A Ray with one host, where all is there at once; its module `ray.util` too."""
    ray, util = MagicMock(), MagicMock()
    ray.wait.side_effect = lambda refs, timeout: (refs, [])
    ray.get.return_value = b"key"
    util.placement_group.return_value.wait.return_value = True
    table = {"bundles_to_node_id": {0: "host"}}
    util.placement_group_table.return_value = table
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.util", util)
    strategies = "ray.util.scheduling_strategies"
    monkeypatch.setitem(sys.modules, strategies, MagicMock())
    return ray, util


BUNDLE = Bundle("actor/0", Resources(place="spread"))


def test_a_reservation_that_has_come_too_late_is_given_back(fake_ray):
    ray, util = fake_ray
    broker = Broker(MagicMock())
    (first,) = broker._reserve(Reserve([BUNDLE], 1.0)).agents
    broker._reserve(Reserve([BUNDLE], 1.0))
    broker._withdraw(Withdraw())
    broker._withdraw(Withdraw())
    assert ray.kill.call_count == util.remove_placement_group.call_count == 1
    assert broker._agents.keys() == {first.rank}


def test_one_that_is_still_waited_for_is_given_up(fake_ray):
    ray, util = fake_ray
    broker = Broker(MagicMock())
    broker._messages.put(Withdraw())
    with pytest.raises(CannotServe, match="does not wait any more"):
        broker._reserve(Reserve([BUNDLE], 1.0))
    assert util.remove_placement_group.call_count == 1
    broker._withdraw(broker._messages.get())
    assert util.remove_placement_group.call_count == 1 and not ray.kill.called


def test_without_a_reservation_there_is_nothing_to_withdraw(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # It cannot be imported.
    Broker(MagicMock())._withdraw(Withdraw())


def test_the_key_of_an_agent_is_told_once(fake_ray):
    connection = MagicMock()
    broker = Broker(connection)
    (agent,) = broker._reserve(Reserve([BUNDLE], 1.0)).agents
    assert agent.public_key == b"key"
    broker._replace_lost_agents()
    connection.send.assert_not_called()


def test_auto_where_no_ray_runs_is_not_taken_for_another_token(fake_ray):
    ray, _ = fake_ray
    for said, words in (
        ("Could not find any running Ray instance. Please", "no Ray runs on this host"),
        ("Failed to connect to Ray cluster at 10.0.0.1:1", "is the token the same"),
    ):
        ray.init.side_effect = ConnectionError(said)
        with pytest.raises(CannotServe, match=words):
            Broker(MagicMock())._join_cluster("auto", None)


def test_of_many_nodes_with_the_same_needs_one_is_named(fake_ray):
    ray, util = fake_ray
    util.placement_group.return_value.wait.return_value = False
    table = {"stats": {"scheduling_state": "INFEASIBLE"}}
    util.placement_group_table.return_value = table
    ray.cluster_resources.return_value = {"CPU": 4.0}
    ray.available_resources.return_value = {"CPU": 3.0}
    actor, cacher = Resources(num_cpus=0.5), Resources(num_cpus=2)
    bundles = [Bundle(f"actor/{number}", actor) for number in range(1000)]
    bundles += [Bundle(f"cacher/{number}", cacher) for number in range(2)]
    with pytest.raises(CannotServe) as caught:
        Broker(MagicMock())._reserve(Reserve(bundles, 1.0))
    assert (
        "They need actor/0 and 999 more: 0.5 cpus each; cacher/0: 2 cpus; "
        "cacher/1: 2 cpus. It has 4 cpus, "
    ) in str(caught.value)


class RayTaskError(Exception):
    """As Ray's, which has the traceback of the other process."""

    __module__ = "ray.exceptions"


@pytest.mark.parametrize(
    "error, words",
    [
        (
            RayTaskError("ray::run() (pid=7)\n  File x\nOSError: full\n"),
            "ray::run() (pid=7) ... OSError: full",
        ),
        (RayTaskError("it has ended"), "it has ended"),
        (ValueError("the cause\nand more"), "the cause"),
        (ValueError(), "ValueError"),
    ],
)
def test_an_error_in_one_line_has_its_cause(error, words):
    assert _one_line(error) == words

"""Which machine each process is started on, and which of its GPUs it sees."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from acmelike import Node, Program, Resources
from acmelike.errors import ConfigError
from acmelike.launchers.processes import capacity
from acmelike.launchers.processes.capacity import (
    Capacity,
    capacity_of_this_host,
    parse_labels,
)
from acmelike.launchers.processes.placement import Placer, Seat


def machine(name, num_cpus=4, num_gpus=0, memory_bytes=100, **labels):
    gpus = tuple(str(index) for index in range(num_gpus))
    return SimpleNamespace(
        name=name, capacity=Capacity(num_cpus, gpus, memory_bytes, labels)
    )


class Chooser:
    """Places nodes one by one."""

    def __init__(self, *machines):
        self.placement, self.machines, self.num_nodes = Placer(), list(machines), 0

    def place(self, group=None, name=None, **needs):
        self.num_nodes += 1
        program = Program("places")
        node, resources = Node(dict), Resources(**needs)
        label = name or str(self.num_nodes)
        if group is None:
            program.add_node(node, label=label, resources=resources)
        else:
            with program.group(group):
                program.add_node(node, label=label, resources=resources)
        return self.placement.choose(label, program.entries, self.machines)

    def hosts(self, num_nodes, group=None, **needs):
        """The hosts of some nodes that are placed alike."""
        seats = [self.place(group, **needs) for _ in range(num_nodes)]
        return [seat.machine.name for seat in seats]


def three_hosts():
    return Chooser(machine("a"), machine("b"), machine("c"))


def test_groups_are_spread_and_other_nodes_are_with_the_launcher():
    chooser = three_hosts()
    assert chooser.hosts(5) == ["a"] * 5
    assert chooser.hosts(4, "actor") == ["b", "c", "a", "b"]
    assert chooser.hosts(2, "other") == ["c", "b"]


def test_a_group_is_packed_onto_the_fullest_host_that_has_cores():
    chooser = three_hosts()
    assert chooser.hosts(3) == ["a"] * 3
    assert chooser.hosts(2, "actor", place="pack") == ["a", "b"]
    assert chooser.hosts(4, "actor", place="pack") == ["b", "b", "b", "c"]


def test_cores_are_shared_when_there_are_too_few():
    chooser = three_hosts()
    assert chooser.hosts(12, "actor", place="pack") == sorted("abc" * 4)
    assert sorted(chooser.hosts(3, "actor", place="pack")) == ["a", "b", "c"]


def test_what_is_placed_at_the_launcher_stays_there():
    chooser = three_hosts()
    assert chooser.hosts(3, "actor", place="launcher") == ["a"] * 3
    with pytest.raises(ConfigError, match=r"the label zone=x\); there are a: 4 cpus"):
        chooser.place(place="launcher", labels={"zone": "x"})


def test_a_host_must_have_the_labels():
    chooser = Chooser(machine("a", zone="x"), machine("b", zone="y", disk="fast"))
    assert chooser.hosts(2, "actor", labels={"zone": "y"}) == ["b", "b"]
    assert chooser.hosts(1, labels={"disk": "fast"}) == ["b"]
    words = (
        r"no host has what node '4' needs \(1 cpu, the label zone=z\); there are "
        r"a: 4 cpus, 0 gpus, 1e-07 GB of memory, zone=x; b: .*, zone=y, disk=fast$"
    )
    with pytest.raises(ConfigError, match=words):
        chooser.place(labels={"zone": "z"})


def test_memory_is_given_once():
    chooser = Chooser(machine("a"), machine("b"))
    assert chooser.hosts(3, memory_bytes=50) == ["a", "a", "b"]
    assert chooser.hosts(1, memory_bytes=50) == ["b"]
    with pytest.raises(ConfigError, match=r"other nodes have 0 of the gpus and 1e-07"):
        chooser.place(memory_bytes=1)


def test_gpus_are_given_once():
    chooser = Chooser(machine("a", num_gpus=1), machine("b", num_gpus=2))
    assert chooser.place(num_gpus=2).gpus == ("0", "1")
    assert chooser.place(num_gpus=1).machine.name == "a"
    with pytest.raises(
        ConfigError, match=r"needs \(1 cpu, 1 gpu\).*have 1 of the gpus"
    ):
        chooser.place(num_gpus=1)
    assert chooser.place().gpus == ()


def test_a_seat_that_another_has_chosen_is_taken():
    one = machine("a", num_gpus=1)
    placer, needs = Placer(), Resources(num_gpus=1)
    placer.take("of Ray", Seat(one, needs, ("0",)), None)
    entries = {None: SimpleNamespace(resources=needs, label="x", group=None)}
    with pytest.raises(ConfigError, match=r"have 1 of the gpus"):
        placer.choose("x", entries, [one])
    placer.release("of Ray")
    assert placer.choose("x", entries, [one]).gpus == ("0",)


def test_parts_of_a_gpu_are_shared():
    chooser = Chooser(machine("a", num_gpus=2))
    assert [chooser.place(num_gpus=0.5).gpus for _ in range(2)] == [("0",), ("0",)]
    assert chooser.place(num_gpus=1).gpus == ("1",)
    with pytest.raises(ConfigError, match=r"needs \(1 cpu, 0.1 gpus\)"):
        chooser.place(num_gpus=0.1)
    chooser = Chooser(machine("a", num_gpus=1))
    assert [chooser.place(num_gpus=0.1).gpus for _ in range(10)] == [("0",)] * 10


def test_one_gpu_if_there_is_one():
    chooser = Chooser(machine("a"), machine("b", num_gpus=1))
    first, second = chooser.place(num_gpus=None), chooser.place(num_gpus=None)
    assert (first.machine.name, first.gpus) == ("b", ("0",))
    assert (second.machine.name, second.gpus) == ("a", ())


def test_a_process_that_is_restarted_gets_its_seat_or_another():
    chooser = Chooser(machine("a"), machine("b", num_gpus=1), machine("c", num_gpus=1))
    seat = chooser.place(name="learner", num_gpus=1)
    assert chooser.place(name="learner", num_gpus=1) is seat
    chooser.machines.remove(seat.machine)
    again = chooser.place(name="learner", num_gpus=1)
    assert (seat.machine.name, again.machine.name) == ("b", "c")


def room(chooser, group="actor", **needs):
    program = Program("room")
    with program.group(group):
        program.add_node(Node(dict), resources=Resources(**needs))
    return chooser.placement.room(program.entries, chooser.machines)


def test_there_is_room_where_cores_are_free():
    chooser = three_hosts()
    assert (room(chooser), room(chooser, num_cpus=1.5)) == (12, 6)
    assert room(chooser, labels={"zone": "x"}) == 0
    chooser.hosts(3)
    assert (room(chooser), room(chooser, num_cpus=0.5)) == (9, 18)


def test_there_is_no_room_without_memory_or_gpus():
    chooser = three_hosts()
    half = min(each.capacity.memory_bytes for each in chooser.machines) // 2
    assert room(chooser, memory_bytes=half) < room(chooser)
    assert room(chooser, memory_bytes=100 * half) == 0
    chooser = Chooser(machine("a", num_gpus=1), machine("b"))
    assert room(chooser, num_gpus=1) == 1
    chooser.place(num_gpus=1)
    assert room(chooser, num_gpus=1) == 0


def test_where_cores_are_shared_there_are_too_many_of_the_group():
    chooser = three_hosts()
    chooser.hosts(12, "actor")
    assert room(chooser) == 0
    del chooser.machines[2]
    chooser.hosts(6)  # Of which four are too many for the first host.
    assert room(chooser) == -4
    assert room(chooser, "other") == 0


@pytest.mark.parametrize(
    "visible, platforms, found",
    [
        ("0,2", None, ("0", "2")),
        ("GPU-8932f937", "", ("GPU-8932f937",)),
        ("", None, ()),
        ("-1", None, ()),
        ("0", "cpu", ()),
        (None, None, ("0", "1", "2")),
    ],
)
def test_the_gpus_of_this_host_are_those_that_may_be_seen(
    monkeypatch, visible, platforms, found
):
    devices = ["null", "nvidia10", "nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"]
    monkeypatch.setattr(capacity.os, "listdir", {"/dev": devices}.__getitem__)
    for name, value in [
        ("CUDA_VISIBLE_DEVICES", visible),
        ("JAX_PLATFORMS", platforms),
    ]:
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert capacity_of_this_host({"zone": "a"}).gpus == found


def test_the_rest_of_this_host(monkeypatch):
    found = capacity_of_this_host({"zone": "a"})
    assert 1 <= found.num_cpus <= len(os.sched_getaffinity(0))
    assert found.memory_bytes > 1e8
    assert found.labels == {"zone": "a"}


def test_labels_of_a_host_have_one_form():
    assert parse_labels(("zone=a", "disk=b=c")) == {"zone": "a", "disk": "b=c"}
    with pytest.raises(ConfigError, match=r"host_labels must be KEY=VALUE.*: zone"):
        parse_labels(("zone",))

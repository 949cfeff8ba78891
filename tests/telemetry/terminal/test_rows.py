"""The numbers of the live table, from statuses made by hand."""

import pytest

from acmelike.core.status import ParkedCall
from acmelike.telemetry.terminal.rows import (
    edge_rows,
    method_rows,
    node_rows,
    parked_calls,
    shared_memory_bytes,
)
from tests.telemetry.statuses import by_label, edge, method, status


def row(before, now, seconds=2.0):
    (only,) = node_rows(by_label(before), by_label(now), seconds, max_per_role=6)
    return only


def test_rates_and_shares_are_of_the_time_between():
    before = status(
        "learner",
        num_steps=100,
        num_calls=7,
        worked_seconds=50.0,
        waited_seconds={"replay.sample": 10.0},
    )
    now = status(
        "learner",
        phase="waiting",
        waits_for="replay.update_priorities",
        reason="it is busy",
        num_steps=110,
        num_calls=10,
        worked_seconds=51.0,
        waited_seconds={"replay.sample": 10.2, "replay.update_priorities": 0.5},
        memory_bytes=5_000,
    )
    found = row(before, now)
    assert (found.steps_per_second, found.calls_per_second) == (5.0, 1.5)
    assert found.num_calls == 10
    assert found.busy == pytest.approx(0.5)
    assert found.waiting == pytest.approx(0.35)
    assert found.waits_for == "replay.update_priorities"
    assert found.reason == "it is busy"
    assert (found.phase, found.memory_bytes) == ("waiting", 5_000)


def test_the_reason_is_of_what_was_waited_for_longest_or_none():
    before = status("actor", num_steps=1)
    waited = {"replay.insert": 1.5, "learner.next_parameters": 0.1}
    now = status(
        "actor", waits_for="learner.next_parameters", reason="x", waited_seconds=waited
    )
    found = row(before, now)
    assert (found.waits_for, found.reason) == ("replay.insert", "")


def test_shares_are_never_more_than_the_whole():
    before = status("actor", num_steps=1)
    now = status(
        "actor", num_steps=2, worked_seconds=9.0, waited_seconds={"a": 1.5, "b": 1.5}
    )
    found = row(before, now)
    assert (found.waiting, found.busy) == (1.0, 0.0)


def test_one_long_step_is_work_though_it_is_not_counted_yet():
    before = status("evaluator", num_steps=3, worked_seconds=4.0)
    now = status(
        "evaluator", num_steps=3, worked_seconds=4.0, waited_seconds={"a": 0.5}
    )
    found = row(before, now)
    assert (found.busy, found.waiting) == (0.75, 0.25)


def test_of_a_node_that_has_just_appeared_no_rate_is_known():
    now = status("actor", num_steps=5, num_calls=5, waited_seconds={"a": 1.0})
    (found,) = node_rows({}, by_label(now), 2.0, max_per_role=6)
    assert (found.steps_per_second, found.calls_per_second) == (0.0, 0.0)
    assert (found.busy, found.waiting, found.num_calls) == (0.0, 0.0, 5)


@pytest.mark.parametrize(
    ("phase", "is_worker"), [("serving", False), ("starting", False), ("waiting", True)]
)
def test_a_service_without_steps_is_no_worker(phase, is_worker):
    node = status("replay", phase=phase)
    assert row(node, node).is_worker == is_worker


def actors(number, num_steps, waited):
    return by_label(
        status("replay", process=9, memory_bytes=90),
        *(
            status(
                f"actor/{index}",
                phase="waiting" if index else "working",
                num_steps=num_steps * index,
                waited_seconds={"replay.insert": waited},
                waits_for="replay.insert" if index == 2 else "",
                reason="full" if index == 2 else "",
                process=index // 2,
                memory_bytes=100 + index // 2,
            )
            for index in range(number)
        ),
    )


def test_many_of_a_kind_are_one_row():
    rows = node_rows(actors(8, 0, 0.0), actors(8, 2, 1.0), 2.0, max_per_role=6)
    assert [(r.label, r.num_nodes) for r in rows] == [("replay", 1), ("actor", 8)]
    found = rows[1]
    assert found.steps_per_second == 2 * sum(range(8)) / 2.0
    assert (found.waiting, found.waits_for) == (0.5, "replay.insert")
    assert (found.phase, found.reason) == ("waiting", "full")
    assert found.memory_bytes == 100 + 101 + 102 + 103


def test_one_that_failed_is_not_hidden_among_many():
    nodes = by_label(*(status(f"actor/{i}") for i in range(7)))
    nodes["actor/7"] = status("actor/7", phase="failed")
    (found,) = node_rows(nodes, nodes, 2.0, max_per_role=6)
    assert found.phase == "failed"


def test_few_of_a_kind_are_a_row_each_and_processes_are_told_once():
    rows = node_rows(actors(4, 0, 0.0), actors(4, 2, 1.0), 2.0, max_per_role=6)
    assert [r.label for r in rows[1:]] == [f"actor/{index}" for index in range(4)]
    assert [r.memory_bytes for r in rows] == [90, 100, None, 101, None]


def test_processes_of_two_hosts_may_have_one_number():
    nodes = by_label(
        status("actor/0", host="host 0", process=7, memory_bytes=10),
        status("actor/1", host="host 1", process=7, memory_bytes=20),
    )
    rows = node_rows(nodes, nodes, 2.0, max_per_role=6)
    assert [row.memory_bytes for row in rows] == [10, 20]
    assert shared_memory_bytes(nodes) is None


def test_the_memory_of_a_process_that_all_share_is_known():
    nodes = by_label(status("a", memory_bytes=10), status("b", memory_bytes=10))
    assert shared_memory_bytes(nodes) == 10
    assert shared_memory_bytes(by_label(status("a", memory_bytes=10))) is None
    assert shared_memory_bytes({}) is None


def test_edges_are_added_up_over_actors():
    before = by_label(
        status("learner", edges={"replay.sample": edge(10, 0, 0.5)}),
        status("actor/0", edges={"replay.insert": edge(1, 100, 0.1)}),
        status("actor/1"),
    )
    now = by_label(
        status("learner", edges={"replay.sample": edge(14, 0, 0.5, 0.9)}),
        status("actor/0", edges={"replay.insert": edge(5, 500, 0.1, 0.8)}),
        status(
            "actor/1",
            edges={
                "replay.insert": edge(3, 300, 0.3, 0.4),
                "learner.parameters": edge(1),
            },
        ),
    )
    rows = edge_rows(before, now, 2.0)
    assert [(r.caller, r.num_callers, r.target, r.num_calls) for r in rows] == [
        ("learner", 1, "replay.sample", 14),
        ("actor", 2, "replay.insert", 8),
        ("actor", 1, "learner.parameters", 1),
    ]
    assert [r.calls_per_second for r in rows] == [2.0, 3.5, 0.5]
    # Nothing left a process for the first and the third.
    assert [r.bytes_per_second for r in rows] == [None, 350.0, None]
    assert [r.p50_seconds for r in rows] == [0.5, 0.2, None]
    assert [r.p99_seconds for r in rows] == [0.9, 0.8, None]


def test_methods_are_added_up_over_the_nodes_of_a_role():
    shards = [
        [
            status("shard/0", methods={"insert": method(10, 5, run=(1.0, 0.1, 0.2))}),
            status("shard/1"),
        ],
        [
            status("shard/0", methods={"insert": method(20, 7, run=(1.5, 0.1, 0.2))}),
            status("shard/1", methods={"insert": method(4, 1, run=(0.5, 0.3, 0.9))}),
        ],
    ]
    (found,) = method_rows(by_label(*shards[0]), by_label(*shards[1]), 2.0)
    assert (found.label, found.num_nodes, found.method) == ("shard", 2, "insert")
    assert (found.calls_per_second, found.batch_size) == (7.0, 3.0)
    assert (found.busy, found.run_seconds) == (0.25, 2.0)
    assert (found.run_p50_seconds, found.run_p99_seconds) == (0.2, 0.9)


def test_a_role_is_the_group_and_nothing_in_the_label():
    nodes = by_label(
        *(status(f"worker {i}", group="actor", num_steps=1) for i in range(3)),
        status("actor/log", group=None, num_steps=1),
    )
    rows = node_rows(nodes, nodes, 2.0, max_per_role=2)
    assert [(r.label, r.num_nodes) for r in rows] == [("actor", 3), ("actor/log", 1)]


def test_a_row_names_a_step_or_a_constructor_that_takes_long():
    short, long, spins = (
        status("actor/0", working_seconds=9.9, spinning_seconds=9.9),
        status("actor/1", working_seconds=12.3, num_steps=5),
        status("actor/2", working_seconds=0.1, spinning_seconds=70.0),
    )
    alone = "working for 12 s", "working without a wait or a call for 70 s"
    assert [row(n, n).slow_step for n in (short, long, spins)] == ["", *alone]
    nodes = by_label(short, long, spins)
    (found,) = node_rows(nodes, nodes, 2.0, max_per_role=1)
    assert found.slow_step == "actor/1 working for 12 s, 1 more too"
    hangs = status("actor/3", phase="starting", working_seconds=12.0)
    found = row(hangs, hangs)
    assert (found.phase, found.is_worker) == ("starting", False)
    assert found.slow_step == "working for 12 s in its constructor"


def test_parked_calls_of_a_role_are_one():
    parked = (
        ParkedCall("actor/0", "insert", "full"),
        ParkedCall("learner", "sample", "empty"),
        ParkedCall("actor/3", "insert", "full"),
    )
    others = status("actor/0"), status("actor/3"), status("learner")
    replay = status("replay", parked=parked)
    assert parked_calls(by_label(replay, *others), "replay") == [
        (2, ParkedCall("actor", "insert", "full")),
        (1, ParkedCall("learner", "sample", "empty")),
    ]
    two = (parked[1], parked[1]._replace(reason="late"))  # Of one learner.
    assert parked_calls(by_label(status("replay", parked=two), *others), "replay") == [
        (1, parked[1])
    ]
    outside = ParkedCall("outside", "insert", "full")
    replay = status("replay", parked=(parked[0], outside))
    assert parked_calls(by_label(replay, *others), "replay") == [
        (1, ParkedCall("actor/0", "insert", "full")),
        (1, outside),
    ]
    assert parked_calls(by_label(*others), "replay") == []

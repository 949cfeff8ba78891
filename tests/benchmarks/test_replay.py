"""What the replay benchmark makes of its trials; without dm-reverb."""

import sys

import numpy as np
import pytest

from benchmarks import replay
from benchmarks import replay_load as load
from benchmarks.report import Report, exit_status
from benchmarks.trial import run_trial

JOBS = [job for job in replay.OVER_REVERB if job != "sample sequences"]


def report():
    return Report(benchmark="replay", title="Replay", command="none", machine={})


def items(factor, ways, bytes_per_item=100.0):
    """A trial whose rates are a multiple of 1,000 items per second."""
    rates = {job: {way: 1_000.0 * factor * w for way, w in ways} for job in JOBS}
    return {"rates": rates, "bytes_per_item": bytes_per_item}


def results(factors, sequences=(2.0, 2.0, 2.0)):
    """Three pairs; ours are these multiples of theirs, by the better of two ways."""
    theirs = [("slow", 0.5), ("fast", 1.0)]
    return {
        "acmelike, items": [items(f, [("only", 1.0)]) for f in factors],
        "reverb, items": [items(1, theirs, 500.0) for _ in factors],
        "acmelike, sequences": [{"rows": s * 1e9, "arrays": 3e9} for s in sequences],
        "reverb, sequences": [{"fast": 1e9, "slow": 1e8} for _ in sequences],
    }


def rows(made, title):
    table = next(t for t in made.tables if t["title"].startswith(title))
    return {row["name"]: row for row in table["rows"]}


def test_rates_are_compared_pair_by_pair_with_the_fastest_way():
    made = report()
    replay._report_rates(made, results([20.0, 30.0, 10.0]), "in process")
    over = rows(made, "acmelike over reverb's fastest way, in process")
    assert over["insert"]["samples"] == [20.0, 30.0, 10.0]
    assert over.keys() == replay.OVER_REVERB.keys()
    slow = rows(made, "Insert, in process")["reverb, slow"]
    assert slow["median"] == 500.0
    assert [bar["value"] for bar in made.bars] == [20.0] * 4 + [2.0]
    assert exit_status(made) == 0


def test_sequences_have_to_hold_by_our_slowest_way():
    made = report()
    few = results([20.0] * 3, sequences=[1.0, 1.1, 1.3])
    replay._report_rates(made, few, "in process")
    over = rows(made, "acmelike over reverb's fastest way")["sample sequences"]
    assert over["samples"] == pytest.approx([1.0, 1.1, 1.3])
    assert [bar["name"] for bar in made.bars if not bar["holds"]] == [
        "sample sequences, in process, over reverb"
    ]
    assert exit_status(made) == 1


def test_between_processes_there_are_other_bars_and_none_on_updates():
    made = report()
    replay._report_rates(made, results([4.0] * 3), "between processes")
    assert [(bar["bar"], bar["holds"]) for bar in made.bars] == [
        *[(">= 5", False)] * 3,
        (">= 2", True),
    ]


@pytest.mark.parametrize(("theirs", "holds"), [(500.0, True), (499.0, False)])
def test_an_item_may_take_a_fifth_of_the_memory(theirs, holds):
    made = report()
    pairs = {
        "acmelike, items": [items(1, [])] * 3,
        "reverb, items": [items(1, [], theirs)] * 3,
    }
    replay._report_memory(made, pairs)
    assert rows(made, "Memory of a small item")["reverb"]["median"] == theirs
    assert made.bars[0]["holds"] == holds


def test_scaling_compares_the_largest_table_with_the_smallest():
    made = report()
    trials = {
        "10": [{"insert": 10.0, "sample": 10.0}] * 3,
        "100": [{"insert": 90.0, "sample": 20.0}] * 3,
        "1,000": [{"insert": 40.0, "sample": 50.0}] * 3,
    }
    replay._report_scaling(made, trials)
    assert rows(made, "Insert")["100 items"]["median"] == 90.0
    assert [(bar["value"], bar["holds"]) for bar in made.bars] == [
        (4.0, True),
        (5.0, False),
    ]


def node(resident_bytes, seconds=0.2, has_jax=0.0):
    return {
        "seconds": seconds,
        "has_jax": has_jax,
        "resident_bytes": resident_bytes,
        "num_bytes": 60,
        "num_index_bytes": 40,
    }


def test_nodes_hold_what_they_report_answer_soon_and_import_no_jax():
    made = report()
    good, large = [node(130), node(90), node(140)], [node(131)] * 3
    replay._report_nodes(made, {"uniform": good, "prioritized": large})
    assert [bar["holds"] for bar in made.bars] == [True, False, True, True]
    assert rows(made, "Resident memory")["uniform"]["samples"] == [1.3, 0.9, 1.4]
    made = report()
    slow = [node(100, seconds=0.5), node(100, seconds=0.6, has_jax=1.0)]
    replay._report_nodes(made, {"uniform": slow})
    assert [bar["holds"] for bar in made.bars] == [True, False, False]


def test_no_call_waits_long_for_a_checkpoint():
    trials = [
        {"without": 0.01, "with": seconds, "seconds to save": 3.0}
        for seconds in (0.05, 0.19, 0.1)
    ]
    made = report()
    replay._report_checkpoints(made, trials)
    assert [(bar["value"], bar["holds"]) for bar in made.bars] == [(0.19, True)]
    made = report()
    replay._report_checkpoints(made, [*trials, {**trials[0], "with": 0.2}])
    assert [(bar["value"], bar["holds"]) for bar in made.bars] == [(0.2, False)]
    with_one = rows(made, "Longest call")["with a checkpoint"]
    assert with_one["samples"] == [0.05, 0.19, 0.1, 0.2]


def test_a_small_item_is_about_fifty_bytes():
    assert sum(column[:1].nbytes for column in load.transitions(3).values()) == 48
    assert load.sequences(2).nbytes == 2 * load.SEQUENCE_BYTES
    assert load.sequences(1).dtype == np.uint8


# --- acmelike's own trials, very short --------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("where", replay.PLACES)
def test_rates_of_short_trials(where):
    arguments = {"where": where, "num_items": 640, "seconds": 0.1}
    result = run_trial(f"{replay.OURS}:small_items", arguments)
    assert result["rates"].keys() == set(JOBS)
    assert all(rate > 0 for ways in result["rates"].values() for rate in ways.values())
    sampled = run_trial(f"{replay.OURS}:sequences", {**arguments, "num_items": 8})
    assert min(sampled.values()) > load.SEQUENCE_BYTES


@pytest.mark.slow
def test_a_short_trial_of_scaling():
    arguments = {"num_items": 1000, "seconds": 0.05}
    result = run_trial(f"{replay.OURS}:scaling", arguments)
    assert len(result) == 4
    assert all(microseconds > 0 for microseconds in result.values())


@pytest.mark.slow
def test_a_short_trial_of_a_checkpoint():
    arguments = {"num_bytes": 10**7, "seconds": 0.1}
    result = run_trial(f"{replay.CHECKPOINT}:stall", arguments)
    assert 0 < result["with"] < 10
    assert 0 < result["without"] < 10


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is lazy on Linux")
@pytest.mark.parametrize("sampler", replay.SAMPLERS)
def test_a_replay_node_holds_what_it_reports_and_imports_no_jax(sampler):
    arguments = {"sampler": sampler, "num_items": 200_000}
    result = run_trial(f"{replay.OURS}:node", arguments)
    reported = result["num_bytes"] + result["num_index_bytes"]
    assert 0.8 < result["resident_bytes"] / reported < 1.3
    assert result["num_bytes"] == 200_000 * 48
    assert not result["has_jax"]

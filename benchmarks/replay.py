"""Replay against dm-reverb: rates, memory, and how both hold at ten million items.

python -m benchmarks.replay --out FILE.json
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from benchmarks.command import run_benchmark
from benchmarks.machine import describe_machine
from benchmarks.report import Report, interleave, median
from benchmarks.trial import REVERB, run_trial

CHECKPOINT = "benchmarks.replay_checkpoint"
OURS, THEIRS = "benchmarks.replay_acmelike", "benchmarks.peers.reverb_replay"
PLACES = ("in process", "between processes")
SAMPLERS = ("uniform", "prioritized")

# What is demanded of our rate over that of reverb's fastest way; None for nothing.
OVER_REVERB: dict[str, dict[str, float | None]] = {
    "insert": {"in process": 20, "between processes": 5},
    "sample uniformly": {"in process": 20, "between processes": 5},
    "sample by priority": {"in process": 10, "between processes": 5},
    "update priorities": {"in process": 10, "between processes": None},
    "sample sequences": {"in process": 1.2, "between processes": 2},
}
MAX_MEMORY = 1 / 5  # Of reverb's, for an item.
MAX_SLOWER = 4.0  # From the smallest table to the largest.
MAX_RESIDENT = 1.3  # Over what `info` reports.
MAX_SECONDS = 0.5  # Until a replay node answers.
MAX_STALL_SECONDS = 0.2  # Of any call while a checkpoint is made.

# Results of one side: the trials of a job by the way it was done.
Ways = Mapping[str, Sequence[float]]


class Size(NamedTuple):
    """How much is measured.

    Attributes:
      repeats: of every trial.
      num_items: of the tables that both sides have.
      num_sequences: of the tables that both sides have.
      seconds: of each rate.
      scale: items of tables, from the smallest to the largest.
      num_transitions: of a full replay node.
      num_saved_bytes: of the frames in a checkpoint.
    """

    repeats: int
    num_items: int
    num_sequences: int
    seconds: float
    scale: tuple[int, ...]
    num_transitions: int
    num_saved_bytes: int


FULL = Size(5, 20_000, 300, 1.0, (10**4, 10**5, 10**6, 10**7), 1_000_000, 10**9)
QUICK = Size(1, 5_000, 60, 0.2, (10**4, 10**5), 100_000, 10**7)


def measure(quick: bool, command: str) -> Report:
    """All trials, and what follows from them."""
    size = QUICK if quick else FULL
    peers = {"reverb": (REVERB, ("dm-reverb", "tensorflow-cpu", "numpy"))}
    report = Report(
        benchmark="replay",
        title="Replay against dm-reverb",
        command=command,
        machine=describe_machine(("numpy",), peers),
        notes=_notes(size),
    )
    for place in PLACES:
        results = interleave(_trials(size, place), size.repeats)
        report.details[place] = results
        _report_rates(report, results, place)
    _report_memory(report, report.details["in process"])
    scaling = interleave(
        {
            f"{num:,}": partial(
                run_trial,
                f"{OURS}:scaling",
                {"num_items": num, "seconds": size.seconds / 2},
            )
            for num in size.scale
        },
        size.repeats,
    )
    nodes = interleave(
        {
            sampler: partial(
                run_trial,
                f"{OURS}:node",
                {"sampler": sampler, "num_items": size.num_transitions},
            )
            for sampler in SAMPLERS
        },
        size.repeats,
    )
    checkpoints = interleave(
        {
            "checkpoint": partial(
                run_trial,
                f"{CHECKPOINT}:stall",
                {"num_bytes": size.num_saved_bytes, "seconds": size.seconds},
            )
        },
        size.repeats,
    )
    _report_scaling(report, scaling)
    _report_nodes(report, nodes)
    _report_checkpoints(report, checkpoints["checkpoint"])
    report.details |= {"scaling": scaling, "nodes": nodes, **checkpoints}
    return report


def _notes(size: Size) -> list[str]:
    return [
        f"Small items are CartPole transitions, {size.num_items:,} in each table, 48 "
        "bytes in 5 columns. acmelike inserts 64 at a time, as the adder of a vector "
        "of environments does; reverb's trajectory writer takes steps one by one, and "
        "keeps 1 or 64 of them, which it may put into one chunk; what is sampled was "
        "written with 1. Both sample 256 at a time, and update 256 priorities.",
        f"Sequences are 20x84x84 uint8 that do not compress, {size.num_sequences} of "
        "them, sampled 32 at a time.",
        "The ratios compare with the way of reverb that has the best median. Its "
        "datasets have one batch or two under way, divided among their workers; "
        "acmelike has two between processes. Either side has one writer.",
        "In process: reverb's client and server are in one process, acmelike's service "
        "is called as an object. Between processes: on one machine.",
        "Memory of an item is what the process grows by while items are inserted, for "
        "reverb with the better of both writers.",
        "Scaling: tables that are full, so that every insert evicts.",
        f"A replay node: a process that holds {size.num_transitions:,} transitions, "
        "inserted 64 at a time; resident is what it grew by, reported the sum of "
        "num_bytes and num_index_bytes. It starts when the launcher is called, and "
        "answers the first call.",
        f"A checkpoint: of {size.num_saved_bytes:,} bytes of frames, of which items "
        "share most, in a process of its own; one caller samples, updates and inserts "
        "while another saves. The bar is on the longest call of all repeats.",
    ]


# --- Against reverb -------------------------------------------------------------------


def _trials(size: Size, place: str) -> dict[str, Any]:
    """What to measure in turn, by name."""
    small = {"where": place, "num_items": size.num_items, "seconds": size.seconds}
    large = {**small, "num_items": size.num_sequences}
    return {
        f"{name}, {what}": partial(
            run_trial, f"{module}:{function}", arguments, **interpreter
        )
        for what, function, arguments in (
            ("items", "small_items", small),
            ("sequences", "sequences", large),
        )
        for name, module, interpreter in (
            ("acmelike", OURS, {}),
            ("reverb", THEIRS, {"python": REVERB}),
        )
    }


def _report_rates(
    report: Report, results: Mapping[str, list[dict[str, Any]]], place: str
) -> None:
    """A table of each job and one of the ratios, and the bars on them."""
    ratios = {}
    for job in OVER_REVERB:
        ours, theirs = _ways(results, "acmelike", job), _ways(results, "reverb", job)
        unit = "bytes/s" if job == "sample sequences" else "items/s"
        report.add_table(
            f"{job[0].upper()}{job[1:]}, {place}",
            unit,
            {
                **{f"acmelike, {way}": samples for way, samples in ours.items()},
                **{f"reverb, {way}": samples for way, samples in theirs.items()},
            },
        )
        # Of several ways to store them, ours has to hold by the slowest.
        slowest = min(ours.values(), key=_middle)
        fastest = max(theirs.values(), key=_middle)
        ratios[job] = _ratios(slowest, fastest)
    medians = report.add_table(
        f"acmelike over reverb's fastest way, {place}, pair by pair", "x", ratios
    )
    for job, bars in OVER_REVERB.items():
        if (bar := bars[place]) is not None:
            report.add_bar(f"{job}, {place}, over reverb", medians[job], ">=", bar)


def _ways(
    results: Mapping[str, list[dict[str, Any]]], side: str, job: str
) -> dict[str, list[float]]:
    """The samples of a job, by the way it was done."""
    if job == "sample sequences":
        trials = results[f"{side}, sequences"]
    else:
        trials = [trial["rates"][job] for trial in results[f"{side}, items"]]
    return {way: [trial[way] for trial in trials] for way in trials[0]}


def _report_memory(report: Report, results: Mapping[str, list[dict[str, Any]]]) -> None:
    """What an item takes, and the bar on it."""
    taken = {
        side: [trial["bytes_per_item"] for trial in results[f"{side}, items"]]
        for side in ("acmelike", "reverb")
    }
    report.add_table("Memory of a small item", "bytes", taken)
    name = "memory of a small item, over reverb's"
    over = report.add_table(
        "Memory of a small item over reverb's, pair by pair",
        "x",
        {"acmelike": _ratios(taken["acmelike"], taken["reverb"])},
    )
    report.add_bar(name, over["acmelike"], "<=", MAX_MEMORY)


# --- Ourselves ------------------------------------------------------------------------


def _report_scaling(
    report: Report, results: Mapping[str, list[dict[str, float]]]
) -> None:
    """The time of each call by the size of its table, and the bars on its growth."""
    smallest, *_, largest = results
    for call in results[smallest][0]:
        by_size = {
            f"{size} items": [trial[call] for trial in trials]
            for size, trials in results.items()
        }
        report.add_table(f"{call[0].upper()}{call[1:]}", "us", by_size)
        slower = _ratios(by_size[f"{largest} items"], by_size[f"{smallest} items"])
        report.add_bar(
            f"{call}, time with {largest} items over {smallest}",
            median(slower),
            "<=",
            MAX_SLOWER,
        )


def _report_nodes(
    report: Report, results: Mapping[str, list[dict[str, float]]]
) -> None:
    """What full replay nodes hold and how soon they answer, and the bars on it."""
    over_reported = {
        sampler: [
            node["resident_bytes"] / (node["num_bytes"] + node["num_index_bytes"])
            for node in nodes
        ]
        for sampler, nodes in results.items()
    }
    medians = report.add_table(
        "Resident memory of a replay node over the reported", "x", over_reported
    )
    for sampler, value in medians.items():
        report.add_bar(
            f"resident memory of a {sampler} replay node over the reported",
            value,
            "<=",
            MAX_RESIDENT,
        )
    nodes = [node for trials in results.values() for node in trials]
    seconds = report.add_table(
        "A replay node's first answer", "s", {"": [node["seconds"] for node in nodes]}
    )
    report.add_bar("seconds to a replay node's answer", seconds[""], "<", MAX_SECONDS)
    num_with_jax = sum(node["has_jax"] for node in nodes)
    report.add_bar("replay nodes that imported JAX", num_with_jax, "<=", 0)


def _report_checkpoints(report: Report, trials: Sequence[dict[str, float]]) -> None:
    """The longest calls while checkpoints are made, and the bar on them."""
    longest = {
        f"{how} a checkpoint": [trial[how] for trial in trials]
        for how in ("without", "with")
    }
    report.add_table("Longest call of a caller", "s", longest)
    seconds = [trial["seconds to save"] for trial in trials]
    report.add_table("A checkpoint", "s", {"saved": seconds})
    report.add_bar(
        "seconds of the longest call while a checkpoint is made",
        max(longest["with a checkpoint"]),
        "<",
        MAX_STALL_SECONDS,
    )


def _middle(samples: Sequence[float]) -> float:
    return median(samples) or 0.0


def _ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Pair by pair."""
    return [a / b for a, b in zip(above, below, strict=True)]


if __name__ == "__main__":
    run_benchmark("replay", __doc__ or "", measure)

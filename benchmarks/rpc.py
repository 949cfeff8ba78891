"""Calls over edges against bare sockets, gRPC, pyzmq, Ray and Monarch.

python -m benchmarks.rpc --out FILE.json
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from benchmarks.command import run_benchmark
from benchmarks.machine import describe_machine
from benchmarks.report import Report, interleave
from benchmarks.rpc_limits import make_pems
from benchmarks.rpc_load import NUM_TRANSFERS, SIZES
from benchmarks.trial import RPC, run_trial

OURS, LIMITS = "benchmarks.rpc_acmelike", "benchmarks.rpc_limits"
PEERS = "benchmarks.peers"
NEAR, FAR = "acmelike", "acmelike with TLS"
GRPC, GRPC_TLS = "gRPC", "gRPC with TLS"
# By side, its launcher.
LAUNCHERS = {NEAR: "processes", FAR: "processes, TLS"}

# What is demanded of the median time of our calls over that of others'.
SMALL_OVER = {"Unix socket": 3, GRPC: 1 / 5, "Ray": 1 / 8, "Monarch": 1 / 4}
SMALL_TLS_OVER_GRPC = 1 / 3
ARRAYS_OVER_GRPC = 1 / 5
# And of our rates, with large arrays, over theirs.
OVER_MEMCPY, SIZES_OVER_MEMCPY = 0.5, ("10 MB", "100 MB", "1 GB")
AHEAD_OF = ("Ray", GRPC, "pyzmq", "Monarch")
OVER_TLS_SOCKETS = 0.8
CLIENTS_OVER_GRPC = 3
MIN_SHARE = 0.5  # Of the mean number of calls of a client.
PIPELINED_OVER_SEQUENTIAL = 2
BATCHED_OVER_UNBATCHED = 6
PUT_OVER_MEMCPY, MAX_GET_MS = 0.5, 5
# How long publishing may hold the publisher.
MAX_PUBLISH_MS = {NEAR: 5, FAR: 10}
# How long it may take to count a call.
MAX_COUNTING_US = 3

# What is told of the calls of every side: the title, the kind of call, and its figure.
TIMES = (
    ("Small call, median of a trial's calls", "small call", "p50"),
    ("Small call, processor time of the caller's thread", "small call", "processor"),
    ("1 KB of arrays in and out, median of a trial's calls", "arrays", "p50"),
)

# The trials of a side or a job, one for each repeat.
Trials = Sequence[Mapping[str, Any]]


class Size(NamedTuple):
    """How much is measured.

    Attributes:
      repeats: of every trial.
      num_calls: that the time of a call is the median of.
      sizes: of the arrays that are sent one way.
      num_clients: that call one server together.
      seconds: for which they do.
      num_pipelined: calls that are made all at once.
      num_readers: of what is published.
      num_published: how often that is.
    """

    repeats: int
    num_calls: int
    sizes: list[str]
    num_clients: int
    seconds: float
    num_pipelined: int
    num_readers: int
    num_published: int


FULL = Size(5, 3_000, list(SIZES), 32, 3.0, 10_000, 8, 10)
QUICK = Size(1, 300, ["1 MB", "10 MB"], 32, 0.5, 1_000, 8, 3)


def measure(quick: bool, command: str) -> Report:
    """All trials, and what follows from them."""
    size = QUICK if quick else FULL
    packages = ("grpcio", "pyzmq", "ray", "torchmonarch", "numpy")
    report = Report(
        benchmark="rpc",
        title="Calls over edges",
        command=command,
        machine=describe_machine(("numpy",), {"peers": (RPC, packages)}),
        notes=_notes(size),
    )
    calls = _calls(size)
    trials = {
        name: partial(_with_load, trial)
        for name, trial in (calls | _jobs(size)).items()
    }
    results = interleave(trials, size.repeats)
    sides = {name: results[name] for name in calls}
    _report_calls(report, sides)
    _report_rates(report, sides, size.sizes)
    _report_clients(report, {name: results[f"clients, {name}"] for name in CLIENTS})
    _report_batched(
        report, {how: results[f"handler of 1 ms, {how}"] for how in HANDLERS}
    )
    for name in SHARED:
        if name in size.sizes:
            _report_shared(report, name, results[f"put, {name}"], results["memcpy"])
    _report_pipelined(report, results["pipelined"])
    _report_publishing(report, {name: results[f"publish, {name}"] for name in PUBLISH})
    _report_costs(report, {name: results[f"costs, {name}"] for name in COSTS})
    _report_counting(report, results["counting"])
    report.add_table(
        "Load of the machine before and after each trial",
        "processes",
        {
            name: [load for trial in repeats for load in trial["load"]]
            for name, repeats in results.items()
        },
    )
    report.details |= results
    return report


def _notes(size: Size) -> list[str]:
    transfers = ", ".join(f"{NUM_TRANSFERS[name]} of {name}" for name in size.sizes)
    return [
        f"Two processes of one host, one caller, one call at a time. A time is the "
        f"median of {size.num_calls:,} calls, after a tenth as many. A small call has "
        "one number in and out; 1 KB of arrays are four of 64 float32 in a dict.",
        f"An array one way is sent and answered with its last byte: {transfers}, after "
        "2 each; the rate is that of the median. It is the same array each time, as "
        "for memcpy, which copies between two arrays.",
        "acmelike's caller is a node of a program. With TLS, it is launched as on two "
        "hosts, which here are one.",
        "gRPC and pyzmq use Unix sockets, pickle protocol 5 for small calls, and the "
        "bytes of an array for large ones; with TLS, gRPC uses TCP, and each side "
        "shows its certificate. Ray puts an array into its object store and calls an "
        "actor with the reference. Monarch's actor gets the bytes of an array, which "
        "it sends faster than an array. The bare sockets have one message each way.",
        f"{size.num_clients} clients in processes of their own make small calls to one "
        f"server for {size.seconds:g} s, all at once; gRPC's server has 4 threads. The "
        "share of a client is its number of calls over the mean.",
        f"A handler of 1 ms sleeps so long; {size.num_clients} clients call it, with "
        "`@batched(max_size=32, timeout=0.001)` or without.",
        f"An array is put once for {size.num_readers} readers in processes of their "
        "own, after three others. The time to a view is the longest of all readers "
        "and puts.",
        "The processor time of a small call is that of the caller's thread, in the "
        "mean: what other threads and processes do for a call is not in it.",
        "Counting a call: the lines of both sides that count calls, bytes, seconds and "
        "waits, in one process and without a call. They are timed a hundred together; "
        f"the median of {size.num_calls:,} such times.",
        f"Pipelined: {size.num_pipelined:,} small calls are begun before the first "
        "outcome is asked for.",
        f"Published are six arrays, 6 MB, to {size.num_readers} readers in processes "
        "of their own that wait for them, with 0.1 s between; the time is that of the "
        "publisher's `updating`, the median of "
        f"{size.num_published}.",
        "Ratios are pair by pair: of trials that followed each other.",
    ]


# --- What is measured -----------------------------------------------------------------

CLIENTS, PUBLISH = (NEAR, GRPC), (NEAR, FAR)
HANDLERS = {"one by one": "handle", "batched": "handle_batched"}
SHARED = ("100 MB", "1 GB")
COSTS = ("threads", "processes", "processes, TLS")


def _calls(size: Size) -> dict[str, Callable[[], Any]]:
    """The trials that measure the same of each side."""
    arguments: dict[str, Any] = {"num_calls": size.num_calls, "sizes": size.sizes}
    keys = arguments | {"pems": make_pems()}

    def peer(name: str, arguments: Mapping[str, Any]) -> Callable[[], Any]:
        return partial(run_trial, f"{PEERS}.{name}_rpc:calls", arguments, python=RPC)

    return {
        "memcpy": partial(run_trial, f"{LIMITS}:memcpy", {"sizes": size.sizes}),
        "Unix socket": partial(run_trial, f"{LIMITS}:unix", arguments),
        NEAR: partial(
            run_trial, f"{OURS}:calls", {**arguments, "launcher": LAUNCHERS[NEAR]}
        ),
        GRPC: peer("grpc", arguments | {"pems": None}),
        "pyzmq": peer("zmq", arguments),
        "Ray": peer("ray", arguments),
        "Monarch": peer("monarch", arguments),
        "TLS sockets": partial(run_trial, f"{LIMITS}:tls", keys),
        FAR: partial(
            run_trial, f"{OURS}:calls", {**arguments, "launcher": LAUNCHERS[FAR]}
        ),
        GRPC_TLS: peer("grpc", keys),
    }


def _jobs(size: Size) -> dict[str, Callable[[], Any]]:
    """The trials of particular jobs, ours and, for clients, gRPC's."""
    clients = {"num_clients": size.num_clients, "seconds": size.seconds}
    readers = {"num_readers": size.num_readers, "num_published": size.num_published}
    return {
        f"clients, {NEAR}": partial(run_trial, f"{OURS}:clients", clients),
        f"clients, {GRPC}": partial(
            run_trial, f"{PEERS}.grpc_rpc:clients", clients, python=RPC
        ),
        **{
            f"handler of 1 ms, {how}": partial(
                run_trial, f"{OURS}:clients", {**clients, "method": method}
            )
            for how, method in HANDLERS.items()
        },
        **{
            f"put, {name}": partial(
                run_trial,
                f"{OURS}:share",
                {"size": name, "num_readers": size.num_readers, "num_shared": 3},
            )
            for name in SHARED
            if name in size.sizes
        },
        "pipelined": partial(
            run_trial, f"{OURS}:pipelined", {"num_calls": size.num_pipelined}
        ),
        **{
            f"publish, {name}": partial(
                run_trial, f"{OURS}:publish", {**readers, "launcher": LAUNCHERS[name]}
            )
            for name in PUBLISH
        },
        **{
            f"costs, {launcher}": partial(
                run_trial,
                f"{OURS}:costs",
                {"launcher": launcher, "num_calls": size.num_calls},
            )
            for launcher in COSTS
        },
        "counting": partial(
            run_trial, f"{OURS}:counting", {"num_calls": size.num_calls}
        ),
    }


def _with_load(trial: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of a trial, and the load of the machine before it and after it."""
    before = os.getloadavg()[0]
    result = trial()
    return {**result, "load": [before, os.getloadavg()[0]]}


# --- What follows ---------------------------------------------------------------------


def _report_calls(report: Report, results: Mapping[str, Trials]) -> None:
    """The times of calls, and the bars on ours over others'."""
    tables = []
    for title, kind, figure in TIMES:
        times = {
            side: [trial[kind][figure] for trial in trials]
            for side, trials in results.items()
            if side != "memcpy"
        }
        report.add_table(title, "us", times)
        tables.append(times)
    small, _, arrays = tables
    demands = {
        **{
            f"a small call, {NEAR} over {name}": (small[NEAR], small[name], limit)
            for name, limit in SMALL_OVER.items()
        },
        f"a small call, {FAR} over {GRPC_TLS}": (
            *(small[FAR], small[GRPC_TLS]),
            SMALL_TLS_OVER_GRPC,
        ),
        f"1 KB of arrays in and out, {NEAR} over {GRPC}": (
            *(arrays[NEAR], arrays[GRPC]),
            ARRAYS_OVER_GRPC,
        ),
    }
    medians = report.add_table(
        "Times of calls, pair by pair",
        "x",
        {name: _ratios(ours, other) for name, (ours, other, _) in demands.items()},
    )
    for name, (_, _, limit) in demands.items():
        report.add_bar(f"time of {name}", medians[name], "<=", limit)


def _report_rates(
    report: Report, results: Mapping[str, Trials], sizes: Sequence[str]
) -> None:
    """The rates of large arrays, and the bars on ours over others'."""
    for size in sizes:
        rates = {
            side: [trial["rates"][size] / 1e9 for trial in trials]
            for side, trials in results.items()
        }
        report.add_table(f"An array of {size} one way", "GB/s", rates)
        demands: dict[str, tuple[str, str, float]] = {}
        if size in SIZES_OVER_MEMCPY:
            demands["memcpy"] = (NEAR, ">=", OVER_MEMCPY)
        demands |= {name: (NEAR, ">", 1.0) for name in AHEAD_OF}
        demands["TLS sockets"] = (FAR, ">=", OVER_TLS_SOCKETS)
        medians = report.add_table(
            f"Rates with {size}, pair by pair",
            "x",
            {
                f"{ours} over {name}": _ratios(rates[ours], rates[name])
                for name, (ours, _, _) in demands.items()
            },
        )
        for name, (ours, relation, limit) in demands.items():
            row = f"{ours} over {name}"
            report.add_bar(f"rate of {size}, {row}", medians[row], relation, limit)


def _report_clients(report: Report, results: Mapping[str, Trials]) -> None:
    """What many clients get of one server, and the bars on ours."""
    rates, shares = (
        {name: [trial[what] for trial in trials] for name, trials in results.items()}
        for what in ("calls per second", "least share")
    )
    report.add_table("Calls of all clients", "calls/s", rates)
    least = report.add_table("Least share of a client", "x", shares)
    over = report.add_table(
        "Calls of all clients over gRPC's, pair by pair",
        "x",
        {NEAR: _ratios(rates[NEAR], rates[GRPC])},
    )
    report.add_bar(
        "calls of many clients over gRPC's", over[NEAR], ">=", CLIENTS_OVER_GRPC
    )
    report.add_bar("least share of a client", least[NEAR], ">=", MIN_SHARE)


def _report_batched(report: Report, results: Mapping[str, Trials]) -> None:
    """What many clients get of a handler of 1 ms, and the bar on batches."""
    rates = {
        how: [trial["calls per second"] for trial in trials]
        for how, trials in results.items()
    }
    report.add_table("Calls of all clients of a handler of 1 ms", "calls/s", rates)
    over = report.add_table(
        "Batched calls over those one by one, pair by pair",
        "x",
        {NEAR: _ratios(rates["batched"], rates["one by one"])},
    )
    report.add_bar(
        "calls of a batched handler of 1 ms over one by one",
        over[NEAR],
        ">=",
        BATCHED_OVER_UNBATCHED,
    )


def _report_shared(report: Report, size: str, trials: Trials, copies: Trials) -> None:
    """How fast an array is put, how soon readers have it, and the bars on both."""
    rates = {
        "put": [trial["put"] / 1e9 for trial in trials],
        "memcpy": [trial["rates"][size] / 1e9 for trial in copies],
    }
    report.add_table(f"An array of {size} put for many readers", "GB/s", rates)
    over = report.add_table(
        f"A put of {size} over memcpy, pair by pair",
        "x",
        {NEAR: _ratios(rates["put"], rates["memcpy"])},
    )
    times = report.add_table(
        f"Until each reader has its view of {size}",
        "ms",
        {NEAR: [trial["ms to get"] for trial in trials]},
    )
    bar = f"a put of {size} over memcpy"
    report.add_bar(bar, over[NEAR], ">=", PUT_OVER_MEMCPY)
    bar = f"ms until each reader has its view of {size}"
    report.add_bar(bar, times[NEAR], "<", MAX_GET_MS)


def _report_pipelined(report: Report, trials: Trials) -> None:
    """Calls that are begun before others have ended, and the bar on them."""
    rates = {
        how: [trial[how] for trial in trials]
        for how in ("one after the other", "pipelined")
    }
    report.add_table("Small calls", "calls/s", rates)
    ratios = _ratios(rates["pipelined"], rates["one after the other"])
    medians = report.add_table(
        "Pipelined calls over those one after the other", "x", {NEAR: ratios}
    )
    report.add_bar(
        "rate of pipelined calls over those one after the other",
        medians[NEAR],
        ">=",
        PIPELINED_OVER_SEQUENTIAL,
    )


def _report_publishing(report: Report, results: Mapping[str, Trials]) -> None:
    """How long publishing holds the publisher, and the bars on it."""
    medians = report.add_table(
        "6 MB published, time of the publisher",
        "ms",
        {
            name: [trial["milliseconds"] for trial in trials]
            for name, trials in results.items()
        },
    )
    for name, value in medians.items():
        limit = MAX_PUBLISH_MS[name]
        report.add_bar(f"ms that publishing holds {name}", value, "<", limit)


def _report_costs(report: Report, results: Mapping[str, Trials]) -> None:
    """What each kind of call costs under each launcher; nothing is demanded."""
    for launcher, trials in results.items():
        kinds = [kind for kind in trials[0] if kind != "load"]
        report.add_table(
            f"A call under {launcher}",
            "us",
            {kind: [trial[kind] for trial in trials] for kind in kinds},
        )


def _report_counting(report: Report, trials: Trials) -> None:
    """What it takes to count a call, and the bar on both sides together."""
    times = {
        side: [trial[side] for trial in trials] for side in trials[0] if side != "load"
    }
    times["both"] = [sum(pair) for pair in zip(*times.values(), strict=True)]
    medians = report.add_table("Counting a call", "us", times)
    report.add_bar("us to count a call", medians["both"], "<", MAX_COUNTING_US)


def _ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Pair by pair."""
    return [a / b for a, b in zip(above, below, strict=True)]


if __name__ == "__main__":
    run_benchmark("rpc", __doc__ or "", measure)

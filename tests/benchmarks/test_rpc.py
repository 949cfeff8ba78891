"""What the benchmark of calls makes of its trials; without the peers."""

import pytest

from benchmarks import rpc, rpc_limits
from benchmarks import rpc_load as load
from benchmarks.report import Report
from benchmarks.trial import run_trial

SHORT = {"num_calls": 20, "sizes": ["1 MB"]}


def report():
    return Report(benchmark="rpc", title="Calls", command="none", machine={})


def rows(made, title):
    table = next(t for t in made.tables if t["title"].startswith(title))
    return {row["name"]: row for row in table["rows"]}


def values(made):
    return {bar["name"]: (bar["value"], bar["holds"]) for bar in made.bars}


def timed(us):
    small = {"p50": us, "p99": 9e9, "processor": us / 2}
    return {"small call": small, "arrays": {"p50": 2 * us}}


def test_times_are_compared_pair_by_pair():
    made = report()
    theirs = {
        "Unix socket": 10.0,
        "gRPC": 200.0,
        "Ray": 800.0,
        "Monarch": 100.0,
        "pyzmq": 40.0,
        "TLS sockets": 30.0,
        "gRPC with TLS": 300.0,
    }
    results = {name: [timed(us)] * 3 for name, us in theirs.items()}
    results["acmelike"] = [timed(us) for us in (30.0, 20.0, 90.0)]
    results["acmelike with TLS"] = [timed(us) for us in (99.0, 600.0, 60.0)]
    results["memcpy"] = [{"rates": {}}] * 3
    rpc._report_calls(made, results)
    assert rows(made, "Small call, processor")["Ray"]["median"] == 400.0
    over = rows(made, "Times of calls")["a small call, acmelike over Unix socket"]
    assert over["samples"] == [3.0, 2.0, 9.0]
    assert values(made) == {
        "time of a small call, acmelike over Unix socket": (3.0, True),
        "time of a small call, acmelike over gRPC": (0.15, True),
        "time of a small call, acmelike over Ray": (0.0375, True),
        "time of a small call, acmelike over Monarch": (0.3, False),
        "time of a small call, acmelike with TLS over gRPC with TLS": (0.33, True),
        "time of 1 KB of arrays in and out, acmelike over gRPC": (0.15, True),
    }


def test_only_large_arrays_are_compared_with_memcpy():
    made = report()
    sides = dict.fromkeys(rpc._calls(rpc.QUICK), 1e9)
    sides |= {"acmelike": 2e9, "memcpy": 5e9, "Ray": 2e9, "acmelike with TLS": 0.8e9}
    sizes = ["1 MB", "10 MB"]
    results = {
        name: [{"rates": dict.fromkeys(sizes, rate)}] for name, rate in sides.items()
    }
    rpc._report_rates(made, results, sizes)
    assert rows(made, "An array of 1 MB")["memcpy"]["median"] == 5.0
    found = values(made)
    assert len(found) == 5 + 6
    assert found["rate of 10 MB, acmelike over memcpy"] == (0.4, False)
    assert found["rate of 10 MB, acmelike over Ray"] == (1.0, False)
    assert found["rate of 10 MB, acmelike over gRPC"] == (2.0, True)
    assert found["rate of 1 MB, acmelike with TLS over TLS sockets"] == (0.8, True)


def test_shares_of_clients():
    ours = load.shares([60, 100, 140], 2.0)
    assert ours == {
        "calls per second": 150.0,
        "least share": 0.6,
        "counts": [60, 100, 140],
    }
    made = report()
    theirs = load.shares([20, 20, 20], 2.0)
    rpc._report_clients(made, {"acmelike": [ours], "gRPC": [theirs]})
    assert values(made) == {
        "calls of many clients over gRPC's": (5.0, True),
        "least share of a client": (0.6, True),
    }


def test_pipelining_and_publishing():
    made = report()
    rpc._report_pipelined(made, [{"one after the other": 10.0, "pipelined": 19.0}])
    times = {"acmelike": 5.0, "acmelike with TLS": 9.0}
    rpc._report_publishing(
        made, {name: [{"milliseconds": ms}] for name, ms in times.items()}
    )
    assert [bar["holds"] for bar in made.bars] == [False, False, True]


def test_batches_are_compared_with_single_calls():
    made = report()
    results = {
        how: [{"calls per second": rate} for rate in rates]
        for how, rates in {"one by one": (900, 800), "batched": (5400, 8000)}.items()
    }
    rpc._report_batched(made, results)
    found = values(made)["calls of a batched handler of 1 ms over one by one"]
    assert found == (8.0, True)


def test_a_put_is_compared_with_memcpy_and_readers_have_it_soon():
    made = report()
    trials = [{"put": 4e9, "ms to get": 5.0}] * 3
    rpc._report_shared(made, "1 GB", trials, [{"rates": {"1 GB": 8e9}}] * 3)
    assert values(made) == {
        "a put of 1 GB over memcpy": (0.5, True),
        "ms until each reader has its view of 1 GB": (5.0, False),
    }


def test_costs_are_shown_without_the_load():
    made = report()
    rpc._report_costs(made, {"threads": [{"call": 3.0, "load": [0.1, 0.2]}]})
    assert rows(made, "A call under threads").keys() == {"call"}
    assert not made.bars


def test_the_bar_on_counting_is_on_both_sides_together():
    made = report()
    trials = [
        {"caller": us, "service": 1.0, "load": [0.1, 0.2]} for us in (1.5, 2.0, 9.0)
    ]
    rpc._report_counting(made, trials)
    assert rows(made, "Counting").keys() == {"caller", "service", "both"}
    assert values(made) == {"us to count a call": (3.0, False)}


def test_the_load_is_noted_around_a_trial(monkeypatch):
    loads = iter([(1.0, 9.0, 9.0), (2.0, 9.0, 9.0)])
    monkeypatch.setattr("os.getloadavg", lambda: next(loads))
    assert rpc._with_load(lambda: {"call": 3.0}) == {"call": 3.0, "load": [1.0, 2.0]}


# --- Trials, very short ---------------------------------------------------------------


@pytest.mark.slow
def test_both_sides_of_a_call_count_it():
    result = run_trial(f"{rpc.OURS}:counting", {"num_calls": 20})
    assert 0 < min(result.values()) and max(result.values()) < 100


def holds_what_all_sides_measure(result):
    assert result.keys() == {"small call", "arrays", "rates"}
    assert 0 < result["small call"]["p50"] <= result["small call"]["p99"]
    assert result["small call"]["processor"] > 0
    assert result["rates"]["1 MB"] > 1e6


@pytest.mark.slow
def test_bare_sockets_and_a_copy():
    module = "benchmarks.rpc_limits"
    holds_what_all_sides_measure(run_trial(f"{module}:unix", SHORT))
    pems = rpc_limits.make_pems()
    holds_what_all_sides_measure(run_trial(f"{module}:tls", {**SHORT, "pems": pems}))
    assert run_trial(f"{module}:memcpy", {"sizes": ["1 MB"]})["rates"]["1 MB"] > 1e8


@pytest.mark.slow
@pytest.mark.parametrize("launcher", rpc.LAUNCHERS.values())
def test_calls_of_a_node(launcher):
    arguments = {**SHORT, "launcher": launcher}
    holds_what_all_sides_measure(run_trial(f"{rpc.OURS}:calls", arguments))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", rpc.COSTS)
def test_costs_of_a_call(launcher):
    result = run_trial(f"{rpc.OURS}:costs", {"num_calls": 20, "launcher": launcher})
    assert min(result.values()) > 0


@pytest.mark.slow
def test_pipelined_calls():
    assert min(run_trial(f"{rpc.OURS}:pipelined", {"num_calls": 50}).values()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["echo", *rpc.HANDLERS.values()])
def test_clients_of_one_server(method):
    arguments = {"num_clients": 3, "seconds": 0.1, "method": method}
    result = run_trial(f"{rpc.OURS}:clients", arguments)
    assert len(result["counts"]) == 3
    assert result["calls per second"] > 10


@pytest.mark.slow
@pytest.mark.parametrize("launcher", rpc.LAUNCHERS.values())
def test_publishing(launcher):
    arguments = {"launcher": launcher, "num_readers": 2, "num_published": 1}
    assert run_trial(f"{rpc.OURS}:publish", arguments)["milliseconds"] > 0


@pytest.mark.slow
def test_sharing():
    arguments = {"size": "1 MB", "num_readers": 2, "num_shared": 1}
    result = run_trial(f"{rpc.OURS}:share", arguments)
    assert result["put"] > 1e6
    assert result["ms to get"] > 0

"""The picture of agents beside their peers: the best of each, and nothing alone."""

from benchmarks.plot_peers import main, rates_of
from benchmarks.report import Report

ROWS = {
    "serial": [1_000.0],
    "processes": [3_000.0, 2_000.0, 4_000.0],
    "SBX": [500.0],
    "SBX, 8 environments": [700.0],
    "RLlib": [90.0],
    "actors alone, processes": [9_000.0],
}


def report(title):
    made = Report(benchmark="agents", title="Agents", command="none", machine={})
    made.add_table(title, "steps/s", ROWS)
    return made


def test_each_library_has_its_best_and_ours_is_first():
    (table,) = report("any").tables
    rates = rates_of(table)
    assert list(rates.items()) == [
        ("acmelike", 3_000.0),
        ("Stable-Baselines Jax", 700.0),
        ("RLlib", 90.0),
    ]


def test_it_is_drawn_of_the_tables_that_there_are(tmp_path):
    paths = []
    for number, title in enumerate(
        ("Environment steps in the steady state", "SAC, updates in the steady state")
    ):
        paths.append(tmp_path / f"{number}.json")
        report(title).write(paths[-1])
    picture = tmp_path / "peers.png"
    main([*map(str, paths), str(picture)])
    assert picture.read_bytes().startswith(b"\x89PNG")

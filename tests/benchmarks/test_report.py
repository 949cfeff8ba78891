"""The runner: pairs, medians, bars, the JSON, and what is made of it."""

import json
import math
from functools import partial

import pytest

from benchmarks.report import (
    Report,
    alternate,
    exit_status,
    interleave,
    markdown,
    median,
    number,
    read_report,
)
from benchmarks.show import main

MACHINE = {
    "cpu": "A processor",
    "cores": 2,
    "system": "Linux x86_64",
    "load": 0.25,
    "interpreters": {"acmelike": {"python": "3.11.7", "jax": "0.10.2"}},
}


def report(**changes):
    made = Report(
        benchmark="example",
        title="An example",
        command="python -m benchmarks.example --out example.json",
        machine=MACHINE,
        notes=["How it was measured."],
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


# --- Pairs and medians ------------------------------------------------------------


def test_measurements_are_made_in_turn():
    order = []
    results = interleave(
        {name: lambda name=name: order.append(name) or len(order) for name in "ab"}, 3
    )
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert results == {"a": [1, 3, 5], "b": [2, 4, 6]}


def test_who_is_first_in_one_turn_is_last_in_the_next():
    order = []

    def measure(name, repeat):
        order.append(name)
        return f"{name}{repeat}"

    results = alternate({name: partial(measure, name) for name in "abc"}, 3)
    assert "".join(order) == "abccbaabc"
    assert results == {name: [f"{name}{turn}" for turn in range(3)] for name in "abc"}


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([3.0, 1.0, 2.0], 2.0),
        ([1.0, 2.0], 1.5),
        ([5.0, None, 1.0], 5.0),
        ([None, None, 1.0], None),
        ([1.0, None], None),
    ],
)
def test_what_never_happened_is_later_than_all_in_a_median(samples, expected):
    assert median(samples) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "never"), (2030.4, "2,030"), (0.8333, "0.833"), (54.321, "54.3"), (0, "0")],
)
def test_figures_are_short(value, text):
    assert number(value) == text


# --- Bars -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "relation", "limit", "holds"),
    [
        (1.5, ">=", 1.5, True),
        (1.49, ">=", 1.5, False),
        (5, ">", 4, True),
        (4, ">", 4, False),
        (3.0, "<", 3.5, True),
        (3.5, "<", 3.5, False),
        (3.0, "<", None, True),  # The other never came to it.
        (None, "<", 3.0, False),
        (None, "<", None, False),
        (None, ">=", 1.5, False),
    ],
)
def test_bars(value, relation, limit, holds):
    made = report()
    made.add_bar("a figure", value, relation, limit)
    bar = {"name": "a figure", "value": value, "bar": f"{relation} {number(limit)}"}
    assert made.bars == [{**bar, "holds": holds}]
    assert exit_status(made) == (0 if holds else 1)


def test_one_bar_that_does_not_hold_is_enough_for_status_1():
    made = report()
    assert exit_status(made) == 0
    made.add_bar("good", 2.0, ">=", 1.0)
    assert exit_status(made) == 0
    made.add_bar("bad", 0.5, ">=", 1.0)
    made.add_bar("good too", 2.0, ">=", 1.0)
    assert exit_status(made) == 1


def test_a_bar_on_what_is_not_a_number_does_not_hold():
    made = report()
    made.add_bar("a figure", math.nan, ">=", 1.0)
    assert exit_status(made) == 1


# --- The JSON ---------------------------------------------------------------------


def test_raw_samples_stand_beside_their_median(tmp_path):
    made = report()
    medians = made.add_table("Speed", "steps/s", {"a": [3.0, 1.0, 2.0], "b": [None]})
    assert medians == {"a": 2.0, "b": None}
    made.write(tmp_path / "new" / "report.json")
    written = json.loads((tmp_path / "new" / "report.json").read_text())
    assert written["tables"] == [
        {
            "title": "Speed",
            "unit": "steps/s",
            "rows": [
                {"name": "a", "median": 2.0, "samples": [3.0, 1.0, 2.0]},
                {"name": "b", "median": None, "samples": [None]},
            ],
        }
    ]
    assert read_report(tmp_path / "new" / "report.json") == made


def test_a_json_that_other_programs_cannot_read_is_not_written(tmp_path):
    made = report(details={"rate": math.inf})
    with pytest.raises(ValueError, match="not JSON compliant"):
        made.write(tmp_path / "report.json")
    assert not list(tmp_path.iterdir())


# --- What is made of it -----------------------------------------------------------


def test_markdown_has_machine_command_bars_and_samples():
    made = report()
    made.add_table("Time to 475", "s", {"ours": [3.0, 2.0, None]})
    made.add_bar("speed over theirs", 1.25, ">=", 1.5)
    text = markdown(made)
    assert "`python -m benchmarks.example --out example.json`" in text
    assert "A processor, 2 cores, Linux x86_64, load 0.2 at the start" in text
    assert "acmelike: python 3.11.7, jax 0.10.2." in text
    assert "- How it was measured." in text
    assert "| speed over theirs | 1.25 | >= 1.5 | **no** |" in text
    assert "| Time to 475 | median, s | samples |" in text
    assert "| ours | 3 | 3, 2, never |" in text


@pytest.mark.parametrize(("value", "status"), [(2.0, 0), (1.0, 1)])
def test_a_file_is_shown_and_judged_again(tmp_path, capsys, value, status):
    made = report()
    made.add_table("Speed", "steps/s", {"a": [1.0, 2.0], "never": [None]})
    made.add_bar("speed", value, ">=", 1.5)
    file, picture = tmp_path / "report.json", tmp_path / "pictures" / "report.png"
    made.write(file)
    assert main([str(file), "--markdown", "--plot", str(picture)]) == status
    assert capsys.readouterr().out == markdown(made) + "\n"
    assert picture.read_bytes().startswith(b"\x89PNG")

"""The documents: their code runs, and their links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NESTED = re.DOTALL | re.MULTILINE
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "acmelike").rglob("README.md")),
    *sorted((ROOT / "agents").rglob("README.md")),
]
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^):]+))?\)")
NAMED = re.compile(r"`((?:acmelike|agents|programs|docs)/[\w/.]+\w)`")


def name_of(page):
    return str(page.relative_to(ROOT))


def trains(page, least):
    """A page whose code takes seconds, as it trains."""
    return pytest.param(page, least, marks=pytest.mark.slow)


RUN = [
    trains("README.md", 1),
    ("docs/coming-from-reverb.md", 1),
    ("docs/guide/first_program.md", 8),
    ("docs/guide/waiting.md", 6),
    ("docs/guide/rules.md", 12),
    ("docs/guide/testing.md", 2),
    trains("docs/guide/training.md", 1),
    ("docs/guide/trained_policy.md", 2),
    ("docs/guide/gpu.md", 1),
    ("docs/guide/machines.md", 3),
    trains("docs/guide/my_environment.md", 5),
    trains("docs/guide/my_network.md", 3),
    trains("docs/guide/my_agent.md", 3),
    trains("docs/guide/my_program.md", 6),
]


@pytest.mark.parametrize(("page", "least"), RUN)
def test_the_code_of_a_page_runs(page, least, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # For folders of runs.
    text = (ROOT / page).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, NESTED)
    assert len(blocks) >= least
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        # The page's code is not compiled with the imports from the future of this file.
        exec(compile(block, page, "exec", dont_inherit=True), names)


def test_no_page_with_code_is_left_out():
    """The code of my project is files; its commands have a test of their own."""
    run = {getattr(case, "values", case)[0] for case in RUN}  # With marks or without.
    have = {name_of(page) for page in PAGES if "```python" in page.read_text()}
    assert have == run | {"docs/guide/my_project.md"}


def write_files(page, folder):
    """Writes the blocks of a page that begin with the name of a file."""
    text = (ROOT / page).read_text()
    for block in re.findall(r"^```\w+\n(# \S+\.\w+\n.*?)^```", text, NESTED):
        path = folder / block.partition("\n")[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)


def run_python(folder, *args):
    """Runs Python in a folder and returns what it printed."""
    ended = subprocess.run(
        [sys.executable, *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


COMMAND = ["-m", "acmelike"]


@pytest.mark.slow
def test_the_commands_of_my_program_work(tmp_path):
    write_files("docs/guide/my_program.md", tmp_path)
    drawn = run_python(tmp_path, *COMMAND, "draw", "catch_dqn", "--out", "graph.svg")
    assert "graph.svg" in drawn
    assert "actor/3" in (tmp_path / "graph.svg").read_text()
    shown = run_python(tmp_path, *COMMAND, "train", "rainbow", "--help")
    assert "use targets of three steps" in shown
    assert run_python(tmp_path, "sensors.py") == "slope 3.0, offset 1.0\n"


def test_other_programs_call_the_thermostat_of_my_program(tmp_path):
    write_files("docs/guide/my_program.md", tmp_path)
    examples = ROOT / "docs" / "examples"

    def call(*args):
        return run_python(tmp_path, examples / "client.py", "endpoint.json", *args)

    with subprocess.Popen(
        [sys.executable, "thermostat.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            assert running.stdout.readline() == "ready\n"
            assert (tmp_path / "endpoint.json").stat().st_mode & 0o777 == 0o600
            assert call("set_target", "22") == "None\n"
            assert call("heat", "[18.5, 21, 23]").startswith("Array(dtype='<f4', shape")
            assert call("turn_off") == "None\n"
            assert running.stdout.read() == "it is warm enough\n"
        finally:
            running.kill()


@pytest.mark.slow
def test_the_commands_of_my_project_work(tmp_path):
    write_files("docs/guide/my_project.md", tmp_path)
    (tmp_path / "mine" / "__init__.py").touch()
    short = ["--launch", "serial", "--max-env-steps", "60", "--num-eval-episodes", "1"]
    train = [*COMMAND, "train", "mine.program", *short, "--out", "runs/coin"]
    assert "see runs/coin" in run_python(tmp_path, *train)
    assert "return: mean" in run_python(tmp_path, *COMMAND, "evaluate", "runs/coin")
    tested = run_python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "3 passed" in tested


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "settings"),
    [
        ("dqn", ("--agent.batch-size", "4", "--agent.replay.min-size", "40")),
        ("ppo", ("--agent.unroll-length", "8", "--agent.num-minibatches", "1")),
    ],
)
def test_the_commands_of_my_network_work(tmp_path, program, settings):
    page = "docs/guide/my_network.md"
    write_files(page, tmp_path)
    train = f"train {program} --environment Catch --agent.network networks:Differences"
    assert f"\n    acmelike {train}\n" in (ROOT / page).read_text()
    short = ("--launch", "serial", "--max-env-steps", "200", "--num-eval-episodes", "1")
    said = run_python(
        tmp_path, *COMMAND, *train.split(), *short, *settings, "--out", "run"
    )
    assert "see run" in said
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["learner_steps"] > 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["agent"]["network"] == "networks:Differences"
    assert "return: mean" in run_python(tmp_path, *COMMAND, "evaluate", "run")


def anchors_of(page):
    """What links may name of a page: its headings, as GitHub writes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    links = LINK.findall(page.read_text())
    for target, anchor in links:
        path = page.parent / target if target else page
        assert path.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in anchors_of(path), f"{name_of(page)}: no #{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named_exist(page):
    for path in NAMED.findall(page.read_text()):
        assert (ROOT / path).exists(), f"{name_of(page)} names {path}"


def test_links_and_names_of_files_are_found():
    """Otherwise the two tests before it would pass of any page."""
    texts = {name_of(page): page.read_text() for page in PAGES}
    assert LINK.findall(texts["README.md"])
    assert any(anchor for text in texts.values() for _, anchor in LINK.findall(text))
    assert any(NAMED.findall(text) for text in texts.values())

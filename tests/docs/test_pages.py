"""The documents: their code runs, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
NAMED = re.compile(r"`((?:acmelike|agents|programs|docs)/[\w/.]+\w)`")


@pytest.mark.parametrize(
    ("page", "least"),
    [("docs/guide.md", 9), ("docs/coming-from-reverb.md", 1), ("README.md", 1)],
)
def test_the_code_of_a_page_runs(page, least):
    text = (ROOT / page).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= least
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    for path in NAMED.findall(page.read_text()):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


AGENTS = [path.parent.name for path in (ROOT / "agents").glob("*/learner.py")]


@pytest.mark.parametrize("agent", AGENTS)
def test_from_an_observation_to_the_gradient_there_are_eight_files(agent):
    text = (ROOT / "docs/design.md").read_text()
    way = text.partition("One observation, ")[2].partition("One parameter, back")[0]
    steps = re.split(r"^\d\. ", way, flags=re.MULTILINE)[1:]
    assert len(steps) <= 8 and "agents/dqn/losses.py" in steps[-1]
    for step in steps:
        folder = ROOT
        # A name by itself is of a file beside the one before.
        for name in re.findall(r"`([\w/]+\.py)`", step):
            path = ROOT / name.replace("dqn", agent) if "/" in name else folder / name
            assert path.is_file(), f"docs/design.md names {name}"
            folder = path.parent

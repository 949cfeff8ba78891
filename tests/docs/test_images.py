"""The pictures in the documents show what the code makes."""

import re
from pathlib import Path

from acmelike.__main__ import main

ROOT = Path(__file__).parents[2]


def test_the_picture_of_dqn_is_that_of_the_program(tmp_path):
    path = tmp_path / "graph.svg"
    assert main(["draw", "dqn", "--out", str(path)]) == 0
    stored = (ROOT / "docs" / "images" / "dqn_graph.svg").read_text()
    assert shown(path.read_text()) == shown(stored)


def shown(svg):
    """The words of a picture; where things are may change with the layout."""
    return sorted(re.findall(r"<(title|text)\b[^>]*>([^<]+)<", svg))

"""The clients that the guide shows, for tests that call nodes with them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "docs" / "examples"
SCENARIO = Path(__file__).parent / "scenario.mjs"


def _load(path):
    spec = importlib.util.spec_from_file_location("example_client", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


client = _load(FOLDER / "client.py")

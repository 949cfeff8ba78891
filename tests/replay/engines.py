"""Runs a test with both engines, and states where they differ."""

from __future__ import annotations

import importlib.util

import pytest

HAS_REVERB = importlib.util.find_spec("reverb") is not None
NEEDS_REVERB = pytest.mark.skipif(
    not HAS_REVERB, reason="needs Reverb: make test-reverb"
)
ENGINES = ["own", pytest.param("reverb", marks=NEEDS_REVERB)]


def deviates(because, *, ours, reverbs):
    """Runs a test with each engine and the outcome `expected` of it.

    So the test also asserts what Reverb does instead. `because` is in the test's name.
    """
    return pytest.mark.parametrize(
        ("engine", "expected"),
        [
            pytest.param("own", ours, id="own"),
            pytest.param(
                "reverb", reverbs, id=f"reverb deviates: {because}", marks=NEEDS_REVERB
            ),
        ],
    )

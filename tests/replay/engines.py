"""Both engines for a test, and how it says that they differ."""

from __future__ import annotations

import importlib.util

import pytest

HAS_REVERB = importlib.util.find_spec("reverb") is not None
NEEDS_REVERB = pytest.mark.skipif(not HAS_REVERB, reason="needs `make reverb-env`")
ENGINES = ["own", pytest.param("reverb", marks=NEEDS_REVERB)]


def deviates(because, *, ours, reverbs):
    """Runs a test with each engine and what it is `expected` to do.

    So what Reverb does instead is asserted too; the names of the tests say why it does.
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

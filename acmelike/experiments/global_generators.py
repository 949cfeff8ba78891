"""The global generators of Python and NumPy, for environments that draw from them."""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_MAX_SEED = 2**32  # NumPy's takes smaller ones only.


@contextmanager
def seeded_global_generators(seed: int) -> Iterator[None]:
    """Seeds the global generators, and restores their former state at the end.

    It is for `serial`, where nodes are in this process and take turns: a run repeats
    exactly even where its environments draw from a generator that they share.
    """
    import numpy as np

    of_python, of_numpy = random.getstate(), np.random.get_state()
    # These packages draw from them when they are imported, so only in a first run.
    for name in ("jax", "flax"):
        with suppress(ImportError):
            importlib.import_module(name)
    random.seed(seed)
    np.random.seed(seed % _MAX_SEED)
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)

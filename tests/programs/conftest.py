"""What makes the tests of programs quicker."""

import pytest


@pytest.fixture(autouse=True)
def compile_quickly(monkeypatch):
    """Networks are so small here that to optimise their code takes the longest.

    For programs that are started as processes, and for those that run in this one.
    """
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    jax = pytest.importorskip("jax")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)

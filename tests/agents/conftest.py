"""What makes the tests of all agents quicker."""

import jax
import pytest


@pytest.fixture(scope="module")
def compile_quickly():
    """Networks are so small here that to optimise their code takes the longest."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)

"""The device that a learner's functions are computed on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acmelike.errors import ConfigError
from acmelike.learners.functions import find_device, make_functions

ROOT = Path(__file__).parents[2]


def test_auto_leaves_the_choice_to_jax():
    assert find_device("auto") is None
    assert find_device("cpu").platform == "cpu"


def test_a_device_that_is_not_there_is_refused_in_one_line():
    words = "learner_device is gpu, and JAX finds no such device here: .*gpu"
    with pytest.raises(ConfigError, match=words) as caught:
        find_device("gpu")
    assert "\n" not in str(caught.value)


def test_functions_that_are_not_of_jax_take_no_device():
    class Plain:
        needs_jax = False

    with pytest.raises(ConfigError, match=r"must be auto, .* of Plain: cpu$"):
        make_functions(Plain(), "cpu")


# The second device of a CPU stands for a GPU beside it.
SCRIPT = """
import jax
import numpy as np

from acmelike.learners.functions import make_functions
from tests.counting_agent import make_items
from tests.counting_learner import CountingAgent

first, second = jax.devices()
jax.local_devices = lambda backend: [second]


class Doubling(CountingAgent):
    def parameters(self, state):
        return {"count": 2 * state["count"]}  # Computed outside of any jit.


functions = make_functions(Doubling(num_updates=2, num_actions=10), "cpu")
state, data = functions.init(0), make_items(rewards=[3] * 4)
for number in (0, 2):
    state, outputs = functions.update(state, data, np.ones(4), 0, number)
parameters = functions.parameters(state)
for array in jax.tree.leaves((state, outputs.loss, parameters)):
    assert array.devices() == {second}, array.devices()
assert functions.to_host(parameters)["count"] == 8
assert outputs.loss == 3

# Whoever shares the process computes where JAX does by default.
assert jax.numpy.zeros(1).devices() == {first}
functions = make_functions(Doubling(num_updates=2, num_actions=10))
assert functions.init(0)["count"].devices() == {first}
"""


@pytest.mark.long
def test_all_is_computed_on_the_device_and_nothing_else_is():
    flags = "--xla_force_host_platform_device_count=2"
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr

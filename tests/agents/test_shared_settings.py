"""What all agents share: settings that have an effect, and metrics that are documented.

They learn from the batch of their trial in the contract.
"""

import re
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest
from dm_env import specs

from acmelike.agents.parts.normalized import Normalized
from acmelike.errors import ConfigError
from acmelike.learners.functions import make_functions
from tests.agents import contract as small
from tests.agents.test_contract import contract

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "training.md"
# REINFORCE is an agent of the tests.
NAMES = sorted({agent.builder.name for agent in small.AGENTS.values()} - {"reinforce"})


def make_agent(name, **settings):
    """The small agent of the contract, but for these settings."""
    make = getattr(small, f"make_{name}")
    return make(**settings).make_agent(contract(name).spec)


@cache  # Both settings in one agent, as it takes seconds to compile.
def learn(name):
    """The parameters before the first call and after each of two, and the last outputs.

    After the first update the learning rate is zero, and no gradient is large.
    """
    settings = {"decay_updates": 1, "final_fraction": 0.0, "max_gradient_norm": 1e-10}
    agent, sample = make_agent(name, **settings), contract(name).trial.sample
    functions = make_functions(agent)
    state = functions.init(0)
    parameters = [agent.parameters(state)]
    for number in range(2):
        state, outputs = functions.update(
            state, sample.data, sample.probabilities, 0, number
        )
        parameters.append(agent.parameters(state))
    return parameters, outputs


def largest_change(before, after):
    """Of any parameter."""
    changes = jax.tree.map(lambda x, y: float(np.abs(x - y).max()), before, after)
    return max(jax.tree.leaves(changes))


@pytest.mark.parametrize("name", NAMES)
def test_a_learning_rate_that_falls_to_zero_ends_learning(name):
    """It does so after one update, so the first call still learns."""
    (first, once, twice), _ = learn(name)
    assert largest_change(first, once) > 0
    assert largest_change(once, twice) == 0


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_limited_to_the_largest_norm_and_reported_as_they_were(name):
    """Adam makes up for small gradients, but not for those below its epsilon."""
    usual, agent = contract(name).trial, contract(name).agent
    (first, once, _), outputs = learn(name)
    without = largest_change(*map(agent.parameters, (usual.before, usual.after)))
    assert largest_change(first, once) < without / 10
    assert outputs.metrics["gradient_norm"] > 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_an_agent_gets_normalised_observations_only_if_that_is_wanted(name):
    plain = make_agent(name)
    normalized = make_agent(name, normalize_observations=True)
    assert type(normalized) is Normalized
    assert type(normalized.agent) is type(plain)


@pytest.mark.parametrize("name", NAMES)
def test_categories_have_vectors_if_that_is_wanted(name):
    category = specs.DiscreteArray(7)
    spec = contract(name).spec._replace(observations=category)
    agent = getattr(small, f"make_{name}")(embedding_size=5).make_agent(spec)
    state = jax.eval_shape(agent.init, jax.random.key(0))

    def num_tables(nest):
        return [leaf.shape for leaf in jax.tree.leaves(nest)].count((7, 5))

    assert num_tables(agent.parameters(state)) == 1
    # Both critics, and their targets, have a table each.
    assert num_tables(state) >= (5 if name in ("sac", "td3") else 1)


@pytest.mark.parametrize("name", NAMES)
def test_vectors_of_no_category_are_refused(name):
    numbers = contract(name).spec._replace(observations=specs.Array((3,), np.float32))
    builder = getattr(small, f"make_{name}")(embedding_size=5)
    with pytest.raises(ConfigError, match=f"^{name}: embedding_size must be 0, as .*5"):
        builder.check(numbers)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("size", "words"),
    [(-1, "at least 0: -1"), (2.5, "a whole number: 2.5"), (True, "a whole number: ")],
)
def test_a_size_that_no_vector_has_is_refused(name, size, words):
    with pytest.raises(ConfigError, match=f"^embedding_size must be {words}"):
        getattr(small, f"make_{name}")(embedding_size=size)


def documented(name):
    """The metrics that the guide names for an agent."""
    section = GUIDE.read_text().partition("## What an agent reports")[2]
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|", section, re.MULTILINE)
    return {
        metric
        for metric, agents in rows
        if agents == "all" or name in agents.lower().split(", ")
    }


@pytest.mark.parametrize("name", NAMES)
def test_it_reports_what_the_guide_says(name):
    metrics = contract(name).trial.outputs.metrics
    assert {"loss", *metrics} == documented(name)
    assert all(np.isfinite(value) for value in metrics.values())

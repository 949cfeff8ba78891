"""DQN's updates: one call of several, the target network, priorities, switches."""

import functools
import operator
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import pytest

from acmelike.agents.dqn import DQNConfig
from acmelike.agents.dqn.learner import DQN
from acmelike.agents.dqn.losses import td_errors
from acmelike.agents.parts.updates import TargetState
from acmelike.types import Transition
from tests.agents.compiled import (
    check_what_is_drawn_often_counts_less,
    compiled_update,
    first_state,
)
from tests.agents.settings import configure, make_spec


class Compiled(NamedTuple):
    """A core, its update compiled, and a state to begin from."""

    core: DQN
    update: Callable
    state: TargetState


@functools.cache
def compiled(**settings):
    """The core with these settings; one update a call if they do not say."""
    defaults = {
        "hidden_sizes": (16,),
        "num_updates_per_call": 1,
        "target_update_period": 2,
    }
    config = configure(DQNConfig, **(defaults | settings))
    core = DQN(config, make_spec())
    return Compiled(core, compiled_update(core), first_state(core))


def make_items(num_items=4, seed=0):
    """Random transitions and the probabilities with which they were drawn."""
    random = np.random.default_rng(seed)
    data = Transition(
        o_tm1=random.normal(size=(num_items, 3)).astype(np.float32),
        a_tm1=random.integers(2, size=num_items),
        r_t=random.normal(size=num_items).astype(np.float32),
        discount_t=np.full(num_items, 0.9, np.float32),
        o_t=random.normal(size=(num_items, 3)).astype(np.float32),
        version=np.zeros(num_items, np.int64),
    )
    return data, random.uniform(0.01, 0.1, num_items)


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def test_a_call_of_three_updates_equals_three_calls_of_one():
    items = make_items(3 * 4)
    _, update, first = compiled(num_updates_per_call=3)
    state, outputs = update(first, *items)

    _, update, one_by_one = compiled()
    losses, priorities, metrics = [], [], []
    for start in (0, 4, 8):
        minibatch = jax.tree.map(operator.itemgetter(slice(start, start + 4)), items)
        one_by_one, output = update(one_by_one, *minibatch)
        losses.append(output.loss)
        priorities.append(output.priorities)
        metrics.append(output.metrics)
    np.testing.assert_allclose(flat(state), flat(one_by_one), rtol=1e-5, atol=1e-6)
    assert state.num_updates == one_by_one.num_updates == 3
    np.testing.assert_allclose(outputs.loss, np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(
        outputs.priorities, np.concatenate(priorities), rtol=1e-4
    )
    for name, value in outputs.metrics.items():
        mean = np.mean([each[name] for each in metrics])
        np.testing.assert_allclose(value, mean, rtol=1e-4, atol=1e-5)


def test_metrics_of_values_that_are_1_and_4_everywhere():
    _, update, state = compiled()
    # The biases of the head: of the value, and of the advantages, whose mean is zero.
    biases = {(1,): 2.5, (2,): np.float32([-1.5, 1.5])}
    constant = jax.tree.map(
        lambda x: np.zeros_like(x) + biases.get(x.shape, 0), state.parameters
    )
    data, probabilities = make_items()
    data = data._replace(
        a_tm1=np.array([0, 1, 1, 1]),
        r_t=np.float32([2, 4, 3, 8]),
        discount_t=np.zeros(4, np.float32),
    )
    _, outputs = update(state._replace(parameters=constant), data, probabilities)
    assert outputs.metrics["mean_q"] == pytest.approx((1 + 4 + 4 + 4) / 4)
    assert outputs.metrics["td_error"] == pytest.approx((1 + 0 + 1 + 4) / 4)


def test_the_target_network_is_copied_every_so_many_updates():
    _, update, state = compiled()  # every two updates
    states = [state]
    for seed in range(5):
        states.append(update(states[-1], *make_items(seed=seed))[0])
    for state, copied_after in zip(states, [0, 0, 2, 2, 4, 4], strict=True):
        copied = states[copied_after].parameters
        np.testing.assert_array_equal(flat(state.target), flat(copied))
    assert not np.array_equal(flat(states[1].parameters), flat(states[2].parameters))


def test_priorities_are_absolute_errors_in_the_order_of_the_items():
    core, update, state = compiled()
    data, probabilities = make_items()
    _, outputs = update(state, data, probabilities)
    errors, _ = td_errors(
        core.network.apply, state.parameters, state.target, data, double=True
    )
    assert len(set(np.abs(errors).tolist())) == 4
    # The least that a priority can be keeps every item within reach.
    np.testing.assert_allclose(outputs.priorities, np.abs(errors) + 1e-3, rtol=1e-4)


@pytest.mark.parametrize("prioritized", [True, False])
def test_probabilities_count_only_with_prioritized_sampling(prioritized):
    _, update, state = compiled(**({} if prioritized else {"prioritized": False}))
    data, probabilities = make_items()
    weighted, outputs = update(state, data, probabilities)
    plain, _ = update(state, data, np.full_like(probabilities, 0.05))
    differ = not np.array_equal(flat(weighted.parameters), flat(plain.parameters))
    assert differ == prioritized
    assert (outputs.priorities is not None) == prioritized


def test_an_item_that_is_drawn_more_often_counts_less():
    _, update, state = compiled()
    check_what_is_drawn_often_counts_less(update, state, make_items()[0])


@pytest.mark.parametrize("off", [None, "double", "dueling", "prioritized"])
def test_with_any_switch_off_it_learns_a_batch_by_heart(off):
    switches = {} if off is None else {off: False}
    _, update, state = compiled(**switches)
    data, probabilities = make_items()
    data = data._replace(discount_t=np.zeros_like(data.discount_t))
    losses = []
    for _ in range(500):
        state, outputs = update(state, data, probabilities)
        losses.append(float(outputs.loss))
    assert losses[-1] < losses[0] / 20

"""R2D2's updates: one call of several, the target network, priorities, weights."""

import functools
import operator
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import pytest

from acmelike.adders import Sequence
from acmelike.agents.parts.updates import TargetState
from acmelike.agents.r2d2 import R2D2Config
from acmelike.agents.r2d2.learner import R2D2
from acmelike.agents.r2d2.losses import (
    sequence_priorities,
    td_errors,
    unroll_with_burn_in,
)
from tests.agents.compiled import (
    check_what_is_drawn_often_counts_less,
    compiled_update,
    first_state,
)
from tests.agents.settings import configure, make_spec

LENGTH, NUM_UNITS = 6, 8


class Compiled(NamedTuple):
    """A core, its update compiled, and a state to begin from."""

    core: R2D2
    update: Callable
    state: TargetState


@functools.cache
def compiled(**settings):
    """The core with these settings; one update a call if they do not say."""
    defaults = {
        "hidden_sizes": (8,),
        "lstm_size": NUM_UNITS,
        "sequence_length": LENGTH,
        "burn_in": 2,
        "overlap": 3,
        "num_updates_per_call": 1,
        "target_update_period": 2,
    }
    config = configure(R2D2Config, **(defaults | settings))
    core = R2D2(config, make_spec())
    return Compiled(core, compiled_update(core), first_state(core))


def make_items(num_items=4, seed=0):
    """Random sequences and the probabilities with which they were drawn."""
    random = np.random.default_rng(seed)
    shape = (num_items, LENGTH)

    def normal(*shape):
        return random.normal(size=shape).astype(np.float32)

    data = Sequence(
        o_t=normal(*shape, 3),
        a_t=random.integers(2, size=shape),
        r_t=normal(*shape),
        discount_t=np.ones(shape, np.float32),
        is_first=random.random(shape) < 0.1,
        mask=np.ones(shape, np.float32),
        version=np.zeros(shape, np.int64),
        extras={
            "hidden": normal(num_items, NUM_UNITS),
            "cell": normal(num_items, NUM_UNITS),
            "action": random.integers(-1, 2, num_items).astype(np.int32),
        },
    )
    return data, random.uniform(0.01, 0.1, num_items)


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@pytest.mark.slow
def test_a_call_of_three_updates_equals_three_calls_of_one():
    items = make_items(3 * 4)
    _, update, first = compiled(num_updates_per_call=3)
    state, outputs = update(first, *items)

    _, update, one_by_one = compiled()
    losses, priorities = [], []
    for start in (0, 4, 8):
        minibatch = jax.tree.map(operator.itemgetter(slice(start, start + 4)), items)
        one_by_one, output = update(one_by_one, *minibatch)
        losses.append(output.loss)
        priorities.append(output.priorities)
    np.testing.assert_allclose(flat(state), flat(one_by_one), rtol=1e-4, atol=1e-5)
    assert state.num_updates == one_by_one.num_updates == 3
    np.testing.assert_allclose(outputs.loss, np.mean(losses), rtol=1e-4)
    np.testing.assert_allclose(
        outputs.priorities, np.concatenate(priorities), rtol=1e-3
    )


def test_the_target_network_is_copied_every_so_many_updates():
    _, update, state = compiled()  # every two updates
    states = [state]
    for seed in range(5):
        states.append(update(states[-1], *make_items(seed=seed))[0])
    for state, copied_after in zip(states, [0, 0, 2, 2, 4, 4], strict=True):
        copied = states[copied_after].parameters
        np.testing.assert_array_equal(flat(state.target), flat(copied))
    assert not np.array_equal(flat(states[1].parameters), flat(states[2].parameters))


def test_priorities_are_of_the_steps_after_the_burn_in_in_the_order_of_the_items():
    core, update, state = compiled()
    data, probabilities = make_items()
    data = data._replace(is_first=np.zeros_like(data.is_first))
    _, outputs = update(state, data, probabilities)
    batch = Sequence(*(np.swapaxes(x, 0, 1) for x in data[:-1]), extras=data.extras)

    @jax.jit
    def errors_of(parameters):
        q = unroll_with_burn_in(core.network, parameters, batch, burn_in=2)
        errors, _ = td_errors(q, q, batch, n_step=3, discount=0.99, rescale_values=True)
        return errors

    errors = errors_of(state.parameters)[2:]
    expected = sequence_priorities(errors, np.ones_like(errors), max_fraction=0.9)
    assert len(set(np.asarray(expected).tolist())) == 4
    # The least that a priority can be keeps every item within reach.
    np.testing.assert_allclose(outputs.priorities, expected + 1e-3, rtol=1e-3)


def test_steps_at_which_nothing_was_done_teach_nothing():
    _, update, state = compiled()
    data, probabilities = make_items()
    data.mask[:, 3:] = 0
    once, _ = update(state, data, probabilities)
    data.a_t[:, 3:] = 1 - data.a_t[:, 3:]
    again, _ = update(state, data, probabilities)
    np.testing.assert_array_equal(flat(once.parameters), flat(again.parameters))


def test_a_sequence_that_is_drawn_more_often_counts_less():
    _, update, state = compiled()
    check_what_is_drawn_often_counts_less(update, state, make_items()[0])


def test_it_learns_a_batch_by_heart():
    _, update, state = compiled()
    data, probabilities = make_items()
    data = data._replace(discount_t=np.zeros_like(data.discount_t))
    losses = []
    for _ in range(300):
        state, outputs = update(state, data, probabilities)
        losses.append(float(outputs.loss))
    assert losses[-1] < losses[0] / 20

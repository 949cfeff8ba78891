"""The loss of R2D2 against numbers worked out by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from acmelike.adders import Sequence
from acmelike.agents.r2d2 import R2D2Config
from acmelike.agents.r2d2.agent import initial_state
from acmelike.agents.r2d2.learner import R2D2
from acmelike.agents.r2d2.losses import (
    RESCALING,
    learned_steps,
    r2d2_loss,
    sequence_priorities,
    td_errors,
    unroll_with_burn_in,
)
from tests.agents.compiled import first_parameters
from tests.agents.settings import make_spec

# Of four steps; the online values prefer actions 1, 1, 1 and 0.
ONLINE = np.float32([[1, 2], [3, 5], [0, 4], [2, 1]])[:, None]
TARGET = np.float32([[50, 60], [10, 4], [6, 8], [7, 3]])[:, None]
AGENT = R2D2(R2D2Config(hidden_sizes=(4,), lstm_size=3), make_spec((2,)))


def sequence(**fields):
    """One sequence, time-major, of these fields: `[T]` to `[T, 1]`."""
    length = len(next(iter(fields.values())))
    columns = {
        "o_t": np.zeros(length, np.float32),
        "a_t": np.zeros(length, np.int64),
        "r_t": np.zeros(length, np.float32),
        "discount_t": np.ones(length, np.float32),
        "is_first": np.zeros(length, np.bool_),
        "mask": np.ones(length, np.float32),
        "version": np.zeros(length, np.int64),
    }
    for name, values in fields.items():
        columns[name] = np.asarray(values, columns[name].dtype)
    return Sequence(**{name: x[:, None] for name, x in columns.items()}, extras={})


@functools.cache
def compiled(**settings):
    return jax.jit(functools.partial(td_errors, **settings))


def errors_of(batch, q=ONLINE, q_target=TARGET, **settings):
    defaults = {"n_step": 2, "discount": 0.5, "rescale_values": False}
    errors, _ = compiled(**(defaults | settings))(q, q_target, batch)
    return errors[:, 0]


# --- Targets ----------------------------------------------------------------------


def test_two_steps_and_the_online_action_at_its_target_value():
    batch = sequence(a_t=[1, 0, 1, 0], r_t=[1, 2, 3, 99])
    expected = [
        1 + 0.5 * (2 + 0.5 * 8) - 2,
        2 + 0.5 * (3 + 0.5 * 7) - 3,
        # One step is left: it bootstraps from the last observation.
        3 + 0.5 * 7 - 4,
    ]
    np.testing.assert_allclose(errors_of(batch), expected)


@pytest.mark.parametrize("n_step", [1, 2, 3])
def test_after_termination_there_is_only_the_reward(n_step):
    # The action at step 1 ended the episode; step 2 is its last observation.
    batch = sequence(
        a_t=[1, 0, 0, 0],
        r_t=[1, 2, 0, 0],
        discount_t=[1, 0, 0, 1],
        mask=[1, 1, 0, 1],
        is_first=[0, 0, 0, 1],
    )
    first = 1 + 0.5 * (4 if n_step == 1 else 2) - 2
    np.testing.assert_allclose(errors_of(batch, n_step=n_step)[:2], [first, 2 - 3])


@pytest.mark.parametrize("n_step", [2, 3])
def test_after_truncation_it_bootstraps_from_the_last_observation(n_step):
    batch = sequence(
        a_t=[1, 0, 0, 0],
        r_t=[1, 2, 0, 0],
        discount_t=[1, 1, 0, 1],
        mask=[1, 1, 0, 1],
        is_first=[0, 0, 0, 1],
    )
    expected = [1 + 0.5 * (2 + 0.5 * 8) - 2, 2 + 0.5 * 8 - 3]
    np.testing.assert_allclose(errors_of(batch, n_step=n_step)[:2], expected)


def test_rescaled_values_are_scaled_back_before_they_are_added_to_rewards():
    # h(3) = sqrt(4) - 1 + 0.003, and h(5 + 3) = sqrt(9) - 1 + 0.008.
    q = np.float32([[0.008], [0]])[:, None]
    q_target = np.float32([[0], [1.003]])[:, None]
    batch = sequence(r_t=[5.0, 0.0])
    settings = {"n_step": 1, "discount": 1.0, "rescale_values": True}
    np.testing.assert_allclose(errors_of(batch, q, q_target, **settings), [2], 1e-4)


def test_values_of_actions_are_scaled_back_as_rewards_are():
    # h(3) and h(8), of the actions that were taken.
    q = np.float32([[1.003, 9], [9, 2.008], [0, 0]])[:, None]
    settings = {"n_step": 1, "discount": 1.0, "rescale_values": True}
    _, found = compiled(**settings)(q, q, sequence(a_t=[0, 1, 0]))
    np.testing.assert_allclose(found[:, 0], [3, 8], rtol=1e-3)


def test_rescaling_by_hand_and_its_inverse():
    h, inverse = RESCALING
    by_hand = {-8.0: -2.008, 0.0: 0.0, 3.0: 1.003, 99.0: 9.099}
    np.testing.assert_allclose(h(jnp.array([*by_hand])), [*by_hand.values()], 1e-6)
    x = jnp.linspace(-500, 500, 1001)
    np.testing.assert_allclose(inverse(h(x)), x, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(h(inverse(x / 50)), x / 50, rtol=1e-3, atol=1e-3)


def test_the_target_network_gets_no_gradient_and_the_online_one_only_where_it_acted():
    batch = sequence(a_t=[1, 0, 1, 0], r_t=[1, 2, 3, 99])

    def total(q, q_target):
        errors, _ = td_errors(
            q, q_target, batch, n_step=2, discount=0.5, rescale_values=True
        )
        return errors.sum()

    online, target = jax.jit(jax.grad(total, argnums=(0, 1)))(ONLINE, TARGET)
    np.testing.assert_array_equal(online[:, 0], [[0, -1], [-1, 0], [0, -1], [0, 0]])
    assert not target.any()


# --- Which steps count, and how much ----------------------------------------------


@pytest.mark.parametrize(
    ("is_first", "mask", "learned"),
    [
        ([0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 1]),
        # The memory of an episode that begins here is up to date.
        ([1, 0, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1]),
        ([0, 1, 0, 0, 0], [0, 1, 1, 1, 1], [0, 1, 1, 1]),
        # It ends before the sequence does.
        ([1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0]),
    ],
)
def test_steps_are_learned_from_if_taken_and_their_memory_is_known(
    is_first, mask, learned
):
    batch = sequence(is_first=is_first, mask=mask)
    found = learned_steps(batch, burn_in=2)
    np.testing.assert_array_equal(found[:, 0], learned)


def test_priorities_mix_the_largest_and_the_mean_error_of_the_steps_that_count():
    errors = np.float32([[1, 1], [-3, 5], [2, 5], [9, 5]])
    mask = np.float32([[1, 0], [1, 0], [1, 0], [0, 0]])
    found = sequence_priorities(errors, mask, max_fraction=0.9)
    np.testing.assert_allclose(found, [0.9 * 3 + 0.1 * (1 + 3 + 2) / 3, 0], rtol=1e-6)


def test_the_loss_is_the_mean_of_weighted_huber_losses_over_the_steps_that_count():
    errors = np.float32([[0.5, -3], [2, 9]])
    mask = np.float32([[1, 1], [1, 0]])
    loss = r2d2_loss(errors, mask, np.float32([1, 0.25]), huber_delta=1.0)
    assert loss == pytest.approx((0.125 + 0.25 * 2.5 + 1.5) / 3)
    assert r2d2_loss(errors, mask * 0, np.ones(2), huber_delta=1.0) == 0


# --- Burn-in ----------------------------------------------------------------------


def test_burn_in_brings_the_memory_up_to_date_and_passes_no_gradient():
    random = np.random.default_rng(0)
    parameters = first_parameters(AGENT)
    memory = initial_state(1, lstm_size=3, epsilons=(0.0,)).memory
    batch = sequence(a_t=random.integers(2, size=5))
    batch = batch._replace(extras=memory._asdict())
    observation = random.normal(size=(5, 1, 2)).astype(np.float32)

    @functools.partial(jax.jit, static_argnums=1)
    def values(observation, burn_in):
        steps = batch._replace(o_t=observation)
        return unroll_with_burn_in(AGENT.network, parameters, steps, burn_in=burn_in)

    for burn_in, may_move in [(3, [0, 0, 0, 1, 1]), (0, [1, 1, 1, 1, 1])]:
        q, pull_back = jax.vjp(lambda o, b=burn_in: values(o, b), observation)
        np.testing.assert_allclose(q, values(observation, 0), rtol=1e-5, atol=1e-6)
        last = np.zeros(q.shape, np.float32)
        last[4] = [1, 2]
        (gradient,) = pull_back(last)
        assert np.any(gradient[:, 0], axis=1).tolist() == [bool(x) for x in may_move]

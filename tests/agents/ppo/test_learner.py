"""PPO's updates: which steps they use, what they normalise, and that they learn."""

import functools

import jax
import numpy as np
import pytest
from dm_env import specs

from acmelike.adders import Unroll
from acmelike.agents.parts.updates import shuffled
from acmelike.agents.ppo import PPOBuilder, PPOConfig
from acmelike.errors import ConfigError
from acmelike.networks import log_softmax, take_action
from acmelike.types import EnvironmentSpec
from tests.agents.compiled import compiled_update, first_state
from tests.agents.settings import configure

SPEC = EnvironmentSpec(
    observations=specs.Array((3,), np.float32),
    actions=specs.DiscreteArray(2),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0, 1),
)
NUM_UNROLLS, LENGTH = 4, 6


@functools.cache
def compiled(**settings):
    """The core with these settings, its update compiled, and a state to begin from."""
    defaults = {
        "hidden_sizes": (8,),
        "unroll_length": LENGTH,
        "num_epochs": 1,
        "num_minibatches": 1,
    }
    config = configure(PPOConfig, **(defaults | settings))
    core = PPOBuilder(config=config, batch_size=NUM_UNROLLS).make_agent(SPEC)
    return core, compiled_update(core), first_state(core)


@functools.cache
def compiled_policy(core):
    return jax.jit(core.policy.apply)


def logits_of(core, state, observation):
    return compiled_policy(core)(state.learned.parameters["policy"], observation)


def make_unrolls(core, state, seed=0):
    """Random unrolls, whose actions have the probabilities that the state gives them.

    In each, step 2 is the last observation of an episode.
    """
    random = np.random.default_rng(seed)
    shape = (NUM_UNROLLS, LENGTH)
    o_t = random.normal(size=(NUM_UNROLLS, LENGTH + 1, 3)).astype(np.float32)
    a_t = random.integers(2, size=shape)
    mask = np.ones(shape, np.float32)
    mask[:, 2] = 0
    logits = logits_of(core, state, o_t[:, :-1].reshape(-1, 3))
    log_prob = take_action(log_softmax(logits), a_t.reshape(-1)).reshape(shape)
    is_first = np.zeros((NUM_UNROLLS, LENGTH + 1), bool)
    is_first[:, 3] = True
    return Unroll(
        o_t=o_t,
        a_t=a_t,
        r_t=random.normal(size=shape).astype(np.float32),
        discount_t=mask,
        is_first=is_first,
        mask=mask,
        version=np.zeros(shape, np.int64),
        extras={"log_prob": np.asarray(log_prob)},
    )


def leaves_of(state):
    return jax.tree.leaves(state.learned.parameters)


def same(a, b):
    return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


def test_what_was_done_at_the_end_of_an_episode_changes_nothing():
    core, update, state = compiled()
    data = make_unrolls(core, state)
    other = jax.tree.map(np.copy, data)
    other.a_t[:, 2] = 1 - other.a_t[:, 2]
    other.r_t[:, 2] = 1e6
    other.extras["log_prob"][:, 2] = -50
    found = [leaves_of(update(state, unrolls, None)[0]) for unrolls in (data, other)]
    assert same(*found)


def test_every_step_is_used_once_in_an_epoch():
    core, update, state = compiled(normalize_advantages=False)
    whole, _ = update(state, make_unrolls(core, state), None)
    # An epoch of one minibatch is all steps, whatever their order.
    other, _ = update(state, make_unrolls(core, state), None, jax.random.key(9))
    for a, b in zip(leaves_of(whole), leaves_of(other), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_more_epochs_go_on_in_another_order():
    core, update, state = compiled(num_epochs=3, num_minibatches=2)
    data = make_unrolls(core, state)
    after, _ = update(state, data, None)
    other, _ = update(state, data, None, jax.random.key(9))
    assert not same(leaves_of(after), leaves_of(other))
    assert after.learned.optimizer.inner[1][0].count == 6


def test_rewards_that_are_normalised_have_no_scale():
    core, update, state = compiled(normalize_rewards=True)
    data = make_unrolls(core, state)
    once, _ = update(state, data, None)
    larger, _ = update(state, data._replace(r_t=data.r_t * 1000), None)
    for a, b in zip(leaves_of(once), leaves_of(larger), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_it_learns_which_action_is_rewarded():
    core, update, state = compiled(learning_rate=1e-2, num_epochs=4)
    for seed in range(30):
        data = make_unrolls(core, state, seed)
        state, _ = update(state, data._replace(r_t=data.a_t.astype(np.float32)), None)
    logits = logits_of(core, state, data.o_t[0])
    assert (logits[:, 1] - logits[:, 0] > 1).all()


@pytest.mark.parametrize("num_steps", [1, 2, 5, 256])
def test_every_order_has_each_step_once_and_is_fair(num_steps):
    orders = np.asarray(shuffled(jax.random.key(3), 2_000, num_steps))
    assert orders.shape == (2_000, num_steps)
    np.testing.assert_array_equal(
        np.sort(orders, axis=1), np.tile(np.arange(num_steps), (2_000, 1))
    )
    # The mean of 2,000 numbers, each as likely as any other, within 5 deviations.
    deviation = np.sqrt((num_steps**2 - 1) / 12 / 2_000)
    assert np.abs(orders.mean(axis=0) - (num_steps - 1) / 2).max() <= 5 * deviation


def test_minibatches_of_unequal_size_are_refused():
    builder = PPOBuilder(config=PPOConfig(num_minibatches=5), batch_size=3)
    with pytest.raises(ConfigError, match="must divide the 96 steps of 3 environme"):
        builder.check(SPEC)
    single = PPOConfig(num_minibatches=32)
    with pytest.raises(ConfigError, match="must be below the 32 steps of a batch"):
        PPOBuilder(config=single, batch_size=1).check(SPEC)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("unroll_length", 0),
        ("num_epochs", 0),
        ("clip", 0.0),
        ("clip_values", 0.0),
        ("gae_lambda", 1.1),
        ("entropy_weight", -1.0),
        ("hidden_sizes", (0,)),
        ("learning_rate", float("inf")),
    ],
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ConfigError, match=setting):
        configure(PPOConfig, **{setting: value})

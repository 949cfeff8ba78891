"""IMPALA: states and probabilities as actors had them, and old data."""

from collections import deque

import jax
import numpy as np
import pytest

from acmelike.actors.inference import Inference
from acmelike.agent import ActorPlace
from acmelike.agents.impala import ImpalaBuilder, ImpalaConfig
from acmelike.agents.parts.recurrent import unroll
from acmelike.environments import CatchFactory, VectorEnvironment
from acmelike.errors import ConfigError
from acmelike.learners import Learner
from acmelike.networks import LSTMState, log_softmax, take_action
from acmelike.policies import make_portable
from acmelike.replay import Items, Replay, Writer
from acmelike.types import Versioned
from tests.agents.compiled import compiled_update, first_state
from tests.agents.settings import configure

NUM_ENVS = 8
FACTORY = CatchFactory(rows=6, columns=3)


class World:
    """An actor, and a learner's functions, without a framework."""

    def __init__(self, **settings):
        defaults = {
            "hidden_sizes": (32,),
            "unroll_length": 8,
            "learning_rate": 3e-3,
            "batch_size": NUM_ENVS,
        }
        config = configure(ImpalaConfig, **(defaults | settings))
        self.builder = ImpalaBuilder(config=config)
        self.environment = VectorEnvironment(FACTORY, num_envs=NUM_ENVS, seed=0)
        spec = self.environment.spec
        self.core = self.builder.make_agent(spec)
        self.state = first_state(self.core)
        self.update = compiled_update(self.core)
        place = ActorPlace(index=0, num_actors=1, num_envs=NUM_ENVS)
        policy = make_portable(self.builder, spec, self.parameters())
        inputs = self.builder.make_policy_inputs(spec, place)
        self.inference = Inference(policy, inputs, spec, num_envs=NUM_ENVS, seed=0)
        self.adder = self.builder.make_adder(NUM_ENVS)
        self.now = self.environment.reset()
        self.adder.start(self.now)

    def parameters(self):
        return jax.device_get(self.core.parameters(self.state))

    def collect(self, versioned=None):
        """The next unroll of every environment, and the mean reward of an episode."""
        version, parameters = versioned or Versioned(0, self.parameters())
        self.inference.set_parameters(parameters)
        rewards, num_ended = 0.0, 0
        while True:
            action, extras = self.inference.act(self.now)
            self.now = self.environment.step(action)
            rewards += self.now.reward.sum()
            num_ended += self.now.last().sum()
            items = self.adder.add(action, version, self.now, extras).items
            if items is not None:
                return items, rewards / max(num_ended, 1)


def learn(num_updates, *, lag=0, **settings):
    """Updates from unrolls that were collected so many versions before.

    Returns:
      The mean returns of what was collected, and what the learner says of itself.
    """
    world = World(learning_rate=1e-2, unroll_length=16, **settings)
    builder, spec = world.builder, world.environment.spec
    table = builder.make_table(spec)
    replay = Replay([table], seed=0)
    learner = Learner(
        builder=builder, spec=spec, replay=replay, table=table.name, seed=0
    )
    writer, versions = Writer(replay), deque([learner.parameters()], maxlen=lag + 1)
    returns = []
    for _ in range(num_updates):
        items, mean_return = world.collect(versions[0])
        returns.append(mean_return)
        writer.write([Items(table.name, items)])
        learner.step()
        versions.append(learner.parameters())
    return returns, learner.progress()


@pytest.mark.parametrize("lstm_size", [0, 5])
def test_with_equal_parameters_the_learner_says_what_the_actor_said(lstm_size):
    world = World(lstm_size=lstm_size)
    for _ in range(3):  # The later ones begin in the middle of episodes.
        data, _ = world.collect()
    state = ()
    if lstm_size:
        state = LSTMState(data.extras["hidden"], data.extras["cell"])
        assert np.abs(state.hidden).max() > 0.01
    heads, _ = jax.jit(unroll, static_argnums=0)(
        world.core.network,
        world.parameters(),
        state,
        np.swapaxes(data.o_t, 0, 1),
        np.swapaxes(data.is_first, 0, 1),
    )
    log_probs = log_softmax(heads.policy[:-1])
    found = take_action(log_probs, np.swapaxes(data.a_t, 0, 1))
    np.testing.assert_allclose(found.T, data.extras["log_prob"], rtol=1e-5, atol=1e-6)


def test_what_was_done_at_the_end_of_an_episode_changes_nothing():
    world = World(lstm_size=4)
    data, _ = world.collect()
    other = jax.tree.map(np.copy, data)
    ends = data.mask == 0
    assert ends.any()
    other.a_t[ends] = 0
    other.r_t[ends] = 1e6
    other.extras["log_prob"][ends] = -50
    found = [world.update(world.state, d, None) for d in (data, other)]
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rewards_are_learnt_times_their_scale():
    world, scaled = World(reward_scale=1.0), World(reward_scale=0.5)
    data, _ = world.collect()
    doubled = data._replace(r_t=2 * data.r_t)
    found = world.update(world.state, data, None)[0]
    for other, same in ((doubled, True), (data, False)):
        leaves = jax.tree.leaves(scaled.update(world.state, other, None)[0])
        assert same == all(map(np.array_equal, leaves, jax.tree.leaves(found)))


@pytest.mark.parametrize("lag", [0, 5, 20])
def test_it_learns_from_actors_that_are_behind_and_says_how_far(lag):
    returns, progress = learn(240, lag=lag)
    # And it stays there: the mean of the last third.
    assert np.mean(returns[-80:]) > 0.9
    behind = np.minimum(np.arange(240), lag)  # The first update is of version 0.
    assert progress.staleness_mean == behind.mean()


@pytest.mark.slow
def test_an_lstm_learns_too():
    returns, _ = learn(300, lstm_size=32)
    assert np.mean(returns[-80:]) > 0.9


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"unroll_length": 0}, "unroll_length"),
        ({"lstm_size": -1}, "lstm_size"),
        ({"queue_size": 7}, "queue_size"),
        ({"clip_rho": 0.0}, "clip_rho"),
        ({"discount": 1.5}, "discount"),
        ({"reward_scale": 0.0}, "reward_scale"),
        ({"value_weight": -0.1}, "value_weight"),
        ({"hidden_sizes": (0,)}, "hidden_sizes"),
    ],
)
def test_settings_out_of_range_are_refused(settings, name):
    with pytest.raises(ConfigError, match=name):
        configure(ImpalaConfig, **settings)

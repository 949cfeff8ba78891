"""What every agent's builder keeps: its parts fit together, and it is a value."""

import pickle
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from dm_env import specs

from acmelike.agent import ActorPlace, Builder
from acmelike.environments import (
    CatchFactory,
    EnvironmentFactory,
    GymnasiumFactory,
    VectorEnvironment,
)
from acmelike.errors import ConfigError
from acmelike.replay import Items, Replay, Writer, check_sample_size
from acmelike.types import EnvironmentSpec
from agents.dqn.builder import DQNBuilder
from agents.dqn.config import DQNConfig
from agents.impala.builder import ImpalaBuilder
from agents.impala.config import ImpalaConfig
from agents.ppo.builder import PPOBuilder
from agents.ppo.config import PPOConfig
from agents.r2d2.builder import R2D2Builder
from agents.r2d2.config import R2D2Config
from agents.sac.builder import SACBuilder
from agents.sac.config import SACConfig

NUM_ENVS = 3
PLACE = ActorPlace(index=0, num_actors=2, num_envs=NUM_ENVS)
CATCH = CatchFactory(rows=4, columns=3)
PENDULUM = GymnasiumFactory(name="Pendulum-v1")
# Actions of either kind, for those who cannot choose them.
DISCRETE = specs.DiscreteArray(3)
CONTINUOUS = specs.BoundedArray((2,), np.float32, -1, 1)


def make_dqn(**settings):
    defaults = {
        "hidden_sizes": (4,),
        "batch_size": 4,
        "num_updates_per_call": 2,
        "min_replay_size": 10,
        "samples_per_insert": 1.0,
    }
    return DQNBuilder(config=DQNConfig(**(defaults | settings)))


def make_impala(**settings):
    defaults = {"hidden_sizes": (4,), "batch_size": 3, "unroll_length": 4}
    return ImpalaBuilder(config=ImpalaConfig(**(defaults | settings)))


def make_ppo(**settings):
    defaults = {"hidden_sizes": (4,), "unroll_length": 8, "num_epochs": 2}
    return PPOBuilder(config=PPOConfig(**(defaults | settings)), batch_size=NUM_ENVS)


def make_r2d2(**settings):
    defaults = {
        "torso_sizes": (4,),
        "num_units": 4,
        "sequence_length": 3,
        "overlap": 2,
        "burn_in": 1,
        "batch_size": 4,
        "num_updates_per_call": 2,
        "min_replay_size": 10,
        "samples_per_insert": 1.0,
    }
    return R2D2Builder(config=R2D2Config(**(defaults | settings)))


def make_sac(**settings):
    defaults = {
        "hidden_sizes": (4,),
        "batch_size": 4,
        "num_updates_per_call": 2,
        "min_replay_size": 10,
        "samples_per_insert": 1.0,
    }
    return SACBuilder(config=SACConfig(**(defaults | settings)))


class Agent(NamedTuple):
    """A builder, an environment that fits it, and actions that do not."""

    builder: Builder
    factory: EnvironmentFactory
    refused: specs.Array


def on_catch(builder):
    return Agent(builder, CATCH, CONTINUOUS)


AGENTS = {
    "dqn": on_catch(make_dqn()),
    "ape-x dqn": on_catch(make_dqn(actor_priorities=True, n_step=3)),
    "plain dqn": on_catch(make_dqn(double=False, dueling=False, prioritized=False)),
    "impala": on_catch(make_impala()),
    "impala with an lstm": on_catch(make_impala(lstm_size=5)),
    "ppo": on_catch(make_ppo()),
    "ppo that normalises": on_catch(
        make_ppo(normalize_observations=True, normalize_rewards=True, clip_values=0.5)
    ),
    "r2d2": on_catch(make_r2d2()),
    "plain r2d2": on_catch(
        make_r2d2(dueling=False, rescale_values=False, burn_in=0, n_step=1)
    ),
    "sac": Agent(make_sac(), PENDULUM, DISCRETE),
}


@pytest.fixture(params=AGENTS)
def agent(request):
    return AGENTS[request.param]


@pytest.fixture
def builder(agent):
    return agent.builder


@pytest.fixture
def spec(agent):
    return VectorEnvironment(agent.factory, num_envs=1, seed=0).spec


class Parts(NamedTuple):
    """What an agent's parts made of 8 steps of three environments and one batch."""

    spec: EnvironmentSpec
    table: Any
    replay: Replay
    action: Any
    sample: Any
    before: Any
    after: Any
    outputs: Any


def use(agent):
    builder = agent.builder
    environment = VectorEnvironment(agent.factory, num_envs=NUM_ENVS, seed=0)
    spec = environment.spec
    builder.check(spec)
    table = builder.make_table(spec)
    check_sample_size(table, builder.batch_size)
    replay = Replay([table], seed=0)
    core = builder.make_learner_core(spec)
    state = core.init(jax.random.key(0))
    policy = builder.make_policy(spec, PLACE)
    policy_state = policy.init(NUM_ENVS)
    act, random = jax.jit(policy.act), np.random.default_rng(0)
    adder = builder.make_adder(NUM_ENVS)
    step = environment.reset()
    adder.start(step)
    writer = Writer(replay)
    for _ in range(8):
        noise = policy.noise(random, NUM_ENVS)
        action, policy_state, extras = act(
            core.parameters(state), policy_state, step.observation, noise
        )
        actions = np.asarray(action, spec.actions.dtype)
        step = environment.step(actions)
        added = adder.add(actions, 0, step, jax.device_get(extras))
        items = Items(table.name, added.items, added.priorities)
        writer.write(
            [] if added.items is None else [items],
            steps=added.steps,
            keep_from=added.keep_from,
        )
    sample = replay.sample(table.name, builder.batch_size)
    after, outputs = jax.jit(core.update)(state, sample.data, sample.probabilities)
    return Parts(
        spec,
        table,
        replay,
        action,
        sample,
        core.parameters(state),
        core.parameters(after),
        outputs,
    )


def test_its_parts_fit_together(agent):
    parts, builder = use(agent), agent.builder
    # An action for every environment, of a type that becomes the specification's.
    assert parts.action.shape == (NUM_ENVS, *parts.spec.actions.shape)
    assert np.can_cast(parts.action.dtype, parts.spec.actions.dtype, "same_kind")
    # A batch as the signature of the table has it.
    jax.tree.map(
        lambda spec, batch: np.testing.assert_equal(
            (batch.shape, batch.dtype), ((builder.batch_size, *spec.shape), spec.dtype)
        ),
        parts.table.signature,
        parts.sample.data,
        is_leaf=lambda leaf: isinstance(leaf, specs.Array),
    )
    # An update moves the parameters and leaves what they look like.
    assert parts.outputs.loss.shape == () and np.isfinite(parts.outputs.loss)
    before, after = jax.tree.leaves(parts.before), jax.tree.leaves(parts.after)
    assert [(x.shape, x.dtype) for x in before] == [(x.shape, x.dtype) for x in after]
    assert not all(map(np.array_equal, before, after))
    # Priorities, if it has any, are what replay takes for the items of the batch.
    if parts.outputs.priorities is not None:
        parts.replay.update_priorities(
            parts.table.name, parts.sample.keys, np.asarray(parts.outputs.priorities)
        )


def test_it_can_be_sent_to_another_process(builder):
    assert pickle.loads(pickle.dumps(builder)) == builder


def test_numpy_and_jax_choose_the_same_actions(builder, spec):
    policy, random = builder.make_policy(spec, PLACE), np.random.default_rng(0)
    if policy.needs_jax:
        pytest.skip("its policy takes no NumPy")
    core = builder.make_learner_core(spec)
    parameters = jax.device_get(core.parameters(core.init(jax.random.key(0))))
    # As after some updates: a network may begin with zeros.
    parameters = jax.tree.map(
        lambda x: x + random.normal(scale=0.1, size=x.shape).astype(x.dtype), parameters
    )
    act, states = jax.jit(policy.act), [policy.init(NUM_ENVS)] * 2
    for _ in range(50):
        observation = random.normal(size=(NUM_ENVS, *spec.observations.shape))
        observation = observation.astype(spec.observations.dtype)
        noise = policy.noise(random, NUM_ENVS)
        by_jax = act(parameters, states[0], observation, noise)
        by_numpy = policy.act(parameters, states[1], observation, noise)
        states = [by_jax.state, by_numpy.state]
        leaves = jax.tree.leaves(by_numpy)
        assert all(isinstance(leaf, np.ndarray) for leaf in leaves)
        for x, y in zip(jax.tree.leaves(by_jax), leaves, strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_policies_of_actors_share_their_compilation(builder, spec):
    policies = {
        builder.make_policy(spec, PLACE),
        builder.make_policy(spec, ActorPlace(index=1, num_actors=2, num_envs=NUM_ENVS)),
    }
    assert len(policies) == 1


def test_an_update_leaves_the_types_of_its_state(builder, spec):
    """Or the learner would compile it again."""
    core, size = builder.make_learner_core(spec), builder.batch_size
    signature = builder.make_table(spec).signature
    data = jax.tree.map(lambda x: np.zeros((size, *x.shape), x.dtype), signature)
    before = jax.eval_shape(core.init, jax.random.key(0))
    after, _ = jax.eval_shape(core.update, before, data, np.ones(size))
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert (x.shape, x.dtype, x.weak_type) == (y.shape, y.dtype, y.weak_type)


def test_it_refuses_actions_that_it_cannot_choose(agent, builder, spec):
    builder.check(spec)
    with pytest.raises(ConfigError, match=f"^{builder.name} needs ") as caught:
        builder.check(spec._replace(actions=agent.refused))
    message = str(caught.value)
    assert "\n" not in message and str(agent.refused.shape) in message

"""What every agent's builder keeps: its parts fit together, and it is a value."""

import functools
import pickle
from contextlib import suppress
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from dm_env import specs

from acmelike import load_policy
from acmelike.adders import store_frames_once
from acmelike.agent import ActorPlace
from acmelike.environments import VectorEnvironment
from acmelike.errors import ConfigError, NotReady
from acmelike.evaluation.policy_file import PolicyFile
from acmelike.replay import Items, Replay, Writer, check_sample_size, save_checkpoint
from acmelike.types import EnvironmentSpec
from tests.agents.contract import AGENTS, NUM_ACTORS, NUM_ENVS

PLACE = ActorPlace(index=0, num_actors=NUM_ACTORS, num_envs=NUM_ENVS)
pytestmark = pytest.mark.usefixtures("compile_quickly")


@pytest.fixture(params=AGENTS)
def name(request):
    return request.param


@pytest.fixture
def agent(name):
    return AGENTS[name]


@pytest.fixture
def builder(agent):
    return agent.builder


@pytest.fixture
def spec(agent):
    return VectorEnvironment(agent.factory, num_envs=1, seed=0).spec


class Parts(NamedTuple):
    """What an agent's parts made of each other, up to its first batch and update."""

    spec: EnvironmentSpec
    table: Any
    replay: Replay
    observation: Any
    states: Any
    acted: Any
    sample: Any
    before: Any
    after: Any
    outputs: Any
    state: Any
    update: Any


@functools.cache
def use(name):
    """Acts until there is a batch, and learns from it."""
    builder, _, factory, _ = AGENTS[name]
    environment = VectorEnvironment(factory, num_envs=NUM_ENVS, seed=0)
    spec = environment.spec
    builder.check(spec)
    table = builder.make_table(spec)
    check_sample_size(table, builder.batch_size)
    replay = Replay([table], seed=0)
    core = builder.make_learner_core(spec)
    state = jax.jit(core.init)(jax.random.key(0))
    parameters = jax.device_get(core.parameters(state))
    policy = builder.make_policy(spec, PLACE)
    act, random = jax.jit(policy.act), np.random.default_rng(0)
    states = [policy.init(NUM_ENVS)]
    adder = store_frames_once(
        builder.make_adder(NUM_ENVS), table.signature, num_envs=NUM_ENVS
    )
    writer = Writer(replay)
    step = environment.reset()
    adder.start(step)
    sample = None
    while sample is None:
        noise, observation = policy.noise(random, NUM_ENVS), step.observation
        acted = act(parameters, states[-1], observation, noise)
        states.append(acted.state)
        actions = np.asarray(acted.action, spec.actions.dtype)
        step = environment.step(actions)
        added = adder.add(actions, 0, step, jax.device_get(acted.extras))
        items = Items(table.name, added.items, added.priorities)
        writer.write(
            [] if added.items is None else [items],
            steps=added.steps,
            keep_from=added.keep_from,
        )
        with suppress(NotReady):
            sample = replay.sample(table.name, builder.batch_size)
    update = jax.jit(core.update)
    after, outputs = update(state, sample.data, sample.probabilities)
    return Parts(
        spec,
        table,
        replay,
        observation,
        states,
        acted,
        sample,
        parameters,
        core.parameters(after),
        outputs,
        after,
        update,
    )


@pytest.fixture
def parts(name):
    return use(name)


def looks(nest):
    """Shapes and types of all arrays of a nest, and the nest."""
    leaves, tree = jax.tree.flatten(nest)
    return tree, [(np.shape(leaf), leaf.dtype) for leaf in leaves]


def test_what_the_policy_gets_and_says(parts):
    spec = parts.spec
    assert looks(parts.observation) == looks(
        np.zeros((NUM_ENVS, *spec.observations.shape), spec.observations.dtype)
    )
    # An action for every environment, of a type that becomes the specification's.
    assert parts.acted.action.shape == (NUM_ENVS, *spec.actions.shape)
    assert np.can_cast(parts.acted.action.dtype, spec.actions.dtype, "same_kind")
    assert all(len(extra) == NUM_ENVS for extra in parts.acted.extras.values())
    # Its state is what it was before the first observation, at every time.
    first, *others = map(looks, parts.states)
    assert all(other == first for other in others)


def test_a_batch_is_as_the_table_says(parts, builder):
    def check(spec, batch):
        expected = ((builder.batch_size, *spec.shape), spec.dtype)
        assert (batch.shape, batch.dtype) == expected

    jax.tree.map(
        check,
        parts.table.signature,
        parts.sample.data,
        is_leaf=lambda leaf: isinstance(leaf, specs.Array),
    )


def test_an_update_moves_the_parameters_and_leaves_what_they_look_like(parts):
    assert parts.outputs.loss.shape == () and np.isfinite(parts.outputs.loss)
    assert looks(parts.before) == looks(parts.after)
    before, after = jax.tree.leaves(parts.before), jax.tree.leaves(parts.after)
    assert not all(map(np.array_equal, before, after))


def test_new_priorities_are_what_replay_takes(parts):
    table, priorities = parts.table, parts.outputs.priorities
    assert (priorities is not None) == hasattr(table.sampler, "exponent")
    if priorities is not None:
        keys = parts.sample.keys
        assert priorities.shape == keys.shape
        num = parts.replay.update_priorities(table.name, keys, np.asarray(priorities))
        assert num == len(keys)


def test_replay_comes_back_from_a_checkpoint(parts, tmp_path):
    save_checkpoint(parts.replay, str(tmp_path))
    again = Replay([parts.table], seed=0, restore=str(tmp_path))
    assert again.infos() == parts.replay.infos()


def test_a_saved_policy_acts_as_it_did(parts, agent, tmp_path):
    builder, spec = agent.builder, parts.spec
    parameters = jax.device_get(parts.after)
    PolicyFile(
        path=str(tmp_path / "policy.zip"),
        builder=builder,
        spec=spec,
        environment_factory=agent.factory,
    ).write(parameters, {})
    saved, policy = load_policy(tmp_path), builder.make_greedy_policy(spec)
    state, random = policy.init(NUM_ENVS), np.random.default_rng(0)
    act = jax.jit(policy.act) if policy.needs_jax else policy.act
    for _ in range(10):
        observation = random.normal(size=(NUM_ENVS, *spec.observations.shape))
        observation = observation.astype(spec.observations.dtype)
        noise = policy.noise(random, NUM_ENVS)
        action, state, _ = act(parameters, state, observation, noise)
        expected = np.asarray(action, spec.actions.dtype)
        np.testing.assert_array_equal(saved.act_batch(observation), expected)


def test_learning_goes_on_from_a_saved_state(parts, tmp_path):
    """All that learning depends on is in the state, and that is a nest of arrays."""

    def learned(state):
        state, outputs = parts.update(
            state, parts.sample.data, parts.sample.probabilities
        )
        return jax.tree.map(data, (state, outputs))

    def data(leaf):
        return jax.random.key_data(leaf) if is_key(leaf) else leaf

    def is_key(leaf):
        return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)

    leaves, tree = jax.tree.flatten(parts.state)
    np.savez(tmp_path / "state.npz", *map(data, leaves))
    with np.load(tmp_path / "state.npz") as file:
        saved = [
            jax.random.wrap_key_data(x) if is_key(leaf) else x
            for leaf, x in zip(leaves, file.values(), strict=True)
        ]
    restored = jax.tree.unflatten(tree, saved)
    jax.tree.map(np.testing.assert_array_equal, learned(restored), learned(parts.state))


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
        builder.make_policy(
            spec, ActorPlace(index=1, num_actors=NUM_ACTORS, num_envs=NUM_ENVS)
        ),
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


@pytest.mark.parametrize("name", [name for name in AGENTS if "on stacks" in name])
def test_it_refuses_images_whose_channels_come_first(agent, builder, spec):
    images = specs.Array((4, 84, 84), np.uint8)
    with pytest.raises(ConfigError, match=f"^{builder.name} needs images as"):
        builder.check(spec._replace(observations=images))

"""Observations that say which actions are allowed: no other one is chosen or valued."""

import gymnasium
import jax
import numpy as np
import pytest
from dm_env import specs
from gymnasium import spaces
from scipy import stats

import acmelike as al
from acmelike.agent import ActorPlace
from acmelike.agents.dqn.losses import td_errors
from acmelike.agents.parts.distributions import Categorical, distribution_of
from acmelike.agents.parts.epsilon_greedy import epsilon_greedy
from acmelike.agents.parts.heads import FORBIDDEN, only_allowed
from acmelike.environments import ActionMaskFromInfo, GymnasiumEnvironment
from acmelike.networks import (
    check_observations,
    make_network,
    mask_of,
    preparation_of,
)
from acmelike.policies import make_portable
from acmelike.types import EnvironmentSpec, MultiDiscreteArray, Transition
from tests.agents.contract import make_dqn, make_ppo
from tests.agents.settings import make_spec

VALUES = np.array([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0], [1.0, 3.0, 2.0]], np.float32)
MASKS = np.array([[1, 0, 1], [1, 1, 1], [0, 0, 0]], np.int8)
OBSERVED = {"x": np.zeros((3, 2), np.float32), "action_mask": MASKS}


def masked_spec(mask_shape=(3,)):
    vector = specs.Array((2,), np.float32)
    mask = specs.BoundedArray(mask_shape, np.int8, 0, 1)
    spec = make_spec(actions=specs.DiscreteArray(3))
    return spec._replace(observations={"x": vector, "action_mask": mask})


def test_what_is_forbidden_is_never_the_best():
    found = np.asarray(only_allowed(VALUES, mask_of(OBSERVED)))
    assert found[0].tolist() == [1, FORBIDDEN, 2]
    # Where nothing is allowed, everything is: the last observation of an episode.
    assert found[1:].tolist() == VALUES[1:].tolist()
    assert np.isfinite(found).all()


def test_without_a_mask_nothing_changes():
    assert only_allowed(VALUES, mask_of(OBSERVED["x"])) is VALUES
    assert mask_of({"x": OBSERVED["x"]}) is None


def test_what_is_explored_is_allowed_and_each_of_it_alike():
    num, random = 6_000, np.random.default_rng(0)
    noise = random.uniform(size=(2, num)).astype(np.float32)
    mask = np.tile(np.array([0, 1, 0, 1, 1], np.int8), (num, 1))
    values, epsilons = np.zeros((num, 5), np.float32), np.ones(num, np.float32)
    action = epsilon_greedy(values, epsilons, noise, mask)
    counts = np.bincount(np.asarray(action), minlength=5)
    assert counts[0] == counts[2] == 0
    np.testing.assert_allclose(
        counts[[1, 3, 4]], num / 3, atol=4 * np.sqrt(num * 2 / 9)
    )


def test_the_last_random_number_below_one_is_the_last_allowed_action():
    noise = np.array([[0.0], [np.nextafter(np.float32(1), 0)]], np.float32)
    mask = np.array([[1, 1, 0]], np.int8)
    action = epsilon_greedy(np.zeros((1, 3)), np.ones(1), noise, mask)
    assert np.asarray(action).tolist() == [1]


def test_a_forbidden_action_has_no_probability_and_no_part_in_the_entropy():
    actions = Categorical(num_actions=3)
    logits = actions.allowed(np.zeros((3, 3), np.float32), MASKS)
    assert float(np.exp(actions.log_prob(logits, np.array([1, 1, 1])))[0]) == 0
    np.testing.assert_allclose(actions.entropy(logits), np.log([2, 3, 3]), rtol=1e-5)
    gradient = jax.grad(lambda x: actions.entropy(actions.allowed(x, MASKS)).sum())
    assert np.isfinite(gradient(np.zeros((3, 3), np.float32))).all()
    noise = np.zeros((3, 3), np.float32)
    noise[:, 1] = 50  # Gumbel's noise is never so large.
    assert np.asarray(actions.sample(logits, noise)[0]).tolist() == [0, 1, 1]


def test_a_target_bootstraps_from_the_best_allowed_action():
    def apply(parameters, observation):
        return only_allowed(VALUES, mask_of(observation))

    batch = Transition(
        o_tm1=OBSERVED,
        a_tm1=np.array([0, 0, 0]),
        r_t=np.zeros(3, np.float32),
        discount_t=np.ones(3, np.float32),
        o_t=OBSERVED,
        version=np.zeros(3, int),
    )
    for double in (False, True):
        errors, _ = td_errors(apply, None, None, batch, double=double)
        assert np.asarray(errors).tolist() == [2 - 1, 3 - 1, 3 - 1]


def test_networks_do_not_see_the_mask():
    spec = masked_spec()
    preparation = preparation_of(spec, "auto")
    assert preparation.shapes == ((2,),)
    # The only array that is left comes without its nest, also to one's own network.
    assert preparation(OBSERVED).shape == (3, 2)
    torso = make_network("auto", spec, (4,))
    parameters = torso.init(jax.random.key(0), OBSERVED)
    layer = parameters["params"]["network"]["Dense_0"]
    assert layer["kernel"].shape == (2, 4)
    other = OBSERVED | {"action_mask": 1 - MASKS}
    found = [torso.apply(parameters, observation) for observation in (OBSERVED, other)]
    np.testing.assert_array_equal(*found)


def test_continuous_actions_have_no_mask():
    spec = masked_spec()._replace(actions=specs.BoundedArray((1,), np.float32, -1, 1))
    assert not spec.has_action_mask
    assert preparation_of(spec, "auto").shapes == ((3,), (2,))


def test_a_mask_of_another_length_is_refused():
    with pytest.raises(al.ConfigError) as caught:
        check_observations(masked_spec((4,)), "auto", agent="dqn")
    assert str(caught.value) == (
        "dqn: 'action_mask' of an observation must have the shape (3,), as there are 3 "
        "actions: (4,)"
    )


def test_observations_of_a_mask_alone_are_refused():
    spec = masked_spec()
    alone = {"action_mask": spec.observations["action_mask"]}
    empty = alone | {"x": specs.Array((0,), np.float32)}
    for observations in (alone, empty):
        spec = spec._replace(observations=observations)
        with pytest.raises(al.ConfigError, match="dqn: observations have nothing but"):
            check_observations(spec, "auto", agent="dqn")


def test_a_policy_keeps_to_the_mask():
    spec = masked_spec()
    agent = make_dqn().make_agent(spec)
    parameters = agent.parameters(agent.init(jax.random.key(0)))
    x = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    mask = np.tile(np.array([0, 0, 1], np.int8), (100, 1))
    noise = np.random.default_rng(1).uniform(size=(2, 100)).astype(np.float32)
    observation = {"x": x, "action_mask": mask}
    output = agent.act(parameters, np.full(100, 0.5, np.float32), observation, noise)
    assert set(np.asarray(output.action).tolist()) == {2}


def test_the_mask_of_an_info_becomes_a_part_of_the_observation():
    environment = GymnasiumEnvironment(
        ActionMaskFromInfo(gymnasium.make("Taxi-v4")), seed=0
    )
    spec = environment.observation_spec()
    assert spec["observation"].num_values == 500
    assert spec["action_mask"].shape == (6,)
    step = environment.reset()
    for _ in range(20):
        mask = step.observation["action_mask"]
        assert 0 < mask.sum() < 6
        step = environment.step(int(np.flatnonzero(mask)[0]))


def test_an_info_without_a_mask_and_other_actions_are_refused():
    with pytest.raises(al.ConfigError, match="has no 'action_mask'"):
        ActionMaskFromInfo(gymnasium.make("CartPole-v1")).reset()
    with pytest.raises(al.ConfigError, match="only discrete actions have a mask"):
        ActionMaskFromInfo(gymnasium.make("Pendulum-v1"))


def test_the_spec_of_an_environment_says_that_it_has_a_mask():
    assert masked_spec().has_action_mask
    assert not make_spec().has_action_mask
    assert isinstance(masked_spec(), EnvironmentSpec)


# --- Several categories at a time -------------------------------------------------

LEVERS = MultiDiscreteArray((2,), np.int64, [0, 5], [2, 6])
# Of three values of the first category, and of two of the second.
LEVER_LOGITS = np.log(np.array([[0.2, 0.5, 0.3, 0.9, 0.1]] * 3, np.float32))
LEVER_MASKS = np.array([[0, 1, 1, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 0, 0]], np.int8)
# Where nothing is allowed in a category, everything is.
LEVER_PROBABILITIES = [
    ([0, 0.625, 0.375], [1, 0]),
    ([0.2, 0.5, 0.3], [0, 1]),
    ([0.2, 0.5, 0.3], [0.9, 0.1]),
]


def levers_spec(mask_shape=(5,)):
    return masked_spec(mask_shape)._replace(actions=LEVERS)


def test_a_mask_of_several_categories_has_the_values_of_all():
    spec = levers_spec()
    assert spec.has_action_mask and spec.mask_size == 5
    check_observations(spec, "auto", agent="ppo")
    assert preparation_of(spec, "auto").shapes == ((2,),)
    with pytest.raises(al.ConfigError) as caught:
        check_observations(levers_spec((3,)), "auto", agent="ppo")
    assert str(caught.value) == (
        "ppo: 'action_mask' of an observation must have the shape (5,), as there are 5 "
        "values of all categories: (3,)"
    )


def test_each_category_has_the_distribution_of_what_its_mask_allows():
    actions = distribution_of(LEVERS, "ppo")
    logits = actions.allowed(LEVER_LOGITS, LEVER_MASKS)
    chosen = np.array([[1, 0], [0, 1], [2, 1]])
    found = np.exp(actions.log_prob(logits, chosen))
    np.testing.assert_allclose(found, [0.625, 0.2, 0.3 * 0.1], rtol=1e-5)
    assert float(np.exp(actions.log_prob(logits, np.zeros((3, 2), int)))[0]) == 0
    entropy = [sum(map(stats.entropy, each)) for each in LEVER_PROBABILITIES]
    np.testing.assert_allclose(actions.entropy(logits), entropy, rtol=1e-4)
    gradient = jax.grad(
        lambda x: actions.entropy(actions.allowed(x, LEVER_MASKS)).sum()
    )
    assert np.isfinite(gradient(LEVER_LOGITS)).all()
    # Gumbel's noise is never so large.
    action, extras = actions.sample(logits, 50 * (1 - LEVER_MASKS).astype(np.float32))
    assert np.asarray(action)[:2].tolist() == [[1, 5], [1, 6]]
    np.testing.assert_allclose(np.exp(extras["log_prob"][:2]), [0.625, 0.5], rtol=1e-5)


def test_without_a_mask_several_categories_stay_as_they_are():
    actions = distribution_of(LEVERS, "ppo")
    assert actions.allowed(LEVER_LOGITS, mask_of({"x": VALUES})) is LEVER_LOGITS


def test_a_policy_of_several_categories_keeps_to_the_mask_in_numpy_and_in_jax():
    spec, builder, num = levers_spec(), make_ppo(), 200
    agent = builder.make_agent(spec)
    parameters = jax.device_get(agent.parameters(agent.init(jax.random.key(0))))
    random = np.random.default_rng(0)
    mask = random.integers(2, size=(num, 5)).astype(np.int8)
    x = random.normal(size=(num, 2)).astype(np.float32)
    observation = {"x": x, "action_mask": mask}
    place = ActorPlace(index=0, num_actors=1, num_envs=num)
    noise = builder.make_policy_inputs(spec, place).noise(random, num)
    by_text = make_portable(builder, spec, parameters).load_text()(parameters)
    action, _, extras = by_text((), observation, noise)
    expected = agent.act(parameters, (), observation, noise)
    np.testing.assert_array_equal(action, expected.action)
    np.testing.assert_allclose(
        extras["log_prob"], expected.extras["log_prob"], rtol=1e-4, atol=1e-5
    )
    for part, chosen in ((mask[:, :3], action[:, 0]), (mask[:, 3:], action[:, 1] - 5)):
        is_free = ~part.any(axis=1)
        assert 0 < is_free.sum() < num
        assert (is_free | (part[np.arange(num), chosen] == 1)).all()


def test_only_agents_of_several_categories_take_their_masks():
    make_ppo().check(levers_spec())
    with pytest.raises(al.ConfigError, match="dqn needs discrete actions, one at a t"):
        make_dqn().check(levers_spec())


class Piano(gymnasium.Env):
    """Has the mask of its actions in its info."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, action_space, mask):
        self.action_space, self.mask = action_space, mask

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {"action_mask": self.mask}


@pytest.mark.parametrize(
    ("space", "mask", "expected"),
    [
        (spaces.MultiDiscrete([3, 2]), ([0, 1, 1], [1, 0]), [0, 1, 1, 1, 0]),
        (
            spaces.MultiDiscrete([3, 2]),
            (np.array([0, 1, 1], np.int8), np.array([True, False])),
            [0, 1, 1, 1, 0],
        ),
        (spaces.MultiDiscrete([3, 2]), np.array([0, 1, 1, 1, 0]), [0, 1, 1, 1, 0]),
        (spaces.MultiBinary(2), ([1, 0], [0, 1]), [1, 0, 0, 1]),
        (spaces.Discrete(3), [1, 0, 1], [1, 0, 1]),
    ],
)
def test_masks_of_an_info_become_one_in_the_order_of_the_categories(
    space, mask, expected
):
    environment = GymnasiumEnvironment(ActionMaskFromInfo(Piano(space, mask)), seed=0)
    assert environment.observation_spec()["action_mask"].shape == (len(expected),)
    seen = environment.reset().observation["action_mask"]
    assert seen.dtype == np.int8 and seen.tolist() == expected

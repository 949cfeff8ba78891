"""Observations that say which actions are allowed: no other one is chosen or valued."""

import gymnasium
import jax
import numpy as np
import pytest
from dm_env import specs

import acmelike as al
from acmelike.agents.dqn.losses import td_errors
from acmelike.agents.parts.distributions import Categorical
from acmelike.agents.parts.epsilon_greedy import epsilon_greedy
from acmelike.agents.parts.heads import FORBIDDEN, mask_of, only_allowed
from acmelike.environments import ActionMaskFromInfo, GymnasiumEnvironment
from acmelike.networks import check_observations, make_network, preparation_of
from acmelike.types import EnvironmentSpec, MultiDiscreteArray, Transition
from tests.agents.contract import make_dqn
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
    found = np.asarray(only_allowed(VALUES, OBSERVED))
    assert found[0].tolist() == [1, FORBIDDEN, 2]
    # Where nothing is allowed, everything is: the last observation of an episode.
    assert found[1:].tolist() == VALUES[1:].tolist()
    assert np.isfinite(found).all()


def test_without_a_mask_nothing_changes():
    assert only_allowed(VALUES, OBSERVED["x"]) is VALUES
    assert mask_of({"x": OBSERVED["x"]}) is None


def test_what_is_explored_is_allowed_and_each_of_it_alike():
    num, random = 6_000, np.random.default_rng(0)
    noise = random.uniform(size=(2, num)).astype(np.float32)
    mask = np.tile(np.array([0, 1, 0, 1, 1], np.int8), (num, 1))
    values, epsilons = np.zeros((num, 5), np.float32), np.ones(num, np.float32)
    action = epsilon_greedy(values, epsilons, noise, {"action_mask": mask})
    counts = np.bincount(np.asarray(action), minlength=5)
    assert counts[0] == counts[2] == 0
    np.testing.assert_allclose(
        counts[[1, 3, 4]], num / 3, atol=4 * np.sqrt(num * 2 / 9)
    )


def test_the_last_random_number_below_one_is_the_last_allowed_action():
    noise = np.array([[0.0], [np.nextafter(np.float32(1), 0)]], np.float32)
    observation = {"action_mask": np.array([[1, 1, 0]], np.int8)}
    action = epsilon_greedy(np.zeros((1, 3)), np.ones(1), noise, observation)
    assert np.asarray(action).tolist() == [1]


def test_a_forbidden_action_has_no_probability_and_no_part_in_the_entropy():
    actions = Categorical(num_actions=3)
    logits = actions.allowed(np.zeros((3, 3), np.float32), OBSERVED)
    assert float(np.exp(actions.log_prob(logits, np.array([1, 1, 1])))[0]) == 0
    np.testing.assert_allclose(actions.entropy(logits), np.log([2, 3, 3]), rtol=1e-5)
    gradient = jax.grad(lambda x: actions.entropy(actions.allowed(x, OBSERVED)).sum())
    assert np.isfinite(gradient(np.zeros((3, 3), np.float32))).all()
    noise = np.zeros((3, 3), np.float32)
    noise[:, 1] = 50  # Gumbel's noise is never so large.
    assert np.asarray(actions.sample(logits, noise)[0]).tolist() == [0, 1, 1]


def test_a_target_bootstraps_from_the_best_allowed_action():
    def apply(parameters, observation):
        return only_allowed(VALUES, observation)

    batch = Transition(
        o_tm1=OBSERVED,
        a_tm1=np.array([0, 0, 0]),
        r_t=np.zeros(3, np.float32),
        discount_t=np.ones(3, np.float32),
        o_t=OBSERVED,
        version=np.zeros(3, int),
    )
    for double in (False, True):
        errors = td_errors(apply, None, None, batch, double=double)
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
    spec = spec._replace(observations={"action_mask": spec.observations["action_mask"]})
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


def test_a_mask_for_several_actions_is_refused():
    actions = MultiDiscreteArray((2,), np.int64, 0, 2)
    spec = masked_spec((3,))._replace(actions=actions)
    with pytest.raises(al.ConfigError, match=r"ppo: .* is for one discrete action; th"):
        check_observations(spec, "auto", agent="ppo")

"""Acting with a memory: what is remembered, what is told, who explores."""

import jax
import numpy as np

from acmelike.actors.policy_runner import Inference
from acmelike.agents.r2d2.networks import Memory, RecurrentQNetwork
from acmelike.agents.r2d2.policy import RecurrentEpsilonGreedy
from acmelike.environments import CatchFactory, make_environment_spec
from acmelike.types import VectorStep

SPEC = make_environment_spec(CatchFactory(rows=4, columns=3)(0))
NETWORK = RecurrentQNetwork(num_actions=3, torso_sizes=(5,), num_units=4, dueling=True)
PARAMETERS = jax.device_get(NETWORK.init(jax.random.key(0), (4, 3)))
OBSERVATIONS = np.random.default_rng(0).normal(size=(9, 2, 4, 3)).astype(np.float32)


def make_policy(epsilons=(0.0,), tells_memory=True):
    return RecurrentEpsilonGreedy(
        network=NETWORK, epsilons=epsilons, tells_memory=tells_memory
    )


def test_it_remembers_what_it_did_and_tells_what_it_knew_before():
    policy = make_policy()
    state = policy.init(2)
    noise = policy.noise(np.random.default_rng(0), 2)
    for observation in OBSERVATIONS[:3]:
        acted = policy.act(PARAMETERS, state, observation, noise)
        for name, value in state.memory._asdict().items():
            np.testing.assert_array_equal(acted.extras[name], value)
        values, after = NETWORK.step(PARAMETERS, state.memory, observation)
        np.testing.assert_array_equal(acted.action, values.argmax(axis=-1))
        expected = Memory(*after, acted.action)
        for x, y in zip(acted.state.memory, expected, strict=True):
            np.testing.assert_array_equal(x, y)
        state = acted.state


def test_who_is_judged_tells_nothing():
    policy = make_policy(tells_memory=False)
    noise = policy.noise(np.random.default_rng(0), 2)
    assert not policy.act(PARAMETERS, policy.init(2), OBSERVATIONS[0], noise).extras


def test_an_environment_keeps_its_epsilon_over_episodes_and_forgets_the_rest():
    inference = Inference(make_policy((1.0, 0.0)), SPEC, num_envs=2, seed=0)
    inference.set_parameters(PARAMETERS)
    actions = []
    for number, observation in enumerate(OBSERVATIONS):
        step_type = np.full(2, 1 if number % 3 else 0, np.int8)  # MID, or FIRST
        zeros = np.zeros(2, np.float32)
        action, extras = inference.act(VectorStep(step_type, zeros, zeros, observation))
        actions.append(action)
        is_empty = not extras["hidden"].any() and (extras["action"] == -1).all()
        assert is_empty == (number % 3 == 0)
    actions = np.array(actions)
    greedy = Inference(make_policy(), SPEC, num_envs=2, seed=1)
    greedy.set_parameters(PARAMETERS)
    best = []
    for number, observation in enumerate(OBSERVATIONS):
        step_type = np.full(2, 1 if number % 3 else 0, np.int8)
        step = VectorStep(step_type, zeros, zeros, observation)
        best.append(greedy.act(step)[0])
    np.testing.assert_array_equal(actions[:, 1], np.array(best)[:, 1])
    assert (actions[:, 0] != np.array(best)[:, 0]).any()


def test_policies_that_differ_in_epsilons_are_equal():
    assert make_policy((0.1,)) == make_policy((0.3,))
    assert make_policy() != make_policy(tells_memory=False)

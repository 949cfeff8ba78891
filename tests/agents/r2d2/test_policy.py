"""Acting with a memory: what is remembered, what is told, who explores."""

from functools import partial

import jax
import numpy as np

from acmelike.actors.inference import Inference
from acmelike.agent import PolicyInputs
from acmelike.agents.parts.epsilon_greedy import EPSILON_NOISE
from acmelike.agents.r2d2 import R2D2Builder, R2D2Config
from acmelike.agents.r2d2.agent import initial_state
from acmelike.environments import CatchFactory, make_environment_spec
from acmelike.policies import make_portable
from acmelike.types import VectorStep
from tests.agents.compiled import first_parameters

SPEC = make_environment_spec(CatchFactory(rows=4, columns=3)(0))
BUILDER = R2D2Builder(config=R2D2Config(hidden_sizes=(5,), lstm_size=4))
AGENT = BUILDER.make_agent(SPEC)
PARAMETERS = first_parameters(AGENT)
OBSERVATIONS = np.random.default_rng(0).normal(size=(9, 2, 4, 3)).astype(np.float32)


def make_inputs(epsilons=(0.0,)):
    init = partial(initial_state, lstm_size=4, epsilons=epsilons)
    return PolicyInputs(init=init, noise=EPSILON_NOISE)


def make_inference(epsilons=(0.0,), seed=0):
    policy = make_portable(BUILDER, SPEC, PARAMETERS)
    inference = Inference(policy, make_inputs(epsilons), SPEC, num_envs=2, seed=seed)
    inference.set_parameters(PARAMETERS)
    return inference


def test_it_remembers_what_it_did_and_tells_what_it_knew_before():
    act, apply = jax.jit(AGENT.act), jax.jit(AGENT.network.apply)
    inputs = make_inputs()
    state = inputs.init(2)
    noise = inputs.noise(np.random.default_rng(0), 2)
    for observation in OBSERVATIONS[:3]:
        output = act(PARAMETERS, state, observation, noise)
        for name, value in state.memory._asdict().items():
            np.testing.assert_array_equal(output.extras[name], value)
        memory = state.memory
        values, after = apply(PARAMETERS, memory.lstm, observation, memory.action)
        np.testing.assert_array_equal(output.action, values.argmax(axis=-1))
        expected = (*after, output.action)
        for x, y in zip(output.state.memory, expected, strict=True):
            np.testing.assert_array_equal(x, y)
        state = output.state


def test_an_environment_keeps_its_epsilon_over_episodes_and_forgets_the_rest():
    inference = make_inference((1.0, 0.0))
    actions, zeros = [], np.zeros(2, np.float32)
    for number, observation in enumerate(OBSERVATIONS):
        step_type = np.full(2, 1 if number % 3 else 0, np.int8)  # MID, or FIRST
        action, extras = inference.act(VectorStep(step_type, zeros, zeros, observation))
        actions.append(action)
        is_empty = not extras["hidden"].any() and (extras["action"] == -1).all()
        assert is_empty == (number % 3 == 0)
    actions = np.array(actions)
    greedy, best = make_inference(seed=1), []
    for number, observation in enumerate(OBSERVATIONS):
        step_type = np.full(2, 1 if number % 3 else 0, np.int8)
        step = VectorStep(step_type, zeros, zeros, observation)
        best.append(greedy.act(step)[0])
    np.testing.assert_array_equal(actions[:, 1], np.array(best)[:, 1])
    assert (actions[:, 0] != np.array(best)[:, 0]).any()

"""Continuous actions outside of their bounds: clipped, counted, and learned from."""

import jax
import numpy as np
import pytest

from acmelike.actors.inference import Inference
from acmelike.actors.recorder import Recorder
from acmelike.agent import ActorPlace
from acmelike.environments import VectorEnvironment
from acmelike.policies import make_portable
from acmelike.replay import Replay
from tests.agents.compiled import compiled_update, first_state
from tests.agents.contract import Point, make_impala

# Of the points: an episode, which is two unrolls.
NUM_ENVS, NUM_STEPS = 3, 8


def test_what_environments_clip_is_counted_and_keeps_its_probability():
    builder = make_impala(batch_size=NUM_ENVS, unroll_length=NUM_STEPS // 2)
    environment = VectorEnvironment(Point, num_envs=NUM_ENVS, seed=0)
    spec = environment.spec
    agent = builder.make_agent(spec)
    # Means and deviations that are larger than the first ones.
    state = first_state(agent)
    state = state._replace(parameters=jax.tree.map(lambda x: x + 0.5, state.parameters))
    parameters = jax.device_get(agent.parameters(state))
    place = ActorPlace(index=0, num_actors=1, num_envs=NUM_ENVS)
    inference = Inference(
        make_portable(builder, spec, parameters),
        builder.make_policy_inputs(spec, place),
        spec,
        num_envs=NUM_ENVS,
        seed=0,
    )
    inference.set_parameters(parameters)
    table = builder.make_table(spec)
    replay = Replay([table], seed=0)
    recorder = Recorder(
        builder.make_adder(NUM_ENVS),
        table,
        actions=spec.actions,
        num_envs=NUM_ENVS,
        replay=replay,
    )
    step, num_outside = environment.reset(), 0
    recorder.start(step)
    for _ in range(NUM_STEPS):
        action, extras = inference.act(step)
        num_outside += np.count_nonzero(np.abs(action) > 1)
        step = environment.step(action)
        recorder.add(action, 0, step, extras)
    assert num_outside > 0
    found = replay.episodes().clipped_fraction
    assert found == pytest.approx(num_outside / (NUM_ENVS * NUM_STEPS))

    data = replay.sample(table.name, NUM_ENVS).data
    np.testing.assert_allclose(data.a_t, data.extras["sample"], rtol=1e-5, atol=1e-6)
    # The learner has the policy that acted, so its probabilities are those.
    _, outputs = compiled_update(agent)(state, data, None)
    assert outputs.metrics["kl"] == pytest.approx(0, abs=1e-4)

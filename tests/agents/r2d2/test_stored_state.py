"""A memory that is stored, and the learner's from there on, are the actor's."""

import jax
import numpy as np
import pytest

from acmelike.agents.parts.recurrent import unroll
from acmelike.agents.r2d2 import R2D2Builder, R2D2Config
from acmelike.agents.r2d2.agent import NO_ACTION, Memory
from tests.agents.settings import configure


@pytest.fixture
def collected(collect):
    config = configure(
        R2D2Config,
        hidden_sizes=(8,),
        lstm_size=6,
        sequence_length=6,
        overlap=4,
        burn_in=2,
        min_size=1,
        samples_per_insert=1.0,
        error_buffer=100,  # nobody samples while it fills
        epsilon=0.5,
    )
    return collect(R2D2Builder(config=config), num_steps=60)


def test_a_sequence_has_the_memory_before_its_first_step(collected):
    sequences = collected.sequences
    starts = sequences.version[:, 0]
    assert len(set(starts.tolist())) > 5
    for name, stored in sequences.extras.items():
        said = np.concatenate([collected.extras[start][name] for start in starts])
        np.testing.assert_array_equal(stored, said)
    begins = sequences.is_first[:, 0]
    assert not sequences.extras["hidden"][begins].any()
    assert sequences.extras["hidden"][~begins].any(axis=1).all()


def test_the_learner_remembers_what_the_actor_did_if_their_parameters_are_equal(
    collected,
):
    sequences, network = collected.sequences, collected.core.network
    steps = [
        np.swapaxes(x, 0, 1) for x in (sequences.o_t, sequences.a_t, sequences.is_first)
    ]
    o_t, a_t, is_first = steps
    stored = Memory(**sequences.extras)
    last_action = np.concatenate([stored.action[None], a_t[:-1]])
    last_action = np.where(is_first, NO_ACTION, last_action)
    # So far into the sequence, the memory is that before this step.
    for time in range(1, 6):
        _, state = jax.jit(unroll, static_argnums=0)(
            network,
            collected.state.parameters,
            stored.lstm,
            *(x[:time] for x in (o_t, is_first, last_action)),
        )
        memory = Memory(*state, a_t[time - 1])
        numbers = sequences.version[:, time]
        for name, found in memory._asdict().items():
            said = np.concatenate([collected.extras[n][name] for n in numbers])
            np.testing.assert_allclose(found, said, rtol=1e-4, atol=1e-5)

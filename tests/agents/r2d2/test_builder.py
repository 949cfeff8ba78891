"""How R2D2's settings reach its parts."""

import numpy as np
import pytest

from acmelike.agent import ActorPlace
from acmelike.agents.r2d2 import R2D2Builder, R2D2Config
from acmelike.environments import CatchFactory, make_environment_spec
from acmelike.errors import ConfigError
from acmelike.replay import Prioritized, SamplesPerInsert
from tests.agents.settings import configure

SPEC = make_environment_spec(CatchFactory()(0))


def make_builder(**settings):
    return R2D2Builder(config=configure(R2D2Config, **settings))


def test_a_batch_has_a_minibatch_for_each_update():
    builder = make_builder(batch_size=8, num_updates_per_call=3)
    assert (builder.batch_size, builder.num_updates_per_call) == (24, 3)


def test_the_table_is_as_the_settings_say():
    table = make_builder(
        sequence_length=9,
        overlap=3,
        lstm_size=5,
        size=50,
        min_size=20,
        samples_per_insert=4.0,
        priority_exponent=0.7,
        batch_size=8,
        num_updates_per_call=2,
    ).make_table(SPEC)
    assert table.max_size == 50
    assert table.sampler == Prioritized(exponent=0.7)
    assert table.rate_limiter == SamplesPerInsert(
        ratio=4.0,
        min_size=20,
        error_buffer=2 * 8 * 2,  # two calls' worth
    )
    assert table.signature.o_t.length == 9
    extras = table.signature.extras
    assert {name: (rows.row.shape, rows.length) for name, rows in extras.items()} == {
        "hidden": ((5,), None),
        "cell": ((5,), None),
        "action": ((), None),
    }


def test_a_window_of_ones_own():
    table = make_builder(error_buffer=999).make_table(SPEC)
    assert table.rate_limiter.error_buffer == 999


def test_sequences_begin_where_they_have_so_many_steps_in_common(collect):
    # Catch's episodes have nine steps and a last observation.
    builder = make_builder(
        sequence_length=6, overlap=4, burn_in=1, lstm_size=4, min_size=1
    )
    sequences = collect(builder, num_steps=19).sequences
    starts = np.unique(sequences.version[:, 0])
    # The steps' versions are their numbers; 10 begins the second episode.
    assert starts.tolist() == [0, 2, 4, 10, 12]
    assert (np.cumsum(sequences.is_first, axis=1) <= 1).all()


def test_two_actors_explore_as_one_with_all_their_environments():
    builder = make_builder(epsilon=0.4, epsilon_alpha=7.0)

    def epsilons(index, num_actors, num_envs):
        place = ActorPlace(index=index, num_actors=num_actors, num_envs=num_envs)
        return tuple(
            builder.make_policy_inputs(SPEC, place).init(num_envs).epsilon.tolist()
        )

    both = epsilons(0, 2, 4) + epsilons(1, 2, 4)
    assert both == epsilons(0, 1, 8)
    np.testing.assert_allclose([both[0], both[-1]], [0.4, 0.4**8], rtol=1e-6)


def test_the_agent_is_judged_without_exploration():
    greedy = make_builder(epsilon=0.4).make_greedy_inputs(SPEC)
    assert greedy.init(2).epsilon.tolist() == [0, 0]


def test_a_table_too_small_for_the_first_update_is_refused():
    with pytest.raises(
        ConfigError, match="max_size must be at least min_size = 20: 10"
    ):
        make_builder(size=10, min_size=20).make_table(SPEC)


def test_the_memory_of_a_full_table_counts_the_steps_that_are_new_in_each_sequence():
    steps = make_builder(sequence_length=20, overlap=19, size=1_000).make_table(SPEC)
    tens = make_builder(sequence_length=20, overlap=10, size=1_000).make_table(SPEC)
    observation = np.zeros(SPEC.observations.shape, SPEC.observations.dtype)
    assert tens.full_bytes - steps.full_bytes >= 1_000 * 9 * observation.nbytes

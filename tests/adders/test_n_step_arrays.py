"""n-step transitions: their arrays, first priorities, and what is refused."""

import pickle

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acmelike.adders import NStepAdder
from acmelike.environments import VectorEnvironment
from acmelike.errors import ConfigError
from acmelike.types import Transition, VectorStep
from tests.adders.steps import FIRST, LAST, MID, first, rows, vector_step

# --- Arrays ----------------------------------------------------------------------


def test_shapes_and_dtypes():
    adder = NStepAdder(num_envs=2, n=2, discount=0.9)

    def step(kind):
        return VectorStep(
            np.full(2, kind, np.int8),
            np.ones(2, np.float32),
            np.ones(2, np.float32),
            np.zeros((2, 4, 3), np.uint8),
        )

    adder.start(step(FIRST))
    actions = np.zeros((2, 6), np.float32)
    assert adder.add(actions, 3, step(MID)).items is None
    transition = adder.add(actions, 3, step(LAST)).items
    assert transition.extras == {}
    assert [(array.shape, array.dtype) for array in transition[:6]] == [
        ((4, 4, 3), np.uint8),
        ((4, 6), np.float32),
        ((4,), np.float32),
        ((4,), np.float32),
        ((4, 4, 3), np.uint8),
        ((4,), np.int64),
    ]


def test_what_was_emitted_is_not_touched_again():
    adder = NStepAdder(num_envs=1, n=2, discount=0.5)
    adder.start(first(0))
    actions = np.zeros(1, np.int64)
    emitted, before = [], []
    for i in range(8):
        actions[:] = i
        transition = adder.add(actions, i, vector_step([MID], [i], [1], [i + 1])).items
        if transition is not None:
            emitted.append(transition)
            before.append(Transition(*(array.copy() for array in transition[:6])))
    assert [int(transition.a_tm1[0]) for transition in emitted] == list(range(7))
    for now, then in zip(emitted, before, strict=True):
        for array, copy in zip(now[:6], then[:6], strict=True):
            np.testing.assert_array_equal(array, copy)


class Reusing(dm_env.Environment):
    """Counts its steps in the one array that it ever returns."""

    def __init__(self):
        self.buffer = np.zeros(1, np.float32)

    def reset(self):
        self.buffer[:] = 0
        return dm_env.restart(self.buffer)

    def step(self, action):
        self.buffer += 1
        if self.buffer[0] == 5:
            return dm_env.truncation(np.float32(1), self.buffer)
        return dm_env.transition(np.float32(1), self.buffer)

    def observation_spec(self):
        return specs.Array((1,), np.float32)

    def action_spec(self):
        return specs.DiscreteArray(2, np.int64)


def test_an_environment_that_reuses_its_buffer_does_not_corrupt_transitions():
    vector = VectorEnvironment(lambda seed: Reusing(), num_envs=2, seed=0)
    adder = NStepAdder(num_envs=2, n=3, discount=1.0)
    adder.start(vector.reset())
    emitted = [adder.add([0, 1], 0, vector.step([0, 1])).items for _ in range(12)]
    spans = [
        (row[0], row[4], row[2]) for transition in emitted for row in rows(transition)
    ]
    of_one_episode = [(0, 3, 3), (1, 4, 3), (2, 5, 3), (3, 5, 2), (4, 5, 1)]
    assert sorted(spans) == sorted(of_one_episode * 4)


def test_a_pickled_adder_goes_on_where_it_was():
    adder = NStepAdder(num_envs=1, n=3, discount=0.5)
    adder.start(first(10))
    adder.add([0], 0, vector_step([MID], [1], [1], [11]))
    copy = pickle.loads(pickle.dumps(adder))
    end = vector_step([LAST], [2], [0], [12])
    assert rows(adder.add([1], 1, end).items) == rows(copy.add([1], 1, end).items) != []


# --- Mistakes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_envs": 0}, "num_envs must be at least 1, not 0"),
        ({"n": 0}, "n must be at least 1, not 0"),
        ({"discount": 1.5}, "discount must be from 0 to 1, not 1.5"),
        ({"discount": -0.1}, "discount must be from 0 to 1, not -0.1"),
        ({"discount": float("nan")}, "discount must be from 0 to 1, not nan"),
    ],
)
def test_settings_without_meaning_are_refused(change, message):
    with pytest.raises(ConfigError) as caught:
        NStepAdder(**{"num_envs": 1, "n": 1, "discount": 0.9, **change})
    assert str(caught.value) == message


def test_add_before_start_is_refused():
    adder = NStepAdder(num_envs=1, n=1, discount=0.9)
    with pytest.raises(RuntimeError, match="add was called before start"):
        adder.add([0], 0, first(1))


def test_steps_and_actions_of_another_number_of_environments_are_refused():
    adder = NStepAdder(num_envs=2, n=1, discount=0.9)
    with pytest.raises(ValueError, match="a step of 2 environments"):
        adder.start(first(1))
    adder.start(first(1, 2))
    with pytest.raises(ValueError, match="actions of 2 environments"):
        adder.add([0], 0, first(1, 2))
    with pytest.raises(ValueError, match="a step of 2 environments"):
        adder.add([0, 0], 0, first(1))


# --- First priorities ------------------------------------------------------------


def distance(transitions, extras_tm1, extras_t):
    """Apart by hand: what was said at `o_t`, less ten times what was at `o_tm1`."""
    return extras_t["said"] - 10 * extras_tm1["said"]


def test_first_priorities_are_made_of_what_the_policy_said_at_both_ends():
    adder = NStepAdder(num_envs=2, n=2, discount=0.5, initial_priority=distance)
    adder.start(first(10, 20))
    kinds = [[MID, MID], [MID, LAST], [MID, FIRST], [MID, MID], [MID, MID]]
    emitted = []
    for t, kind in enumerate(kinds):
        step = vector_step(kind, [0, 0], [1, 1], [11 + t, 21 + t])
        said = np.array([t, 100 + t])  # at the observations 10 + t and 20 + t
        added = adder.add([0, 0], 0, step, {"said": said})
        if added.items is None:
            assert added.priorities is None
            emitted.append([])
            continue
        ends = zip(added.items.o_tm1, added.items.o_t, strict=True)
        emitted.append(
            [
                (float(o_tm1[0]), float(o_t[0]), int(priority))
                for (o_tm1, o_t), priority in zip(ends, added.priorities, strict=True)
            ]
        )
    assert emitted == [
        [],
        [],
        # Completed by the step before, and by the end of an episode: two and one step.
        [(10, 12, 2 - 0), (20, 22, 102 - 1000), (21, 22, 102 - 1010)],
        [(11, 13, 3 - 10)],
        [(12, 14, 4 - 20)],
    ]


@pytest.mark.parametrize("initial_priority", [None, distance])
def test_transitions_have_what_the_policy_said_at_their_beginning(initial_priority):
    adder = NStepAdder(
        num_envs=1,
        n=2,
        discount=0.5,
        initial_priority=initial_priority,
        extras=["log_prob"],
    )
    adder.start(first(10))
    found = []
    for t, kind in enumerate([MID, MID, LAST, FIRST, MID, MID, MID]):
        extras = {"log_prob": np.array([t]), "said": np.zeros(1)}
        added = adder.add([0], 0, vector_step([kind], [0], [1], [11 + t]), extras)
        if added.items is not None:
            assert list(added.items.extras) == ["log_prob"]
            starts = added.items.o_tm1[:, 0].astype(int).tolist()
            found += zip(starts, added.items.extras["log_prob"].tolist(), strict=True)
    wanted = [(10, 0), (11, 1), (12, 2), (14, 4), (15, 5)]
    # With priorities each comes one step later.
    assert found == (wanted[:-1] if initial_priority else wanted)


def test_a_start_forgets_what_waits_for_its_priority():
    adder = NStepAdder(num_envs=1, n=1, discount=0.5, initial_priority=distance)
    for _ in range(2):
        adder.start(first(10))
        step, extras = vector_step([MID], [0], [1], [11]), {"said": np.zeros(1)}
        assert adder.add([0], 0, step, extras).items is None

"""n-step transitions: by hand, against a slow reference, and from reused buffers."""

import pickle

import dm_env
import numpy as np
import pytest
from dm_env import specs
from hypothesis import given, settings
from hypothesis import strategies as st

from acmelike.adders import NStepAdder
from acmelike.environments import VectorEnvironment
from acmelike.errors import ConfigError
from acmelike.types import Transition, VectorStep

FIRST, MID, LAST = 0, 1, 2


def vector_step(kinds, rewards, discounts, observations):
    """A step of K environments from lists; an observation is one number in `[K, 1]`."""
    return VectorStep(
        step_type=np.array(kinds, np.int8),
        reward=np.array(rewards, np.float32),
        discount=np.array(discounts, np.float32),
        observation=np.array(observations, np.float32)[:, None],
    )


def first(*observations):
    zeros = [0] * len(observations)
    return vector_step(zeros, zeros, [1] * len(observations), observations)


def rows(transition):
    """`(o_tm1, a_tm1, r_t, discount_t, o_t, version)` of each; exact in binary."""
    if transition is None:
        return []
    return [
        (float(o_tm1[0]), int(a_tm1), float(r), float(discount), float(o_t[0]), int(v))
        for o_tm1, a_tm1, r, discount, o_t, v in zip(*transition, strict=True)
    ]


def single(n, kinds_rewards_discounts, discount=0.5):
    """Everything that one environment emits, step by step.

    Observations count 10, 11, ...; the action that leads to 11 is 0, its version 100.
    """
    adder = NStepAdder(num_envs=1, n=n, discount=discount)
    adder.start(first(10))
    emitted = []
    for i, (kind, reward, d) in enumerate(kinds_rewards_discounts):
        step = vector_step([kind], [reward], [d], [11 + i])
        emitted.append(rows(adder.add([i], 100 + i, step).items))
    return emitted


# --- By hand ---------------------------------------------------------------------


def test_one_step_transitions():
    assert single(1, [(MID, 1, 1), (MID, 2, 1), (LAST, 4, 0)]) == [
        [(10, 0, 1, 0.5, 11, 100)],
        [(11, 1, 2, 0.5, 12, 101)],
        [(12, 2, 4, 0.0, 13, 102)],
    ]


def test_three_steps_and_termination():
    steps = [(MID, 1, 1), (MID, 2, 1), (MID, 4, 1), (MID, 8, 1), (LAST, 16, 0)]
    assert single(3, steps) == [
        [],
        [],
        [(10, 0, 3.0, 0.125, 13, 100)],  # 1 + 2/2 + 4/4
        [(11, 1, 6.0, 0.125, 14, 101)],  # 2 + 4/2 + 8/4
        [
            (12, 2, 12.0, 0.0, 15, 102),  # 4 + 8/2 + 16/4
            (13, 3, 16.0, 0.0, 15, 103),  # 8 + 16/2
            (14, 4, 16.0, 0.0, 15, 104),  # 16
        ],
    ]


def test_three_steps_and_truncation():
    steps = [(MID, 1, 1), (MID, 2, 1), (MID, 4, 1), (LAST, 8, 1)]
    assert single(3, steps) == [
        [],
        [],
        [(10, 0, 3.0, 0.125, 13, 100)],
        [
            (11, 1, 6.0, 0.125, 14, 101),
            (12, 2, 8.0, 0.25, 14, 102),
            (13, 3, 8.0, 0.5, 14, 103),
        ],
    ]


def test_an_environment_with_discounts_of_its_own():
    steps = [(MID, 1, 0.5), (MID, 2, 1), (LAST, 4, 0.5)]
    assert single(3, steps) == [
        [],
        [],
        [
            (10, 0, 2.0, 0.03125, 13, 100),  # 1 + 2 * 1/4 + 4 * 1/4 * 1/2
            (11, 1, 4.0, 0.125, 13, 101),  # 2 + 4 * 1/2
            (12, 2, 4.0, 0.25, 13, 102),
        ],
    ]


@pytest.mark.parametrize(
    ("d", "discounts"), [(0, [0.0, 0.0, 0.0]), (1, [0.125, 0.25, 0.5])]
)
def test_five_steps_of_an_episode_of_three(d, discounts):
    assert single(5, [(MID, 1, 1), (MID, 2, 1), (LAST, 4, d)]) == [
        [],
        [],
        [
            (10, 0, 3.0, discounts[0], 13, 100),
            (11, 1, 4.0, discounts[1], 13, 101),
            (12, 2, 4.0, discounts[2], 13, 102),
        ],
    ]


def test_five_steps_of_an_episode_of_six():
    steps = [(MID, 1, 1)] * 5 + [(LAST, 1, 0)]
    assert single(5, steps, discount=1.0) == [
        [],
        [],
        [],
        [],
        [(10, 0, 5, 1, 15, 100)],
        [
            (11, 1, 5, 0, 16, 101),
            (12, 2, 4, 0, 16, 102),
            (13, 3, 3, 0, 16, 103),
            (14, 4, 2, 0, 16, 104),
            (15, 5, 1, 0, 16, 105),
        ],
    ]


def test_no_transition_spans_two_episodes():
    steps = [(LAST, 1, 0), (FIRST, 0, 1), (MID, 2, 1), (LAST, 4, 1)]
    assert single(3, steps) == [
        [(10, 0, 1, 0, 11, 100)],
        [],
        [],
        [(12, 2, 4, 0.25, 14, 102), (13, 3, 4, 0.5, 14, 103)],
    ]


def test_a_first_step_in_the_middle_drops_what_was_begun():
    steps = [(MID, 1, 1), (MID, 2, 1), (FIRST, 0, 1), (MID, 4, 1), (LAST, 8, 0)]
    assert single(3, steps) == [
        [],
        [],
        [],
        [],
        [(13, 3, 8, 0, 15, 103), (14, 4, 8, 0, 15, 104)],
    ]


def test_several_environments_that_end_at_different_times():
    adder = NStepAdder(num_envs=3, n=3, discount=0.5)
    adder.start(first(10, 20, 30))
    steps = [
        vector_step([MID, MID, LAST], [1, 2, 4], [1, 1, 0], [11, 21, 31]),
        vector_step([MID, LAST, FIRST], [1, 2, 0], [1, 1, 1], [12, 22, 40]),
        vector_step([LAST, FIRST, MID], [4, 0, 8], [0, 1, 1], [13, 50, 41]),
        vector_step([FIRST, MID, MID], [0, 1, 8], [1, 1, 1], [60, 51, 42]),
        vector_step([MID, MID, MID], [1, 1, 8], [1, 1, 1], [61, 52, 43]),
        vector_step([LAST, MID, LAST], [1, 4, 16], [1, 1, 0], [62, 53, 44]),
    ]
    emitted = [
        rows(adder.add([10 * i, 10 * i + 1, 10 * i + 2], i, step).items)
        for i, step in enumerate(steps)
    ]
    assert emitted == [
        [(30, 2, 4.0, 0.0, 31, 0)],
        [(20, 1, 3.0, 0.25, 22, 0), (21, 11, 2.0, 0.5, 22, 1)],
        [
            (10, 0, 2.5, 0.0, 13, 0),
            (11, 10, 3.0, 0.0, 13, 1),
            (12, 20, 4.0, 0.0, 13, 2),
        ],
        [],
        [(40, 22, 14.0, 0.125, 43, 2)],
        [
            (60, 40, 1.5, 0.25, 62, 4),
            (61, 50, 1.0, 0.5, 62, 5),
            (50, 31, 2.5, 0.125, 53, 3),
            (41, 32, 16.0, 0.0, 44, 3),
            (42, 42, 16.0, 0.0, 44, 4),
            (43, 52, 16.0, 0.0, 44, 5),
        ],
    ]


def test_start_forgets_the_window():
    adder = NStepAdder(num_envs=1, n=2, discount=0.5)
    adder.start(first(10))
    adder.add([0], 0, vector_step([MID], [1], [1], [11]))
    adder.start(first(20))
    assert adder.add([1], 1, vector_step([MID], [2], [1], [21])).items is None
    assert rows(adder.add([2], 2, vector_step([MID], [4], [1], [22])).items) == [
        (20, 1, 4, 0.25, 22, 1)
    ]


# --- Against one environment at a time, as the definition says ---------------------


def reference(n, discount, starts, script):
    """What `add` should return at each step, from plain lists of whole episodes."""
    num_envs = len(starts)
    episodes = [[] for _ in range(num_envs)]
    latest = list(starts)
    emitted = []
    for i, (kinds, rewards, discounts, observations) in enumerate(script):
        out = []
        for k in range(num_envs):
            if kinds[k] == FIRST:
                episodes[k] = []
            else:
                episodes[k].append((latest[k], 10 * i + k, rewards[k], discounts[k], i))
                lengths = [n] if kinds[k] == MID else range(n, 0, -1)
                for m in lengths:
                    if m > len(episodes[k]):
                        continue
                    window = episodes[k][-m:]
                    r, product = 0.0, 1.0
                    for _, _, reward, d, _ in window:
                        r += product * reward
                        product *= discount * d
                    o_tm1, a_tm1, _, _, version = window[0]
                    out.append((o_tm1, a_tm1, r, product, observations[k], version))
                if kinds[k] == LAST:
                    episodes[k] = []
            latest[k] = observations[k]
        emitted.append(out)
    return emitted


def random_script(random, num_envs, num_steps):
    """Episodes of random lengths that end in both ways."""
    was_last = [False] * num_envs
    script = []
    for i in range(num_steps):
        kinds = [
            FIRST if was_last[k] else random.choice([MID, LAST], p=[0.75, 0.25])
            for k in range(num_envs)
        ]
        was_last = [kind == LAST for kind in kinds]
        rewards = [0.0 if kind == FIRST else random.normal() for kind in kinds]
        discounts = [
            float(random.integers(2)) if kind == LAST else 1.0 for kind in kinds
        ]
        observations = [100.0 * k + i for k in range(num_envs)]
        script.append((kinds, rewards, discounts, observations))
    return script


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_envs=st.integers(1, 5),
    n=st.integers(1, 7),
    discount=st.sampled_from([0.0, 0.5, 0.99, 1.0]),
)
def test_it_agrees_with_the_definition(seed, num_envs, n, discount):
    script = random_script(np.random.default_rng(seed), num_envs, num_steps=25)
    starts = [1000.0 * k - 1 for k in range(num_envs)]
    adder = NStepAdder(num_envs=num_envs, n=n, discount=discount)
    adder.start(first(*starts))
    for i, expected in enumerate(reference(n, discount, starts, script)):
        actions = 10 * i + np.arange(num_envs)
        emitted = adder.add(actions, i, vector_step(*script[i])).items
        assert (emitted is None) == (not expected)
        np.testing.assert_allclose(
            np.array(rows(emitted)).reshape(-1, 6),
            np.array(expected).reshape(-1, 6),
            rtol=1e-5,
            atol=1e-6,
        )


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
    assert [(array.shape, array.dtype) for array in transition] == [
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
            before.append(Transition(*(array.copy() for array in transition)))
    assert [int(transition.a_tm1[0]) for transition in emitted] == list(range(7))
    for now, then in zip(emitted, before, strict=True):
        for array, copy in zip(now, then, strict=True):
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


def test_a_start_forgets_what_waits_for_its_priority():
    adder = NStepAdder(num_envs=1, n=1, discount=0.5, initial_priority=distance)
    for _ in range(2):
        adder.start(first(10))
        step, extras = vector_step([MID], [0], [1], [11]), {"said": np.zeros(1)}
        assert adder.add([0], 0, step, extras).items is None

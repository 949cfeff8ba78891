"""n-step transitions: by hand, and against a slow reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acmelike.adders import NStepAdder
from tests.adders.steps import FIRST, LAST, MID, first, rows, vector_step


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


def test_actions_keep_their_type():
    adder = NStepAdder(num_envs=1, n=1, discount=0.5)
    adder.start(first(1))
    step = vector_step([MID], [1], [1], [2])
    adder.add(np.array([0], np.int32), 0, step)
    with pytest.raises(ValueError, match=r"actions of int32 cannot .* of float32"):
        adder.add(np.array([0.7], np.float32), 0, step)


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

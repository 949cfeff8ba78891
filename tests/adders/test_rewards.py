"""Other rewards for the agent; the episodes' returns stay what the environment paid."""

import numpy as np
import pytest

import acmelike as al
from acmelike.adders import NStepAdder, RewardAdder
from tests.adders.steps import FIRST, LAST, MID, first, vector_step
from tests.agents.contract import CATCH, make_dqn

STEPS = [
    vector_step([MID, MID], [10.0, -0.5], [1, 1], [2, 3]),
    vector_step([LAST, MID], [-3.0, 0.2], [0, 1], [4, 5]),
    vector_step([FIRST, MID], [0.0, 1.0], [1, 1], [6, 7]),
]


def rewards(**settings):
    inner = NStepAdder(num_envs=2, n=1, discount=1.0)
    adder = RewardAdder(inner, **({"scale": 1.0, "clip": None} | settings))
    adder.start(first(0, 1))
    found = []
    for step in STEPS:
        items = adder.add(np.zeros(2, int), 0, step).items
        found.append(items.r_t)
    return np.concatenate(found)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"scale": 0.5}, [5, -0.25, -1.5, 0.1, 0.5]),
        ({"clip": 1.0}, [1, -0.5, -1, 0.2, 1]),
        ({"scale": 2.0, "clip": 1.0}, [1, -1, -1, 0.4, 1]),
    ],
)
def test_they_are_scaled_and_then_clipped(settings, expected):
    np.testing.assert_allclose(rewards(**settings), expected, rtol=1e-6)


def test_the_steps_themselves_do_not_change():
    before = [step.reward.copy() for step in STEPS]
    rewards(scale=2.0, clip=1.0)
    for step, reward in zip(STEPS, before, strict=True):
        np.testing.assert_array_equal(step.reward, reward)


def test_without_a_change_there_is_no_other_adder():
    experiment = al.Experiment(builder=make_dqn(), environment_factory=CATCH)
    assert isinstance(experiment.make_adder(), NStepAdder)
    experiment = al.Experiment(
        builder=make_dqn(),
        environment_factory=CATCH,
        rewards=al.RewardSettings(clip=1.0),
    )
    assert isinstance(experiment.make_adder(), RewardAdder)


@pytest.mark.parametrize("settings", [{"scale": 0.0}, {"clip": -1.0}])
def test_what_makes_no_sense_is_refused(settings):
    (name,) = settings
    with pytest.raises(al.ConfigError, match=f"{name} must be .*above 0"):
        al.RewardSettings(**settings)

"""The evaluator as a plain object: exactly one whole episode in every environment."""

import itertools

import numpy as np
import pytest

from acmelike.environments import CatchFactory, make_environment_spec
from acmelike.errors import NotReady
from acmelike.evaluation.coordinator import EvaluationTask
from acmelike.evaluation.evaluator import Evaluator
from tests.counting_agent import Clock, CountingBuilder, counting_policy


class Orders:
    """Hands out evaluations, as a coordinator does, and keeps what is reported."""

    def __init__(self, *counts):
        self.counts, self.reports = list(counts), []

    def next_evaluation(self):
        if not self.counts:
            raise NotReady("no evaluation is due")
        count = self.counts.pop(0)
        parameters = {"count": np.int32(count)}
        return EvaluationTask(count, None, 100, count, self._policy, parameters)

    def report(self, number, returns):
        self.reports.append((number, list(returns)))


def make_evaluator(orders, factory, num_episodes, num_envs=None):
    spec = make_environment_spec(factory(0))
    orders._policy = counting_policy(spec)
    return Evaluator(
        inputs=CountingBuilder().make_greedy_inputs(spec),
        spec=spec,
        environment_factory=factory,
        coordinator=orders,
        num_envs=num_envs or num_episodes,
        num_episodes=num_episodes,
        seed=0,
    )


class ClockFactory:
    """Makes environments whose episodes take 1, 2, 3, ... steps."""

    def __init__(self):
        self._lengths = itertools.count(1)

    def __call__(self, seed):
        return Clock(next(self._lengths))


def test_returns_are_of_one_whole_episode_with_the_given_parameters():
    orders = Orders(3, 2, 5)
    evaluator = make_evaluator(orders, ClockFactory(), 4)
    for _ in range(3):
        evaluator.step()
    # `make_evaluator` took the environment of length 1 for its spec. The reward is the
    # action, which is the parameter; short episodes begin again and are not counted.
    assert orders.reports == [
        (3, [6, 9, 12, 15]),
        (2, [4, 6, 8, 10]),
        (5, [10, 15, 20, 25]),
    ]


def test_an_episode_of_catch_is_won_or_lost():
    orders = Orders(1, 1)
    evaluator = make_evaluator(orders, CatchFactory(rows=4, columns=3), 50)
    evaluator.step()
    evaluator.step()
    (_, first), (_, second) = orders.reports
    # It stays in the middle, where every third ball falls.
    assert set(first) == set(second) == {-1, 1}
    assert first != second


def test_it_waits_for_an_evaluation_that_is_due():
    evaluator = make_evaluator(Orders(), ClockFactory(), 1)
    with pytest.raises(NotReady, match="no evaluation is due"):
        evaluator.step()


@pytest.mark.parametrize(
    ("num_envs", "lengths"),
    [
        (1, [2] * 5),
        (2, [2, 2, 2, 3, 3]),
        (3, [2, 2, 3, 3, 4]),
        (5, [2, 3, 4, 5, 6]),
    ],
)
def test_each_environment_plays_as_many_episodes_as_the_others(num_envs, lengths):
    """Not those that end first: then short ones would count too often."""
    orders = Orders(1, 1)
    evaluator = make_evaluator(orders, ClockFactory(), 5, num_envs)
    for _ in range(2):
        evaluator.step()
    first, second = [returns for _, returns in orders.reports]
    assert first == second == [length * 1.0 for length in lengths]

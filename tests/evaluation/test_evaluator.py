"""The evaluator as a plain object: exactly one whole episode in every environment."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from acmelike.environments import CatchFactory, make_environment_spec
from acmelike.errors import ConfigError, NotReady
from acmelike.evaluation.coordinator import EvaluationTask
from acmelike.evaluation.episodes import check_video
from acmelike.evaluation.evaluator import Evaluator
from acmelike.evaluation.video import VideoSettings
from tests.counting_agent import Clock, CountingBuilder, counting_policy


class Orders:
    """Hands out evaluations, as a coordinator does, and keeps what is reported."""

    def __init__(self, *counts):
        self.counts, self.reports, self.videos = list(counts), [], []

    def next_evaluation(self):
        if not self.counts:
            raise NotReady("no evaluation is due")
        count = self.counts.pop(0)
        parameters = {"count": np.int32(count)}
        return EvaluationTask(count, None, 100, count, self._policy, parameters)

    def report(self, number, returns, video):
        self.reports.append((number, list(returns)))
        self.videos.append(video)


def make_evaluator(orders, factory, num_episodes, num_envs=None, **video):
    spec = make_environment_spec(factory(0))
    orders._policy = counting_policy(spec)
    return Evaluator(
        inputs=CountingBuilder().make_greedy_inputs(spec),
        spec=spec,
        environment_factory=factory,
        coordinator=orders,
        num_envs=num_envs or num_episodes,
        num_episodes=num_episodes,
        video=VideoSettings(**video),
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


# --- Videos -----------------------------------------------------------------------


class EndingOrders(Orders):
    """The last evaluation is the final one; the one before is a second one."""

    def next_evaluation(self):
        task = super().next_evaluation()
        left = len(self.counts)
        reason = None if left else "the end"
        return task._replace(end_reason=reason, is_again=left == 1)


def test_the_first_of_so_many_evaluations_has_a_video_and_the_final_one():
    orders = EndingOrders(*[1] * 7)
    evaluator = make_evaluator(orders, CatchFactory(rows=4), 2, every=3)
    for _ in range(7):
        evaluator.step()
    evaluator.close()
    has_video = [bool(video) for video in orders.videos]
    # The sixth is a second one of the same parameters, the seventh the final one.
    assert has_video == [True, False, False, True, False, False, True]
    with Image.open(io.BytesIO(orders.videos[0])) as image:
        assert (
            image.format == "GIF" and image.n_frames == 4
        )  # Of an episode of 3 steps.


def test_every_evaluation_may_have_one_and_mp4_is_another_format():
    orders = Orders(1, 1)
    evaluator = make_evaluator(orders, CatchFactory(rows=4), 2, every=1, format="mp4")
    for _ in range(2):
        evaluator.step()
    evaluator.close()
    # What files of this format begin with.
    assert [video[4:8] for video in orders.videos] == [b"ftyp", b"ftyp"]


def test_without_the_setting_there_is_none():
    orders = Orders(1)
    make_evaluator(orders, CatchFactory(rows=4), 2).step()
    assert orders.videos == [b""]


def test_a_video_that_fails_is_a_warning(caplog):
    orders = Orders(1)
    evaluator = make_evaluator(orders, ClockFactory(), 2, every=1)
    evaluator.step()
    assert orders.videos == [b""] and len(orders.reports) == 1
    (message,) = caplog.messages
    assert message == "no video at 100 steps: this environment does not render"


def test_what_cannot_be_recorded_is_refused_before_the_run(monkeypatch):
    check_video(VideoSettings(), ClockFactory())
    check_video(VideoSettings(every=2), CatchFactory())
    with pytest.raises(ConfigError, match="this environment does not render"):
        check_video(VideoSettings(every=2), ClockFactory())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'acmelike\[video\]'"):
        check_video(VideoSettings(every=2, format="mp4"), CatchFactory())

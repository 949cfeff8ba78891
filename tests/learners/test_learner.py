"""The learner as a plain object: batches in, parameters and priorities out."""

import numpy as np
import pytest

from acmelike.environments import make_environment_spec
from acmelike.errors import NonFinite, NotReady
from acmelike.learners import Learner
from acmelike.replay import Replay
from tests.counting_agent import Clock, CountingBuilder, make_items

SPEC = make_environment_spec(Clock(1))


def make_learner(**settings):
    builder = CountingBuilder(**settings)
    replay = Replay([builder.make_table(SPEC)], seed=0)
    learner = Learner(builder=builder, spec=SPEC, replay=replay, table="items", seed=0)
    return replay, learner


def test_a_step_publishes_the_updates_of_one_batch():
    replay, learner = make_learner()
    version, parameters = learner.parameters()
    assert (version, parameters["count"]) == (0, 0)
    assert learner.progress().loss is None
    replay.insert("items", make_items(rewards=[1, 2, 3, 6]))
    learner.step()
    version, parameters = learner.parameters()
    assert (version, parameters["count"]) == (2, 2)
    assert learner.progress().num_updates == 2
    assert learner.progress().loss == 3
    assert replay.info("items").num_sampled == 4


def test_parameters_are_numpy_arrays_that_stay_as_they_are():
    replay, learner = make_learner()
    replay.insert("items", make_items(rewards=[0] * 8))
    learner.step()
    published = learner.parameters()
    assert type(published.parameters["count"]) is np.ndarray
    learner.step()
    assert (published.version, published.parameters["count"]) == (2, 2)
    assert learner.parameters().parameters["count"] == 4


def test_staleness_is_the_mean_lag_of_the_items_used():
    # The table holds one batch, so every item is used once.
    replay, learner = make_learner(max_size=4)
    assert learner.progress().staleness_mean == 0
    assert learner.progress().staleness is None
    replay.insert("items", make_items(rewards=[0] * 4, versions=[0, 0, 0, 0]))
    learner.step()  # half of the items at version 0, half at version 1
    assert learner.progress().staleness_mean == 0.5
    replay.insert("items", make_items(rewards=[0] * 4, versions=[0, 1, 2, 2]))
    learner.step()  # at versions 2 and 3, so at 2.5 on average: 2.5, 1.5, 0.5, 0.5
    assert learner.progress().staleness_mean == (4 * 0.5 + 5.0) / 8
    # Of the latest batch alone.
    assert learner.progress().staleness == (1.0, pytest.approx(2.2), 2.5)


def test_how_often_items_were_sampled_is_told_of_the_latest_batch():
    replay, learner = make_learner(max_size=4)
    replay.insert("items", make_items(rewards=[0] * 4))
    for number in (1, 2, 3):
        learner.step()
        assert learner.progress().times_sampled == (number, number, number)


def test_priorities_go_back_to_the_items_they_are_of():
    replay, learner = make_learner(prioritized=True, batch_size=16, max_size=2)
    replay.insert("items", make_items(rewards=[1, 3]))
    learner.step()
    sample = replay.sample("items", 16)
    assert set(sample.data.r_t) == {1, 3}
    np.testing.assert_allclose(sample.probabilities, sample.data.r_t / 4)


def test_next_parameters_says_what_it_waits_for():
    replay, learner = make_learner()
    assert learner.next_parameters(-1).version == 0
    reason = r"Learner\.next_parameters: parameters are at version 0, asked for 1 or la"
    with pytest.raises(NotReady, match=reason):
        learner.next_parameters(0)
    replay.insert("items", make_items(rewards=[0] * 4))
    learner.step()
    assert learner.next_parameters(0).version == 2
    with pytest.raises(NotReady, match=r"at version 2, asked for 3 or later"):
        learner.next_parameters(0, min_interval=3)
    assert learner.next_parameters(0, min_interval=2).version == 2
    assert learner.next_parameters(-1, min_interval=3).version == 2


def test_a_step_without_a_batch_changes_nothing():
    replay, learner = make_learner()
    with pytest.raises(NotReady, match=r"Replay\.sample: minimum size: 0 items of 1"):
        learner.step()
    assert learner.progress().num_updates == 0
    replay.insert("items", make_items(rewards=[0] * 4))
    learner.step()
    assert learner.progress().num_updates == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_ends_learning_and_is_not_published(bad):
    replay, learner = make_learner(prioritized=True)
    replay.insert("items", make_items(rewards=[1]))
    learner.step()
    replay.insert("items", make_items(rewards=[bad] * 100))
    with pytest.raises(NonFinite, match=f"the loss is {bad} after 2 updates"):
        learner.step()
    assert learner.parameters().version == 2
    assert learner.parameters().parameters["count"] == 2


def test_the_device_gets_its_next_batch_before_the_last_is_published(monkeypatch):
    """As in threads and processes, where batches come ahead of need."""
    monkeypatch.setattr(
        "acmelike.replay.clients.batches.prefetch_depth", lambda wanted: 1
    )
    replay, learner = make_learner()
    replay.insert("items", make_items(rewards=[0] * 8))
    learner.step()
    assert learner.parameters().version == 0  # The second batch is here.
    replay.reset("items")
    learner.step()
    assert learner.parameters().version == 2
    # None is here any more: before it waits for one, it publishes what it has.
    with pytest.raises(NotReady):
        learner.step()
    assert learner.parameters().version == 4

"""The actor as a plain object: what reaches replay, and when parameters are taken."""

from dataclasses import replace

import numpy as np
import pytest

from acmelike.actors import Actor, LockStep
from acmelike.environments import make_environment_spec
from acmelike.errors import NotReady
from acmelike.learners import Learner
from acmelike.replay import Replay, SamplesPerInsert
from tests.counting_agent import Clock, CountingBuilder, LagBuilder, make_items

SPEC = make_environment_spec(Clock(1))


class World:
    """An actor between a replay and a learner, all of them plain objects.

    Args:
      num_envs: K.
      length: of the episodes.
      n_step: of the transitions.
      rate_limiter: of the table; none by default.
    """

    def __init__(self, *, num_envs=3, length=2, n_step=1, rate_limiter=None):
        self.environments, self._length = [], length
        builder = CountingBuilder(n_step=n_step, batch_size=1)
        table = builder.make_table(SPEC)
        limited = replace(table, rate_limiter=rate_limiter or table.rate_limiter)
        self.replay = Replay([limited], seed=0)
        # The learner has a replay of its own, so that it learns when a test says so.
        self._lessons = Replay([table], seed=0)
        self._learner = Learner(
            builder=builder, spec=SPEC, replay=self._lessons, table="items", seed=0
        )
        self.actor = Actor(
            inputs=builder.make_greedy_inputs(SPEC),
            adder=builder.make_adder(num_envs),
            spec=SPEC,
            environment_factory=self._make_environment,
            num_envs=num_envs,
            replay=self.replay,
            table=table,
            parameter_source=self._learner,
            seed=0,
        )

    def _make_environment(self, seed):
        self.environments.append(Clock(self._length))
        return self.environments[-1]

    def learn(self):
        """Makes two updates."""
        self._lessons.insert("items", make_items(rewards=[0]))
        self._learner.step()

    def items(self):
        """All items in replay, in order."""
        return self.replay.sample("items", self.replay.info("items").size).data


def test_replay_counts_the_steps_that_begin_no_episode():
    world = World(num_envs=3, length=2)
    # Of the time steps 1 to 10 of an environment, 3, 6 and 9 begin an episode.
    for _ in range(10):
        world.actor.step()
    assert world.replay.num_env_steps() == 3 * 7
    assert world.replay.info("items").num_inserted == 3 * 7


def test_replay_knows_what_episodes_came_to():
    world = World(num_envs=3, length=2)
    world.learn()  # The count of updates is the action, and that the reward.
    assert world.replay.episodes() == (0, None, None, None, 0)
    world.actor.step()
    assert world.replay.episodes() == (0, None, None, None, 0)
    # Episodes take the time steps 1 and 2, 4 and 5, and so on; 3 and 6 begin one.
    for _ in range(7):
        world.actor.step()
    total = world.items().r_t.sum()
    assert total > 0
    assert world.replay.episodes() == (3 * 3, pytest.approx(total / 9), 2, 0, 0)


def test_steps_that_complete_no_item_are_counted_with_the_next_ones():
    world = World(num_envs=2, length=4, n_step=3)
    world.actor.step()
    world.actor.step()
    assert world.replay.num_env_steps() == 0
    world.actor.step()
    assert world.replay.num_env_steps() == 2 * 3
    world.actor.step()
    assert world.replay.num_env_steps() == 2 * 4


def test_items_carry_the_version_of_the_parameters_that_acted():
    world = World(num_envs=1, length=100)
    for learns in [False, False, True, False, True, True, False]:
        if learns:
            world.learn()
        world.actor.step()
    # Taken as soon as they exist, kept as long as there are no others. The counting
    # agent's action is the version of the parameters.
    assert list(world.items().version) == [0, 0, 2, 2, 4, 6, 6]
    assert list(world.items().a_tm1) == [0, 0, 2, 2, 4, 6, 6]


def test_it_takes_the_newest_of_several_parameters():
    world = World(num_envs=1, length=100)
    world.actor.step()
    world.learn()
    world.learn()
    world.actor.step()
    assert list(world.items().version) == [0, 4]


@pytest.mark.parametrize("n_step", [1, 2])
def test_an_environment_may_reuse_its_observation(n_step):
    world = World(num_envs=2, length=3, n_step=n_step)
    for _ in range(11):
        world.actor.step()
    items = world.items()
    begins, ends = items.o_tm1[:, 0], items.o_t[:, 0]
    # In an episode of three steps, item i goes from step i to step i + n or the last.
    np.testing.assert_array_equal(ends, np.minimum(begins + n_step, 3))
    assert sorted(begins) == sorted([0, 1, 2] * 6)
    np.testing.assert_array_equal(items.discount_t == 0, ends == 3)


def test_it_waits_when_replay_admits_nothing_and_loses_nothing():
    # Inserts may be ahead of samples by 5 items.
    limiter = SamplesPerInsert(ratio=1, min_size=1, error_buffer=4)
    world = World(num_envs=1, length=100, rate_limiter=limiter)
    for _ in range(5):
        world.actor.step()
    with pytest.raises(NotReady, match=r"Replay\.write: samples per insert: 5 items"):
        world.actor.step()
    world.replay.sample("items", 2)
    world.actor.step()
    assert list(world.items().o_t[:, 0]) == [1, 2, 3, 4, 5, 6, 7]
    assert world.replay.num_env_steps() == 7


class LockStepWorld:
    """Replay and a learner, for actors of one environment that work in lock-step."""

    def __init__(self):
        self._builder = LagBuilder(batch_size=1, unroll_length=3)
        self._table = self._builder.make_table(SPEC)
        self.replay = Replay([self._table], seed=0)
        self.learner = Learner(
            builder=self._builder,
            spec=SPEC,
            replay=self.replay,
            table=self._table.name,
            seed=0,
        )

    def make_actor(self):
        """An actor, or its successor."""
        return Actor(
            inputs=self._builder.make_greedy_inputs(SPEC),
            adder=self._builder.make_adder(1),
            spec=SPEC,
            environment_factory=lambda seed: Clock(100),
            num_envs=1,
            replay=self.replay,
            table=self._table,
            parameter_source=self.learner,
            lock_step=LockStep(num_steps=3, index=0),
            seed=0,
        )

    def num_unrolls(self):
        return self.replay.info(self._table.name).num_inserted


def make_steps(actor, num_steps):
    for _ in range(num_steps):
        actor.step()


def test_in_lock_step_a_successor_gives_the_unroll_that_is_missing():
    world = LockStepWorld()
    make_steps(world.make_actor(), 2)
    make_steps(world.make_actor(), 3)
    assert world.num_unrolls() == 1


def test_in_lock_step_a_successor_gives_no_unroll_twice():
    world = LockStepWorld()
    make_steps(world.make_actor(), 3)
    successor = world.make_actor()
    with pytest.raises(NotReady, match="at version 0, asked for 1 or later"):
        successor.step()
    world.learner.step()
    make_steps(successor, 3)
    assert world.num_unrolls() == 2


def test_in_lock_step_what_comes_late_of_a_predecessor_is_refused():
    world = LockStepWorld()
    actor, successor = world.make_actor(), world.make_actor()
    make_steps(actor, 2)
    make_steps(successor, 1)
    with pytest.raises(
        ValueError, match="another writer has taken the place of 'actor 0'"
    ):
        actor.step()
    make_steps(successor, 2)
    assert world.num_unrolls() == 1


def test_close_closes_the_environments():
    world = World(num_envs=2)
    world.actor.close()
    assert [e.is_closed for e in world.environments] == [True, True]

"""The inference node and its actors as plain objects: what reaches replay, and when."""

from dataclasses import dataclass

import jax
import numpy as np
import optree
import pytest
from dm_env import specs

from acmelike.actors import Actor
from acmelike.actors.central import EnvironmentWorker, InferenceQueue, InferenceServer
from acmelike.adders import UnrollAdder, unroll_signature
from acmelike.agent import ActorPlace, PolicyOutput
from acmelike.agents.impala import ImpalaBuilder, ImpalaConfig
from acmelike.agents.parts.recurrent import unroll
from acmelike.core import when
from acmelike.environments import CatchFactory, make_environment_spec
from acmelike.errors import ContractError, NotReady
from acmelike.networks import (
    LSTMState,
    log_softmax,
    lstm_state,
    reset_where,
    take_action,
)
from acmelike.policies import make_portable
from acmelike.replay import Replay, TableConfig
from acmelike.types import Versioned
from tests.actors.policies import as_it_is, inputs_of
from tests.agents.compiled import first_parameters
from tests.counting_agent import Clock, LagBuilder

NUM_ENVS = 3
CLOCK_SPEC = make_environment_spec(Clock(1))


def make_clock(seed):
    """Episodes of 2 to 5 steps."""
    return Clock(2 + seed % 4)


@dataclass(frozen=True, kw_only=True)
class RememberingPolicy:
    """Acts by the sum of what it observed in the episode; actors begin with others."""

    start: float = 0.0

    def init(self, num_envs):
        return np.full(num_envs, self.start, np.float32)

    def noise(self, random, num_envs):
        return None

    def act(self, parameters, state, observation, noise):
        total = state + observation[:, 0] + parameters["count"]
        return PolicyOutput((total % 10).astype(np.int32), total, {"memory": state})


@dataclass(frozen=True, kw_only=True)
class RememberingBuilder(LagBuilder):
    """Unrolls of three steps, with what the policy remembered at each."""

    needs_jax: bool = False
    queue_size: int = 1_000

    def make_table(self, spec):
        extras = {"memory": specs.Array((), np.float32)}
        signature = unroll_signature(spec, self.unroll_length, extras)
        return TableConfig.queue("unrolls", signature, self.queue_size)

    def make_adder(self, num_envs):
        return UnrollAdder(num_envs=num_envs, length=self.unroll_length)

    def make_policy_inputs(self, spec, place):
        return inputs_of(RememberingPolicy(start=105.0 * place.index))


class Published:
    """Stands for a learner: has the policy and the parameters that a test wants."""

    def __init__(self, policy, parameters=None):
        self._policy = policy
        self.version, self.parameters = 0, parameters

    def policy(self):
        return self._policy

    def _nothing_newer(self, newer_than):
        return None if self.version > newer_than else "nothing newer"

    @when(_nothing_newer)
    def next_parameters(self, newer_than, min_interval):
        count = {"count": np.float32(self.version)}
        return Versioned(self.version, self.parameters or count)


def policy_of(builder, spec, parameters=None):
    """Of a builder of these tests, or of an agent with these parameters."""
    if isinstance(builder, RememberingBuilder):
        return as_it_is(RememberingPolicy(), needs_jax=builder.needs_jax)
    return make_portable(builder, spec, parameters)


def inputs_of_actors(builder, spec, num_actors):
    return [
        builder.make_policy_inputs(
            spec, ActorPlace(index=i, num_actors=num_actors, num_envs=NUM_ENVS)
        )
        for i in range(num_actors)
    ]


class World:
    """Actors, requests, the inference node and a replay, all of them plain objects."""

    def __init__(
        self, builder, *, factory=make_clock, num_actors=2, seed=0, parameters=None
    ):
        self.spec = make_environment_spec(factory(0))
        self.table, self._factory, self._seed = (
            builder.make_table(self.spec),
            factory,
            seed,
        )
        self.replay = Replay([self.table], seed=0)
        self.builder = builder
        self.learner = Published(policy_of(builder, self.spec, parameters), parameters)
        self.requests = InferenceQueue(
            num_actors=num_actors, batch_size=num_actors * NUM_ENVS
        )
        self.inference = InferenceServer(
            inputs=inputs_of_actors(builder, self.spec, num_actors),
            adder=builder.make_adder(NUM_ENVS),
            spec=self.spec,
            num_envs=NUM_ENVS,
            requests=self.requests,
            wait_seconds=0.0,
            replay=self.replay,
            table=self.table,
            learner=self.learner,
            seed=seed,
        )
        self.actors = [self.make_actor(index) for index in range(num_actors)]

    def make_actor(self, index):
        return EnvironmentWorker(
            environment_factory=self._factory,
            num_envs=NUM_ENVS,
            index=index,
            requests=self.requests,
            seed=self._seed + index,
        )

    def round(self, times=1):
        """Every actor steps its environments and asks again, and all are answered."""
        for _ in range(times):
            for actor in self.actors:
                with pytest.raises(NotReady, match="waits for actions"):
                    while True:
                        actor.step()
            self.inference.step()

    def items(self):
        """All items in replay, in order."""
        return self.replay.sample("unrolls", self.replay.info("unrolls").size).data


def items_of_actors(builder, *, factory, num_actors, num_steps, seed, learner):
    """What actors that hold the policy write."""
    spec = make_environment_spec(factory(0))
    table = builder.make_table(spec)
    replay = Replay([table], seed=0)
    actors = [
        Actor(
            inputs=inputs_of_actors(builder, spec, num_actors)[i],
            adder=builder.make_adder(NUM_ENVS),
            spec=spec,
            environment_factory=factory,
            num_envs=NUM_ENVS,
            replay=replay,
            table=table,
            parameter_source=learner,
            seed=seed + i,
        )
        for i in range(num_actors)
    ]
    for _ in range(num_steps):
        for actor in actors:
            actor.step()
    return replay.sample(table.name, replay.info(table.name).size).data


@pytest.mark.parametrize("needs_jax", [False, True])
def test_items_are_those_of_actors_that_hold_the_policy(needs_jax):
    builder = RememberingBuilder(needs_jax=needs_jax)
    world = World(builder)
    world.round(13)  # The last is the answer to the twelfth step.
    expected = items_of_actors(
        builder,
        factory=make_clock,
        num_actors=2,
        num_steps=12,
        seed=0,
        learner=Published(policy_of(builder, world.spec)),
    )
    assert len(expected.r_t) == 4 * 2 * NUM_ENVS
    assert len(np.unique(expected.extras["memory"])) >= 10
    optree.tree_map(np.testing.assert_array_equal, world.items(), expected)
    # Time steps that begin an episode are no environment steps.
    assert world.replay.num_env_steps() == expected.mask.sum()


def test_items_of_an_agent_that_draws_its_actions_are_those_too():
    builder = make_impala()
    parameters = impala_parameters(builder)
    world = World(
        builder, factory=CatchFactory(), num_actors=1, seed=3, parameters=parameters
    )
    world.round(21)
    expected = items_of_actors(
        builder,
        factory=CatchFactory(),
        num_actors=1,
        num_steps=20,
        seed=3,
        learner=Published(policy_of(builder, world.spec, parameters), parameters),
    )
    optree.tree_map(np.testing.assert_array_equal, world.items(), expected)


def test_parameters_may_change_in_the_middle_of_an_unroll():
    world = World(RememberingBuilder(), num_actors=1)
    world.round(2)
    world.learner.version = 5
    world.round(2)
    np.testing.assert_array_equal(world.items().version, [[0, 0, 5]] * NUM_ENVS)


def test_an_actor_that_begins_anew_has_a_new_state_and_new_unrolls():
    world = World(RememberingBuilder())
    world.round(3)
    world.actors[1] = world.make_actor(1)
    world.round(4)
    items = world.items()
    # Actor 0 has two unrolls by now, actor 1 one, of its second life only.
    assert len(items.r_t) == 3 * NUM_ENVS
    is_second = items.extras["memory"].max(axis=1) >= 105
    assert is_second.sum() == NUM_ENVS
    np.testing.assert_array_equal(items.o_t[is_second, 0], np.zeros((NUM_ENVS, 1)))
    np.testing.assert_array_equal(
        items.extras["memory"][is_second, 0], [105] * NUM_ENVS
    )


def test_when_replay_is_full_nobody_goes_on():
    world = World(RememberingBuilder(queue_size=NUM_ENVS), num_actors=2)
    world.round(3)
    # The first actor's unrolls fill the queue, and the other's wait.
    with pytest.raises(NotReady, match=r"Replay\.write: .* 3 items inserted"):
        world.round()
    world.replay.sample("unrolls", NUM_ENVS)
    world.round(2)
    assert world.replay.info("unrolls").num_inserted == 2 * NUM_ENVS


def test_actors_without_answers_wait():
    world = World(RememberingBuilder(), num_actors=2)
    with pytest.raises(NotReady, match="0 environments of 0 of 2 actors wait"):
        world.inference.step()
    with pytest.raises(
        NotReady, match="actor 0 waits for actions; 3 environments of 1"
    ):
        world.actors[0].step()


def test_close_closes_the_environments():
    made = []

    def make(seed):
        made.append(Clock(3))
        return made[-1]

    actor = World(RememberingBuilder(), factory=make).actors[0]
    made.clear()
    actor = EnvironmentWorker(
        environment_factory=make, num_envs=2, index=0, requests=None, seed=0
    )
    actor.close()
    assert [e.is_closed for e in made] == [True, True]


class Forgetful:
    """A queue that knows of a request only when it is asked so often for its answer.

    So it is after a connection was lost: what was sent is sent again, one by one.
    """

    def __init__(self, num_times):
        self.num_times = num_times

    def observe(self, request_id, step):
        pass

    def actions(self, request_id):
        self.num_times -= 1
        if self.num_times:
            raise ContractError("not the latest request")
        return np.zeros(2, int)


def test_an_actor_whose_messages_were_lost_asks_again():
    def actor(num_times):
        return EnvironmentWorker(
            environment_factory=lambda seed: Clock(3),
            num_envs=2,
            index=0,
            requests=Forgetful(num_times),
            seed=0,
        )

    actor(2).step()
    with pytest.raises(ContractError, match="not the latest"):
        actor(3).step()


# --- A recurrent agent ------------------------------------------------------------


def make_impala():
    config = ImpalaConfig(
        hidden_sizes=(8,), lstm_size=5, unroll_length=4, batch_size=4, queue_size=1_000
    )
    return ImpalaBuilder(config=config)


def impala_parameters(builder):
    spec = make_environment_spec(CatchFactory()(0))
    core = builder.make_agent(spec)
    parameters = jax.tree.map(np.array, first_parameters(core))
    # At first all actions are nearly alike.
    parameters["params"]["head"]["policy"]["kernel"] *= 200
    return parameters


@pytest.mark.parametrize("most_for_numpy", [2_000_000, 0])
def test_the_learner_finds_what_was_stored(monkeypatch, most_for_numpy):
    monkeypatch.setattr("acmelike.actors.inference.MAX_FOR_NUMPY", most_for_numpy)
    builder = make_impala()
    parameters = impala_parameters(builder)
    world = World(builder, factory=CatchFactory(), parameters=parameters)
    world.round(25)
    items = world.items()
    assert items.mask.min() == 0 and items.is_first[:, 1:].any()  # Episodes end.

    network = builder.make_agent(world.spec).network
    stored = LSTMState(items.extras["hidden"], items.extras["cell"])
    o_t, is_first = np.swapaxes(items.o_t, 0, 1), np.swapaxes(items.is_first, 0, 1)
    heads, _ = unroll(network, parameters, stored, o_t, is_first)
    log_prob = take_action(log_softmax(heads.policy[:-1]), np.swapaxes(items.a_t, 0, 1))
    np.testing.assert_allclose(
        log_prob.T, items.extras["log_prob"], rtol=1e-4, atol=1e-5
    )
    assert np.ptp(log_prob) > 0.2

    # The state after an unroll is that with which the environment's next one begins,
    # unless an episode begins with it.
    state, initial = stored, lstm_state(len(items.r_t), 5)
    for t in range(4):
        _, state = network.apply(parameters, state, o_t[t])
        state = reset_where(state, initial, is_first[t + 1])
    per_round = 2 * NUM_ENVS
    for after, begins in zip(state, stored, strict=True):
        assert np.ptp(begins[per_round:]) > 0.1
        np.testing.assert_allclose(
            after[:-per_round], begins[per_round:], rtol=1e-4, atol=1e-5
        )

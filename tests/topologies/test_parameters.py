"""What a version of its parameters costs the learner that many actors follow."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import jax.numpy as jnp
import pytest

from acmelike.actors.parameter_follower import ParameterFollower
from acmelike.environments import make_environment_spec
from acmelike.learners import Learner
from acmelike.replay import Replay
from acmelike.rpc import Channel
from acmelike.rpc.sockets import shared_memory
from acmelike.rpc.sockets.pickle_codec import PickleCodec
from acmelike.rpc.sockets.shared_memory import LARGE_BYTES
from acmelike.types import Versioned
from tests.counting_agent import Clock, CountingBuilder, make_items
from tests.counting_learner import CountingAgent
from tests.launchers.fakes import wait_until
from tests.rpc.sockets.serving import NEAR, client_of, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no memfd")

SIZE = 2 * LARGE_BYTES
SPEC = make_environment_spec(Clock(1))


class LargeAgent(CountingAgent):
    """Counts in each number of an array too, which is large enough to be shared."""

    def init(self, key):
        return {**super().init(key), "kernel": jnp.zeros(SIZE, jnp.uint8)}

    def update(self, state, data, probabilities, key):
        counted, outputs = super().update(state, data, probabilities, key)
        kernel = state["kernel"] + jnp.uint8(self.num_updates)
        return {**counted, "kernel": kernel}, outputs


class LargeBuilder(CountingBuilder):
    def make_agent(self, spec):
        return LargeAgent(
            num_updates=self.num_updates_per_call,
            num_actions=spec.actions.num_values,
        )


@pytest.fixture
def costs(monkeypatch):
    """The versions that were pickled, and the sizes that were copied to be shared."""
    pickled, copied = [], []
    make_payload, write = PickleCodec.make_payload, shared_memory.write

    def note_version(value):
        if isinstance(value, Versioned):
            pickled.append(value.version)
        return make_payload(value)

    def note_size(views, memory):
        copied.append(sum(view.nbytes for view in views))
        write(views, memory)

    monkeypatch.setattr(PickleCodec, "make_payload", staticmethod(note_version))
    monkeypatch.setattr(shared_memory, "write", note_size)
    return pickled, copied


@contextmanager
def followers(served, num):
    """Of as many actors, each with a connection of its own."""
    channels = [Channel(served.address, NEAR, lambda: None) for _ in range(num)]
    try:
        yield [ParameterFollower(client_of(channel)) for channel in channels]
    finally:
        for channel in channels:
            channel.close("the test is over")
            channel.dispose()


def check_next(follower, version):
    """Takes the next parameters, and keeps nothing of them."""
    parameters = follower.take(waits=True)
    assert follower.version == parameters["count"] == version
    assert (parameters["kernel"] == version).all()


def num_sent(served):
    """The bytes that the sockets of the learner's process have taken."""
    connections = list(served.sockets._connections)
    return sum(connection.stream.num_taken for connection in connections)


def test_eight_actors_cost_one_pickle_and_one_copy_for_each_version(
    tmp_path, monkeypatch, costs
):
    """Four wait for it, and four act meanwhile and take it afterwards."""
    pickled, copied = costs
    builder = LargeBuilder(num_updates_per_call=1)
    replay = Replay([builder.make_table(SPEC)], seed=0)
    learner = Learner(builder=builder, spec=SPEC, replay=replay, table="items", seed=0)
    with serving(learner, tmp_path) as served, followers(served, 8) as actors:
        # As in its node's thread, which the test's is not.
        monkeypatch.setattr(
            "acmelike.learners.learner.updating", lambda _: served.server.updating()
        )
        for actor in actors:
            check_next(actor, 0)
        for version in range(1, 11):
            if version == 7:  # By now all have mapped the memory that it takes.
                pickled.clear()
                copied.clear()
                before = num_sent(served)
            for actor in actors[:4]:
                assert actor.take() is None
            wait_until(lambda: len(served.server.parked()) == 4)
            replay.insert("items", make_items(rewards=[0] * 4))
            learner.step()
            for actor in actors:
                check_next(actor, version)
        assert pickled == [7, 8, 9, 10]
        assert copied == [SIZE] * 4
        assert num_sent(served) - before < SIZE
        # The last version is kept, and its memory, for as long as the learner is.
        served.sockets.outcomes._by_method.clear()
        served.server.close("the test is over")

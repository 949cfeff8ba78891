"""A learner whose agent's functions are not JAX's: called as they are."""

from dataclasses import dataclass

import numpy as np
import pytest

from acmelike.agent import PolicyOutput, UpdateOutputs
from acmelike.environments import make_environment_spec
from acmelike.errors import ContractError
from acmelike.learners import Learner
from acmelike.learners.functions import make_functions
from acmelike.replay import Replay
from tests.counting_agent import Clock, CountingBuilder, make_items

SPEC = make_environment_spec(Clock(1))


@dataclass(frozen=True, kw_only=True)
class InPlaceAgent:
    """Begins with its seed, and adds rewards and one to an array of its own."""

    needs_jax = False

    def init(self, key):
        return {"sum": np.array([key], np.float32)}

    def parameters(self, state):
        return {"sum": state["sum"].copy()}

    def act(self, parameters, state, observation, noise):
        return PolicyOutput(np.zeros(len(observation), np.int32), state)

    def update(self, state, data, probabilities, key):
        assert type(key) is int
        assert type(data.r_t) is type(probabilities) is np.ndarray
        state["sum"] += 1 + data.r_t.sum()
        return state, UpdateOutputs(loss=data.r_t.mean(), priorities=data.r_t)


class InPlaceBuilder(CountingBuilder):
    def make_agent(self, spec):
        return InPlaceAgent()


def test_it_is_called_once_for_each_batch_and_may_work_in_place():
    builder = InPlaceBuilder(prioritized=True)
    replay = Replay([builder.make_table(SPEC)], seed=0)
    learner = Learner(builder=builder, spec=SPEC, replay=replay, table="items", seed=7)
    replay.insert("items", make_items(rewards=[2] * 4))
    assert learner.parameters().parameters["sum"] == 7
    published = []
    for number in range(1, 4):
        learner.step()
        version, parameters = learner.parameters()
        assert version == learner.progress().num_updates == 2 * number
        published.append(parameters["sum"])
    # An update with nothing, which compiles JAX's functions, would have shown.
    assert [float(x[0]) for x in published] == [16, 25, 34]
    assert learner.progress().loss == 2


@pytest.mark.parametrize("needs_jax", [True, False])
def test_an_update_that_returns_something_else_is_refused(needs_jax):
    class Bare(InPlaceAgent):
        def update(self, state, data, probabilities, key):
            return state

    Bare.needs_jax = needs_jax
    functions = make_functions(Bare())
    with pytest.raises(ContractError, match=r"Bare.update must return \(state, Upd"):
        functions.update({"sum": np.ones(1)}, (), np.ones(1), 0, 0)


@pytest.mark.parametrize("what", ["a loss", "the metric 'return'"])
def test_what_is_no_scalar_is_refused_at_the_first_update(what):
    @dataclass(frozen=True, kw_only=True)
    class ManyNumbers(InPlaceAgent):
        def update(self, state, data, probabilities, key):
            outputs = UpdateOutputs(loss=np.zeros(()), metrics={"return": np.zeros(())})
            if what == "a loss":
                return state, outputs._replace(loss=data.r_t)
            return state, outputs._replace(metrics={"return": data.r_t})

    update = make_functions(ManyNumbers()).update
    data = make_items(rewards=[2] * 4)
    with pytest.raises(ContractError, match=rf"returned {what} of shape \(4,\); it"):
        update({}, data, np.ones(4), 0, 0)

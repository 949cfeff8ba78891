"""Agents with one fault each, and the sentence that tells their authors about it."""

import re
import threading

import jax.numpy as jnp
import numpy as np
import pytest

from acmelike.adders import UnrollAdder
from acmelike.agent import PolicyInputs, UpdateOutputs
from acmelike.errors import ConfigError, ContractError
from tests.agents.plain import Plain, PlainBuilder, make_contract

# --- Their updates ----------------------------------------------------------------


def updating(**outputs):
    """An agent whose update returns these outputs."""

    class Updating(Plain):
        def update(self, state, data, probabilities, key):
            state, found = super().update(state, data, probabilities, key)
            return state, found._replace(**outputs)

    return Updating


class Still(Plain):
    """Learns nothing."""

    def update(self, state, data, probabilities, key):
        return state, UpdateOutputs(loss=np.float32(0))


class Widening(Plain):
    """Its parameters become float64."""

    def update(self, state, data, probabilities, key):
        changed = {name: array + np.ones(1) for name, array in state.items()}
        return changed, UpdateOutputs(loss=np.float32(0))


class WithJAX(Plain):
    """The same with JAX, and a number that begins as an integer."""

    needs_jax = True

    def init(self, key):
        arrays = {"weights": jnp.zeros((15, 3)), "biases": jnp.zeros(3)}
        return {**arrays, "number": jnp.zeros((), jnp.int32)}

    def parameters(self, state):
        return {name: state[name] for name in ("weights", "biases")}

    def update(self, state, data, probabilities, key):
        changed = {name: array + 0.5 for name, array in state.items()}
        return changed, UpdateOutputs(loss=jnp.float32(0))


# --- Their policies ---------------------------------------------------------------


def acting(change):
    """An agent whose policy returns something else."""

    class Acting(Plain):
        def act(self, *inputs):
            return change(super().act(*inputs))

    return Acting


CALLS = []


class Changing:
    """The action is the number of calls, or of traces if JAX makes them."""

    def act(self, *inputs):
        CALLS.append(None)
        output = super().act(*inputs)
        return output._replace(action=0 * output.action + len(CALLS) % 3)


class ChangingPlain(Changing, Plain):
    pass


class ChangingWithJAX(Changing, WithJAX):
    pass


# --- Their builders ---------------------------------------------------------------


class LongItems(PlainBuilder):
    """The unrolls of its adder are longer than those of its table."""

    def make_adder(self, num_envs):
        return UnrollAdder(num_envs=num_envs, length=self.unroll_length + 1)


class Locked(PlainBuilder):
    """Its adder has a lock."""

    def make_adder(self, num_envs):
        adder = super().make_adder(num_envs)
        adder.lock = threading.Lock()
        return adder


def noise_of_jax(random, num_envs):
    return np.zeros((num_envs, 3), jnp.float32)


class Importing(PlainBuilder):
    """A function of its inputs is in this file, which imports JAX."""

    def make_policy_inputs(self, spec, place):
        return PolicyInputs(noise=noise_of_jax)


class Quiet(PlainBuilder):
    """Its greedy inputs have no noise, which `act` needs."""

    def make_greedy_inputs(self, spec):
        return PolicyInputs()


class Unequal(PlainBuilder):
    """Is equal to itself only, not to a copy."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Blunt(PlainBuilder):
    """Does not say whose mistake it is."""

    def check(self, spec):
        raise ConfigError("these actions do not fit")


class Credulous(PlainBuilder):
    """Refuses nothing."""

    def check(self, spec):
        pass


# --- The test ---------------------------------------------------------------------

UPDATE = "update_changes_parameters_and_keeps_types"


def of(agent):
    return PlainBuilder(agent=agent)


@pytest.mark.parametrize(
    ("builder", "check", "words"),
    [
        (
            of(updating(loss=np.zeros(3))),
            UPDATE,
            "a loss of shape (3,); it must be a scalar: take the mean",
        ),
        (
            of(updating(loss=np.float32("nan"))),
            UPDATE,
            "update returned the loss nan for the first batch; look for a division",
        ),
        (
            of(updating(metrics={"errors": np.zeros(4)})),
            UPDATE,
            "the metric 'errors' of shape (4,); it must be a scalar: take the mean",
        ),
        (of(Still), UPDATE, "changed no parameter: apply the gradients to the state"),
        (of(Widening), UPDATE, "parameters['biases'] is float64 [3], not float32 [3]"),
        (of(WithJAX), UPDATE, "state['number'] is int32 [] before an update and float"),
        (
            of(updating(priorities=np.ones(8))),
            "priorities_are_what_replay_takes",
            "table 'unrolls' does not sample by them, but with Fifo(): return none",
        ),
        (
            of(acting(lambda output: output.action)),
            "policy_outputs",
            "act must return PolicyOutput(action, state), not ndarray",
        ),
        (
            of(acting(lambda output: output._replace(action=[0, 1, 2, 0]))),
            "policy_outputs",
            "actions of type list; they must be one array of NumPy, as needs_jax is Fa",
        ),
        (
            of(acting(lambda output: output._replace(action=output.action[:, None]))),
            "policy_outputs",
            "act returned actions of shape (4, 1); 4 environments take (4,)",
        ),
        (
            of(acting(lambda output: output._replace(action=output.action + 0.5))),
            "policy_outputs",
            "actions of float64, and the environment's are int64: `act` must return in",
        ),
        (
            of(acting(lambda output: output._replace(state=output.action))),
            "policy_outputs",
            "act must return a state like the one that it got: state is the nest",
        ),
        (
            of(acting(lambda output: output._replace(extras={"value": np.zeros(1)}))),
            "policy_outputs",
            "extra 'value' of shape (1,); it must have a row for each of 4 environment",
        ),
        (
            of(acting(lambda output: output._replace(extras={"value": np.zeros(4)}))),
            "policy_outputs",
            "make_adder, make_table and the extras of act must agree",
        ),
        (
            Quiet(),
            "policy_outputs",
            "make_greedy_inputs must give arrays like those of make_policy_inputs: noi",
        ),
        (
            LongItems(),
            "batch_is_as_the_table_says",
            "replay refused the items of the adder: ValueError: table 'unrolls': expec",
        ),
        (
            PlainBuilder(unroll_length=1_000),
            "batch_is_as_the_table_says",
            "100 steps of 4 environments made no batch of 8 items; replay has TableInf",
        ),
        (
            of(ChangingPlain),
            "a_saved_policy_acts_as_the_agent",
            "a policy that was saved chooses other actions: act and the inputs",
        ),
        (
            of(ChangingWithJAX),
            "numpy_text_acts_like_the_agent",
            "as NumPy text, act returns other numbers for the action than with JAX: it",
        ),
        (
            Locked(),
            "actors_send_what_imports_no_jax",
            "what make_adder returned cannot be sent to another process: TypeError: ca",
        ),
        (
            Importing(),
            "actors_send_what_imports_no_jax",
            f"what make_policy_inputs returned: {__name__} -> jax; take its classes",
        ),
        (
            Unequal(),
            "builder_is_complete_and_picklable",
            "is not equal to itself: make its class a frozen dataclass",
        ),
        (
            Blunt(),
            "refuses_other_actions",
            "must begin with 'reinforce needs ': these actions do not fit",
        ),
        (
            Credulous(),
            "refuses_other_actions",
            "the agent cannot choose them: AttributeError: 'BoundedArray' object has n",
        ),
    ],
)
def test_the_author_reads_what_is_wrong(monkeypatch, builder, check, words):
    monkeypatch.setattr("acmelike.testing.agents._MAX_TRIAL_STEPS", 100)
    contract = make_contract(builder)
    faults = (AssertionError, ContractError, TypeError)
    with pytest.raises(faults, match=re.escape(words)):
        getattr(contract, f"check_{check}")()

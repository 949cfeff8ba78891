"""The contract of an agent, as checks that its author can run.

With pytest, in a test file of your own:

    from acmelike.testing import AgentContract

    CONTRACT = AgentContract(MyBuilder(config=SMALL), CatchFactory())

    @pytest.mark.parametrize("check", CONTRACT.checks(), ids=lambda c: c.__name__)
    def test_my_agent(check):
        check()

Without pytest, call each of `CONTRACT.checks()`. A check that fails raises an error,
which says what is wrong and what to do. Give the agent small networks and batches: an
agent that needs JAX is compiled. For another agent the checks do not import JAX.
"""

from __future__ import annotations

import copy
import functools
import pickle
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import optree
from dm_env import specs

from acmelike.actors.inference import Inference, as_actions
from acmelike.adders import AdderOutput, store_frames_once
from acmelike.agent import (
    ActorPlace,
    Agent,
    Builder,
    PolicyInputs,
    PolicyOutput,
    UpdateOutputs,
    check_builder,
    check_items,
    check_output,
)
from acmelike.environments import EnvironmentFactory, VectorEnvironment
from acmelike.environments.interface import check_actions
from acmelike.errors import ConfigError, NotReady, first_line
from acmelike.evaluation.policy_file import PolicyFile
from acmelike.evaluation.saved_policy import load_policy
from acmelike.learners.functions import LearnerFunctions, make_functions
from acmelike.policies import PortablePolicy, make_portable
from acmelike.replay import (
    Fifo,
    Items,
    Lifo,
    Prioritized,
    Replay,
    TableConfig,
    Uniform,
    Writer,
    check_sample_size,
    save_checkpoint,
)
from acmelike.testing.unpickling import first_with_jax
from acmelike.types import Array, EnvironmentSpec, Nested, VectorStep

# The most steps until there has to be a batch.
_MAX_TRIAL_STEPS = 20_000


class Trial(NamedTuple):
    """The results of one short trial: acting, one sample, one update.

    Attributes:
      spec: of the environments.
      table: the table that items were written to.
      replay: holds the table.
      agent: the agent's functions.
      states: of the policy, before each step and after the last.
      observation: `[K, ...]`, the last one that was acted on.
      output: of the policy, for that observation.
      sample: the first batch.
      before: the training state before the update.
      after: the training state after the update.
      outputs: of the update.
    """

    spec: EnvironmentSpec
    table: TableConfig
    replay: Replay
    agent: Agent
    states: list[Nested]
    observation: Any
    output: PolicyOutput
    sample: Any
    before: Nested
    after: Nested
    outputs: UpdateOutputs


class AgentContract:
    """Checks that the parts of an agent fit together.

    Args:
      builder: of the agent.
      environment_factory: makes environments that it can act in.
      num_envs: K, the number of environments of an actor.
      num_actors: the number of actors in a program.
    """

    def __init__(
        self,
        builder: Builder,
        environment_factory: EnvironmentFactory,
        *,
        num_envs: int = 4,
        num_actors: int = 2,
    ):
        self.builder, self._factory = builder, environment_factory
        self._num_envs, self._num_actors = num_envs, num_actors

    def checks(self) -> list[Callable[[], None]]:
        """All checks of the contract, as functions without arguments."""
        names = sorted(name for name in dir(self) if name.startswith("check_"))
        return [getattr(self, name) for name in names]

    # --- What the checks look at ------------------------------------------------------

    @functools.cached_property
    def spec(self) -> EnvironmentSpec:
        """The spec of the environments."""
        environment = VectorEnvironment(self._factory, num_envs=1, seed=0)
        environment.close()
        return environment.spec

    @functools.cached_property
    def agent(self) -> Agent:
        """The agent's functions."""
        return self.builder.make_agent(self.spec)

    def inputs(self, index: int = 0) -> PolicyInputs:
        """The policy inputs of an actor."""
        place = ActorPlace(
            index=index, num_actors=self._num_actors, num_envs=self._num_envs
        )
        return self.builder.make_policy_inputs(self.spec, place)

    def portable(self, parameters: Nested) -> PortablePolicy:
        """The policy as it travels to actors."""
        return make_portable(self.builder, self.spec, parameters)

    @functools.cached_property
    def trial(self) -> Trial:
        """Acts until there is a batch, and learns from it."""
        builder, agent, spec = self.builder, self.agent, self.spec
        environment = VectorEnvironment(self._factory, num_envs=self._num_envs, seed=0)
        table = builder.make_table(spec)
        replay = Replay([table], seed=0)
        training, to_host = self._functions.init(0), self._functions.to_host
        parameters = to_host(agent.parameters(training))
        inputs, random = self.inputs(), np.random.default_rng(0)
        states = [inputs.init(self._num_envs)]
        adder = store_frames_once(
            copy.deepcopy(builder.make_adder(self._num_envs)),
            table.signature,
            num_envs=self._num_envs,
        )
        writer = Writer(replay)
        sample = None
        with closing(environment):
            step = environment.reset()
            adder.start(step)
            for _ in range(_MAX_TRIAL_STEPS):
                noise = inputs.noise(random, self._num_envs)
                observation = step.observation
                output = check_output(
                    self._act(parameters, states[-1], observation, noise)
                )
                actions = self._checked_actions(output, states[-1])
                states.append(output.state)
                step = environment.step(actions)
                added = adder.add(actions, 0, step, to_host(output.extras))
                _write(writer, table.name, added)
                with suppress(NotReady):
                    sample = replay.sample(table.name, builder.batch_size)
                    break
        assert sample is not None, (
            f"{_MAX_TRIAL_STEPS} steps of {self._num_envs} environments made no batch "
            f"of {builder.batch_size} items; replay has {replay.info(table.name)}; the "
            "rate limiter asks for too many items, or the adder makes too few"
        )
        before = copy.deepcopy(training) if not agent.needs_jax else training
        after, outputs = self._update(training, sample)
        return Trial(
            *(spec, table, replay, agent, states, observation, output),
            *(sample, before, after, outputs),
        )

    @functools.cached_property
    def _functions(self) -> LearnerFunctions:
        return make_functions(self.agent)

    @functools.cached_property
    def _act(self) -> Any:
        if not self.agent.needs_jax:
            return self.agent.act
        import jax

        return jax.jit(self.agent.act)

    def _update(self, state: Nested, sample: Any) -> tuple[Nested, UpdateOutputs]:
        return self._functions.update(state, sample.data, sample.probabilities, 0, 0)

    def _checked_actions(self, output: PolicyOutput, state: Nested) -> Array:
        """The actions that `act` returned in a state, after checks of its output."""
        actions = self._actions(output, self.spec)
        for name, extra in output.extras.items():
            shape = np.shape(extra)
            assert shape[:1] == (self._num_envs,), (
                f"act returned the extra '{name}' of shape {shape}; it must have a row "
                f"for each of {self._num_envs} environments"
            )
        difference = _difference(output.state, state, "state")
        assert difference is None, (
            f"act must return a state like the one that it got: {difference}"
        )
        return actions

    def _actions(self, output: PolicyOutput, spec: EnvironmentSpec) -> Array:
        """The actions that `act` returned, as environments of a spec take them."""
        action, needs_jax = output.action, self.agent.needs_jax
        is_array = isinstance(action, np.ndarray)
        assert is_array or (needs_jax and hasattr(action, "dtype")), (
            f"act returned actions of type {type(action).__name__}; they must be one "
            "array" + ("" if needs_jax else " of NumPy, as needs_jax is False")
        )
        shape = (self._num_envs, *spec.actions.shape)
        assert action.shape == shape, (
            f"act returned actions of shape {action.shape}; {self._num_envs} "
            f"environments take {shape}"
        )
        return as_actions(action, spec.actions.dtype)

    # --- The checks -------------------------------------------------------------------

    def check_builder_is_complete_and_picklable(self) -> None:
        """The builder has what `Builder` requires, and is a value that can be sent."""
        check_builder(self.builder)
        again = pickle.loads(_pickled(self.builder, "the builder"))
        assert again == self.builder, (
            f"unpickled, {self.builder!r} is not equal to itself: make its class a "
            "frozen dataclass, and its settings values that can be compared"
        )
        self.builder.check(self.spec)
        table = self.builder.make_table(self.spec)
        check_items(table, self.builder.name)
        check_sample_size(table, self.builder.batch_size)

    def check_refuses_other_actions(self) -> None:
        """The agent refuses other kinds of actions in one line, or can choose them.

        The line begins with "NAME needs ", and has the shape of the actions.
        """
        other: specs.Array = specs.BoundedArray((2,), np.float32, -1, 1)
        if self.spec.actions.dtype.kind == "f":
            other = specs.DiscreteArray(3)
        spec = self.spec._replace(actions=other)
        needs = f"{self.builder.name} needs "
        try:
            self.builder.check(spec)
        except ConfigError as error:
            message, told = str(error), "check refuses actions with a message that "
            assert message.startswith(needs), (
                f"{told}must begin with '{needs}': {message}"
            )
            assert "\n" not in message, f"{told}must be one line: {message}"
            assert str(other.shape) in message, (
                f"{told}must have their shape {other.shape}: {message}"
            )
            return
        try:
            self._choose(spec)
        except Exception as error:
            raise AssertionError(
                f"check takes the actions {other}, and the agent cannot choose them: "
                f"{first_line(error)}; refuse them in check, with a ConfigError whose "
                f"message begins with '{needs}'"
            ) from error

    def _choose(self, spec: EnvironmentSpec) -> None:
        """Chooses actions with a new agent, and checks that they are of the spec."""
        agent, num_envs = self.builder.make_agent(spec), self._num_envs
        parameters = agent.parameters(make_functions(agent).init(0))
        inputs = self.builder.make_greedy_inputs(spec)
        noise = inputs.noise(np.random.default_rng(0), num_envs)
        observation = spec.zero_observations(num_envs)
        output = agent.act(parameters, inputs.init(num_envs), observation, noise)
        for action in self._actions(check_output(output), spec):
            spec.actions.validate(action)

    def check_actors_send_what_imports_no_jax(self) -> None:
        """Policy inputs and the adder can be pickled; unpickling imports no JAX."""
        num_envs = self._num_envs
        inputs: dict[str, PolicyInputs] = {
            "make_policy_inputs": self.inputs(),
            "make_greedy_inputs": self.builder.make_greedy_inputs(self.spec),
        }
        adder = self.builder.make_adder(num_envs)
        sent: dict[str, Any] = {**inputs, "make_adder": adder}
        pickles = {
            name: _pickled(value, f"what {name} returned")
            for name, value in sent.items()
        }
        for name, value in inputs.items():
            again = pickle.loads(pickles[name])
            why = f"what {name} returned has another initial state when it is unpickled"
            _assert_equal(again.init(num_envs), value.init(num_envs), why)
        found = first_with_jax(pickles)
        assert not found, (
            f"actors import JAX when they unpickle what {found}; take its classes and "
            "functions from modules that import no JAX"
        )

    def check_policy_outputs(self) -> None:
        """An action and extras for every environment; a state that keeps its shape."""
        trial, num_envs = self.trial, self._num_envs
        spec = trial.spec
        zeros = spec.zero_observations(num_envs)
        difference = _difference(trial.observation, zeros, "observation")
        assert difference is None, (
            f"the environments do not observe what their spec says: {difference}"
        )
        self._checked_actions(trial.output, trial.states[0])
        greedy, inputs = self.builder.make_greedy_inputs(spec), self.inputs()
        random = np.random.default_rng(0)
        for difference in (
            _difference(greedy.init(num_envs), inputs.init(num_envs), "init"),
            _difference(
                greedy.noise(random, num_envs), inputs.noise(random, num_envs), "noise"
            ),
        ):
            assert difference is None, (
                "make_greedy_inputs must give arrays like those of make_policy_inputs: "
                f"{difference}"
            )

    def check_batch_is_as_the_table_says(self) -> None:
        """Adder and table agree on the items."""
        signature, size = self.trial.table.signature, self.builder.batch_size
        for accessor, spec, batch in zip(
            optree.tree_accessors(signature),
            optree.tree_leaves(signature),
            optree.tree_leaves(self.trial.sample.data),
            strict=True,
        ):
            found, wanted = _kind(batch), f"{spec.dtype} {[size, *spec.shape]}"
            assert found == wanted, (
                f"{accessor.codify('items')} of the batch is {found}, and the table "
                f"says {wanted}: make_adder and make_table must agree"
            )

    def check_update_changes_parameters_and_keeps_types(self) -> None:
        """An update moves the parameters, and keeps shapes and types of its state."""
        trial, agent = self.trial, self.agent
        loss = float(trial.outputs.loss)
        assert np.isfinite(loss), (
            f"update returned the loss {loss} for the first batch; look for a division "
            "by zero, a logarithm of zero, or a learning rate that is too large"
        )
        before, after = agent.parameters(trial.before), agent.parameters(trial.after)
        difference = _difference(after, before, "parameters")
        assert difference is None, (
            f"an update must keep shapes and types of the parameters: {difference}"
        )
        pairs = zip(optree.tree_leaves(before), optree.tree_leaves(after), strict=True)
        assert not all(np.array_equal(x, y) for x, y in pairs), (
            "the first update changed no parameter: apply the gradients to the state, "
            "and return what they change in parameters(state)"
        )
        if agent.needs_jax:
            self._check_compiles_once()

    def _check_compiles_once(self) -> None:
        """Checks that the learner would not compile the update a second time."""
        import jax

        signature = self.builder.make_table(self.spec).signature
        size = self.builder.batch_size
        data = optree.tree_map(lambda x: np.zeros((size, *x.shape), x.dtype), signature)
        first = jax.eval_shape(self.agent.init, jax.random.key(0))
        second, _ = jax.eval_shape(
            self.agent.update, first, data, np.ones(size), jax.random.key(0)
        )
        structures: list[Any] = [jax.tree.structure(first), jax.tree.structure(second)]
        assert structures[0] == structures[1], (
            f"update must return a state like the one that it got, {structures[0]}; it "
            f"returned {structures[1]}"
        )
        places, _ = jax.tree_util.tree_flatten_with_path(first)
        for (path, x), y in zip(places, jax.tree.leaves(second), strict=True):
            before, after = _traced_kind(x), _traced_kind(y)
            assert before == after, (
                f"state{jax.tree_util.keystr(path)} is {before} before an update and "
                f"{after} after it, so the learner would compile the update again; "
                "convert it with astype, in init or in update"
            )

    def check_priorities_are_what_replay_takes(self) -> None:
        """`update` returns priorities exactly if the table samples by them."""
        trial, table = self.trial, self.trial.table
        priorities, sampler = trial.outputs.priorities, table.sampler
        if priorities is None:
            assert not isinstance(sampler, Prioritized), (
                f"update returned no priorities, and table '{table.name}' samples by "
                f"them, with {sampler}: return one for each item in UpdateOutputs"
            )
            return
        assert not isinstance(sampler, Uniform | Fifo | Lifo), (
            f"update returned priorities, and table '{table.name}' does not sample by "
            f"them, but with {sampler}: return none, or sample with Prioritized()"
        )
        shape, keys = np.shape(priorities), trial.sample.keys
        assert shape == keys.shape, (
            f"update returned priorities of shape {shape} for {len(keys)} items; "
            "return one for each item, in their order"
        )
        num_taken = trial.replay.update_priorities(
            table.name, keys, np.asarray(priorities)
        )
        assert num_taken == len(keys), (
            f"table '{table.name}' has only {num_taken} of the {len(keys)} items that "
            "it has just given, so the other priorities are lost: let it keep items "
            "that were sampled, with max_times_sampled=None"
        )

    def check_replay_comes_back_from_a_checkpoint(self) -> None:
        """The table's items can be saved and restored."""
        with tempfile.TemporaryDirectory() as folder:
            save_checkpoint(self.trial.replay, folder)
            again = Replay([self.trial.table], seed=0, restore=folder).infos()
        saved = self.trial.replay.infos()
        assert again == saved, (
            f"replay was saved as {saved}, and restored as {again}: if the table has a "
            "selector of your own, look at its methods"
        )

    def check_numpy_text_acts_like_the_agent(self) -> None:
        """The policy as text gives the actions, states and extras of `act`."""
        agent, inputs, num_envs = self.agent, self.inputs(), self._num_envs
        if not agent.needs_jax:
            return
        import jax

        random = np.random.default_rng(0)
        # As after some updates: a network may begin with zeros.
        parameters = jax.tree.map(
            lambda x: x + random.normal(scale=0.1, size=x.shape).astype(x.dtype),
            jax.device_get(agent.parameters(self.trial.before)),
        )
        policy = self.portable(parameters)
        if policy.text is None:
            return  # Actors compile `act` itself.
        by_text = policy.load_text()(parameters)
        state = inputs.init(num_envs)
        leaves = tuple(optree.tree_leaves(state))
        for _ in range(50):
            observation = self._random_observations(random)
            noise = inputs.noise(random, num_envs)
            expected = self._act(parameters, state, observation, noise)
            action, leaves, extras = by_text(leaves, observation, noise)
            state = expected.state
            found = _by_name(action, leaves, extras)
            wanted = _by_name(
                expected.action, optree.tree_leaves(state), expected.extras
            )
            for name, y in wanted.items():
                x = found[name]
                assert isinstance(x, np.ndarray) and _kind(x) == _kind(y), (
                    f"as NumPy text, act returns {name} as {_kind(x)}, and with JAX as "
                    f"{_kind(y)}: please report it, as acmelike writes this text"
                )
                why = (
                    f"as NumPy text, act returns other numbers for {name} than with "
                    "JAX: it may use its arguments only, and nothing that changes"
                )
                np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5, err_msg=why)

    def check_a_saved_policy_acts_as_the_agent(self) -> None:
        """A policy that a run has saved acts as the agent does in an evaluation."""
        trial, num_envs = self.trial, self._num_envs
        parameters = self._functions.to_host(self.agent.parameters(trial.after))
        greedy = self.builder.make_greedy_inputs(trial.spec)
        policy = self.portable(parameters)
        with tempfile.TemporaryDirectory() as folder:
            PolicyFile(
                path=f"{folder}/policy.zip",
                builder=self.builder,
                spec=trial.spec,
                environment_factory=self._factory,
            ).write(policy, parameters, {})
            saved = load_policy(folder)
        inference = Inference(policy, greedy, trial.spec, num_envs=num_envs, seed=0)
        inference.set_parameters(parameters)
        random, zeros = np.random.default_rng(0), np.zeros(num_envs, np.float32)
        for number in range(10):
            observation = self._random_observations(random)
            kind = np.full(num_envs, 1 if number else 0, np.int8)
            action, _ = inference.act(VectorStep(kind, zeros, zeros, observation))
            _assert_equal(
                saved.act_batch(observation),
                check_actions(action, trial.spec, num_envs),  # As environments clip it.
                "a policy that was saved chooses other actions: act and the inputs of "
                "make_greedy_inputs may use their arguments only, and nothing that "
                "changes",
            )

    def check_learning_resumes_from_a_saved_state(self) -> None:
        """All that learning depends on is in the state, a nest of arrays."""
        trial = self.trial
        if not self.agent.needs_jax:
            return
        import jax

        leaves, tree = jax.tree.flatten(trial.after)
        restored = jax.tree.unflatten(tree, [np.array(leaf) for leaf in leaves])
        _assert_equal(
            self._update(restored, trial.sample),
            self._update(trial.after, trial.sample),
            "from a state that was saved, update returns something else: all that it "
            "uses must be in its arguments",
        )

    def _random_observations(self, random: np.random.Generator) -> Any:
        return optree.tree_map(
            lambda spec: _random_array(spec, self._num_envs, random),
            self.spec.observations,
        )


def _random_array(
    spec: specs.Array, num_envs: int, random: np.random.Generator
) -> Array:
    shape = num_envs, *spec.shape
    if isinstance(spec, specs.BoundedArray) and spec.dtype.kind in "iu":
        return random.integers(
            spec.minimum, spec.maximum, shape, dtype=spec.dtype, endpoint=True
        )
    return random.normal(size=shape).astype(spec.dtype)


def _write(writer: Writer, table: str, added: AdderOutput) -> None:
    """Writes an adder's output to replay, which refuses items unlike the table's."""
    items = [Items(table, added.items, added.priorities)]
    try:
        writer.write(
            [] if added.items is None else items,
            steps=added.steps,
            keep_from=added.keep_from,
        )
    except ValueError as error:
        raise AssertionError(
            f"replay refused the items of the adder: {first_line(error)}; make_adder, "
            "make_table and the extras of act must agree"
        ) from error


def _pickled(value: Any, what: str) -> bytes:
    """The value as it is sent to another process."""
    try:
        data: bytes = cloudpickle.dumps(value)
    except Exception as error:
        raise AssertionError(
            f"{what} cannot be sent to another process: {first_line(error)}; let it "
            "hold settings, arrays and functions only"
        ) from error
    return data


def _by_name(
    action: Any, state: Sequence[Any], extras: Mapping[str, Any]
) -> dict[str, Any]:
    """The arrays that a policy returned, by what a message calls them."""
    return {
        "the action": action,
        **{f"array {index} of the state": leaf for index, leaf in enumerate(state)},
        **{f"the extra '{name}'": extra for name, extra in extras.items()},
    }


def _kind(leaf: Any) -> str:
    """Type and shape of an array, as text."""
    return f"{getattr(leaf, 'dtype', type(leaf).__name__)} {list(np.shape(leaf))}"


def _traced_kind(leaf: Any) -> str:
    """Type and shape of an array that JAX traces; its type may be weak."""
    return f"{_kind(leaf)}{', weakly typed' if leaf.weak_type else ''}"


def _difference(found: Nested, wanted: Nested, name: str) -> str | None:
    """Where nests differ in their structure, types or shapes; None if nowhere."""
    nests = optree.tree_structure(found), optree.tree_structure(wanted)
    if nests[0] != nests[1]:
        return f"{name} is the nest {nests[0]}, not {nests[1]}"
    accessors = optree.tree_accessors(found)
    pairs = zip(optree.tree_leaves(found), optree.tree_leaves(wanted), strict=True)
    for accessor, (x, y) in zip(accessors, pairs, strict=True):
        if _kind(x) != _kind(y):
            return f"{accessor.codify(name)} is {_kind(x)}, not {_kind(y)}"
    return None


def _assert_equal(found: Nested, expected: Nested, why: str) -> None:
    compare = functools.partial(np.testing.assert_array_equal, err_msg=why)
    optree.tree_map_(compare, found, expected)

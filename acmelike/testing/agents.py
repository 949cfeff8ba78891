"""The contract of an agent, as checks that its author can run.

With pytest, in a test file of your own:

    from acmelike.testing import AgentContract

    CONTRACT = AgentContract(MyBuilder(config=SMALL), CatchFactory())

    @pytest.mark.parametrize("check", CONTRACT.checks(), ids=lambda c: c.__name__)
    def test_my_agent(check):
        check()

Without pytest, call each of `CONTRACT.checks()`; one that fails raises. Give the agent
small networks and batches: what it does is compiled.
"""

from __future__ import annotations

import copy
import functools
import pickle
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import cloudpickle
import jax
import numpy as np
import optree
from dm_env import specs

from acmelike.actors.inference import Inference
from acmelike.adders import store_frames_once
from acmelike.agent import (
    ActorPlace,
    Agent,
    Builder,
    PolicyInputs,
    PolicyOutput,
    UpdateOutputs,
    check_builder,
    check_items,
)
from acmelike.environments import EnvironmentFactory, VectorEnvironment
from acmelike.errors import ConfigError, NotReady
from acmelike.evaluation.policy_file import PolicyFile
from acmelike.evaluation.saved_policy import load_policy
from acmelike.learners.functions import LearnerFunctions, make_functions
from acmelike.policies import PortablePolicy, make_portable
from acmelike.replay import (
    Items,
    Replay,
    TableConfig,
    Writer,
    check_sample_size,
    save_checkpoint,
)
from acmelike.types import Array, EnvironmentSpec, Nested, VectorStep

# In which there has to be a batch.
_MAX_TRIAL_STEPS = 20_000


class Trial(NamedTuple):
    """The results of one short trial: acting, one sample, one update.

    Attributes:
      spec: of the environments.
      table: that items were written to.
      replay: that has it.
      agent: its functions.
      states: of the policy, before each step and after the last.
      observation: `[K, ...]`, the last one that was acted on.
      output: of the policy, for that.
      sample: the first batch.
      before: the training state before the update.
      after: and after it.
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
      num_envs: K, of an actor.
      num_actors: in a program.
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
        training = self._functions.init(0)
        parameters = self._to_host(agent.parameters(training))
        inputs, random = self.inputs(), np.random.default_rng(0)
        states = [inputs.init(self._num_envs)]
        adder = store_frames_once(
            copy.deepcopy(builder.make_adder(self._num_envs)),
            table.signature,
            num_envs=self._num_envs,
        )
        writer = Writer(replay)
        step = environment.reset()
        adder.start(step)
        sample = None
        for _ in range(_MAX_TRIAL_STEPS):
            noise = inputs.noise(random, self._num_envs)
            observation = step.observation
            output = self._act(parameters, states[-1], observation, noise)
            states.append(output.state)
            actions = np.asarray(output.action, spec.actions.dtype)
            step = environment.step(actions)
            added = adder.add(actions, 0, step, self._to_host(output.extras))
            items = [Items(table.name, added.items, added.priorities)]
            writer.write(
                [] if added.items is None else items,
                steps=added.steps,
                keep_from=added.keep_from,
            )
            with suppress(NotReady):
                sample = replay.sample(table.name, builder.batch_size)
                break
        environment.close()
        assert sample is not None, (
            f"{_MAX_TRIAL_STEPS} steps of {self._num_envs} environments made no batch "
            f"of {builder.batch_size} items; replay has {replay.info(table.name)}"
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
        return jax.jit(self.agent.act) if self.agent.needs_jax else self.agent.act

    def _update(self, state: Nested, sample: Any) -> tuple[Nested, UpdateOutputs]:
        return self._functions.update(state, sample.data, sample.probabilities, 0, 0)

    def _to_host(self, nest: Nested) -> Nested:
        return jax.device_get(nest) if self.agent.needs_jax else nest

    # --- The checks -------------------------------------------------------------------

    def check_builder_is_complete_and_picklable(self) -> None:
        """It has what `Builder` asks for, and is a value that can be sent."""
        check_builder(self.builder)
        assert pickle.loads(cloudpickle.dumps(self.builder)) == self.builder
        self.builder.check(self.spec)
        table = self.builder.make_table(self.spec)
        check_items(table, self.builder.name)
        check_sample_size(table, self.builder.batch_size)

    def check_refuses_other_actions(self) -> None:
        """Actions of another kind are refused in one line, or the agent chooses them.

        The line begins with "NAME needs ", and has the shape of these actions.
        """
        other: specs.Array = specs.BoundedArray((2,), np.float32, -1, 1)
        if self.spec.actions.dtype.kind == "f":
            other = specs.DiscreteArray(3)
        spec = self.spec._replace(actions=other)
        try:
            self.builder.check(spec)
        except ConfigError as error:
            message, needs = str(error), f"{self.builder.name} needs "
            assert message.startswith(needs), f"begin it with '{needs}': {message}"
            assert "\n" not in message, f"write it in one line: {message}"
            assert str(other.shape) in message, f"say {other.shape} in it: {message}"
        else:
            self._choose(spec)

    def _choose(self, spec: EnvironmentSpec) -> None:
        """Chooses actions with a new agent, and checks that they are of the spec."""
        agent, num_envs = self.builder.make_agent(spec), self._num_envs
        parameters = agent.parameters(make_functions(agent).init(0))
        inputs = self.builder.make_greedy_inputs(spec)
        noise = inputs.noise(np.random.default_rng(0), num_envs)
        observation = spec.zero_observations(num_envs)
        output = agent.act(parameters, inputs.init(num_envs), observation, noise)
        for action in np.asarray(output.action, spec.actions.dtype):
            spec.actions.validate(action)

    def check_actors_send_what_imports_no_jax(self) -> None:
        """Inputs of the policy and the adder are picklable."""
        for inputs in (self.inputs(), self.builder.make_greedy_inputs(self.spec)):
            again, num_envs = pickle.loads(pickle.dumps(inputs)), self._num_envs
            _assert_equal(inputs.init(num_envs), again.init(num_envs))
        pickle.dumps(self.builder.make_adder(self._num_envs))

    def check_policy_outputs(self) -> None:
        """An action and extras for every environment; a state that keeps its shape."""
        trial, num_envs = self.trial, self._num_envs
        spec = trial.spec
        zeros = spec.zero_observations(num_envs)
        assert _looks(trial.observation) == _looks(zeros)
        # Of a type that becomes the specification's.
        assert trial.output.action.shape == (num_envs, *spec.actions.shape)
        assert np.can_cast(trial.output.action.dtype, spec.actions.dtype, "same_kind")
        assert all(len(extra) == num_envs for extra in trial.output.extras.values())
        first, *others = map(_looks, trial.states)
        assert all(other == first for other in others)
        greedy = self.builder.make_greedy_inputs(spec)
        assert _looks(greedy.init(num_envs)) == first
        random = np.random.default_rng(0)
        noise = self.inputs().noise(random, num_envs)
        assert _looks(greedy.noise(random, num_envs)) == _looks(noise)

    def check_batch_is_as_the_table_says(self) -> None:
        """Adder and table agree on the items."""
        size = self.builder.batch_size
        for spec, batch in zip(
            optree.tree_leaves(self.trial.table.signature),
            optree.tree_leaves(self.trial.sample.data),
            strict=True,
        ):
            assert (batch.shape, batch.dtype) == ((size, *spec.shape), spec.dtype)

    def check_update_changes_parameters_and_keeps_types(self) -> None:
        """An update moves the parameters, and keeps shapes and types of its state."""
        trial, agent = self.trial, self.agent
        assert np.shape(trial.outputs.loss) == () and np.isfinite(trial.outputs.loss)
        for name, value in trial.outputs.metrics.items():
            assert np.shape(value) == (), f"the metric {name} is no scalar"
        before, after = agent.parameters(trial.before), agent.parameters(trial.after)
        assert _looks(before) == _looks(after)
        pairs = zip(optree.tree_leaves(before), optree.tree_leaves(after), strict=True)
        assert not all(np.array_equal(x, y) for x, y in pairs)
        if not agent.needs_jax:
            return
        # Or the learner would compile the update again.
        signature = self.builder.make_table(trial.spec).signature
        size = self.builder.batch_size
        data = optree.tree_map(lambda x: np.zeros((size, *x.shape), x.dtype), signature)
        first = jax.eval_shape(agent.init, jax.random.key(0))
        second, _ = jax.eval_shape(
            agent.update, first, data, np.ones(size), jax.random.key(0)
        )
        structures: list[Any] = [jax.tree.structure(first), jax.tree.structure(second)]
        assert structures[0] == structures[1]
        for x, y in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
            assert (x.shape, x.dtype, x.weak_type) == (y.shape, y.dtype, y.weak_type)

    def check_priorities_are_what_replay_takes(self) -> None:
        """New priorities come exactly where the table samples by them."""
        trial = self.trial
        priorities = trial.outputs.priorities
        assert (priorities is not None) == hasattr(trial.table.sampler, "exponent")
        if priorities is not None:
            keys, name = trial.sample.keys, trial.table.name
            assert priorities.shape == keys.shape
            values = np.asarray(priorities)
            assert trial.replay.update_priorities(name, keys, values) == len(keys)

    def check_replay_comes_back_from_a_checkpoint(self) -> None:
        """The table's items can be saved and restored."""
        with tempfile.TemporaryDirectory() as folder:
            save_checkpoint(self.trial.replay, folder)
            again = Replay([self.trial.table], seed=0, restore=folder)
            assert again.infos() == self.trial.replay.infos()

    def check_numpy_text_acts_like_the_agent(self) -> None:
        """The policy as text gives the actions, states and extras of `act`."""
        agent, inputs, num_envs = self.agent, self.inputs(), self._num_envs
        if not agent.needs_jax:
            return
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
            found = [action, *leaves, *(extras[name] for name in sorted(extras))]
            wanted = [
                expected.action,
                *optree.tree_leaves(state),
                *(expected.extras[name] for name in sorted(expected.extras)),
            ]
            for x, y in zip(found, wanted, strict=True):
                assert isinstance(x, np.ndarray)
                assert (x.shape, x.dtype) == (y.shape, y.dtype)
                np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)

    def check_a_saved_policy_acts_as_the_agent(self) -> None:
        """What a run leaves acts as the agent does when it is evaluated."""
        trial, num_envs = self.trial, self._num_envs
        parameters = self._to_host(self.agent.parameters(trial.after))
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
            np.testing.assert_array_equal(saved.act_batch(observation), action)

    def check_learning_resumes_from_a_saved_state(self) -> None:
        """All that learning depends on is in the state, a nest of arrays."""
        trial = self.trial
        if not self.agent.needs_jax:
            return
        leaves, tree = jax.tree.flatten(trial.after)
        restored = jax.tree.unflatten(tree, [np.array(leaf) for leaf in leaves])
        _assert_equal(
            self._update(restored, trial.sample),
            self._update(trial.after, trial.sample),
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


def _looks(nest: Nested) -> Any:
    """Shapes and types of all arrays of a nest, and the nest."""
    leaves, tree = optree.tree_flatten(nest)
    return tree, [(np.shape(leaf), leaf.dtype) for leaf in leaves]


def _assert_equal(found: Nested, expected: Nested) -> None:
    optree.tree_map_(np.testing.assert_array_equal, found, expected)

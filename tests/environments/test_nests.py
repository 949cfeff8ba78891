"""Observations of several arrays, and what is said of those that break their spec."""

import collections

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acmelike.environments import (
    FrameStack,
    MaskedObservation,
    VectorEnvironment,
    make_environment_spec,
    observation_shape,
)
from acmelike.environments.nests import Leaves, WrongObservation, plain
from acmelike.errors import ConfigError, EnvironmentFault
from acmelike.types import MultiDiscreteArray, OffsetDiscreteArray

SPEC = collections.OrderedDict(
    place=specs.Array((2,), np.float32),
    arm=[specs.Array((), np.float64), specs.DiscreteArray(3)],
)


class Robot(dm_env.Environment):
    """Observes its step everywhere, by the spec; `change` changes what it returns."""

    def __init__(self, change=lambda o: o):
        self.change, self.time = change, 0

    def reset(self):
        self.time = 0
        return dm_env.restart(self._observe())

    def step(self, action):
        self.time += 1
        make = dm_env.termination if self.time % 3 == 0 else dm_env.transition
        return make(1.0, self._observe())

    def _observe(self):
        place = np.full(2, self.time, np.float32)
        observation = {"place": place, "arm": [float(self.time), self.time % 3]}
        return self.change(collections.OrderedDict(observation))

    def observation_spec(self):
        return SPEC

    def action_spec(self):
        return specs.DiscreteArray(2)


def vector_of(*environments):
    waiting = list(environments)
    return VectorEnvironment(
        lambda seed: waiting.pop(0), num_envs=len(environments), seed=0
    )


def test_they_are_nested_as_the_spec_says_in_dicts_and_tuples():
    vector = vector_of(Robot(), Robot())
    vector.reset()
    observation = vector.step([0, 0]).observation
    assert type(observation) is dict and type(observation["arm"]) is tuple
    np.testing.assert_array_equal(observation["place"], [[1, 1], [1, 1]])
    height, joint = observation["arm"]
    assert (height.dtype, joint.dtype) == (np.float64, np.int32)
    assert height.tolist() == [1, 1] and joint.tolist() == [1, 1]


def test_old_steps_do_not_change():
    vector = vector_of(Robot())
    steps = [vector.reset(), vector.step([0]), vector.step([0])]
    assert [step.observation["place"][0, 0] for step in steps] == [0, 1, 2]


def without_place(observation):
    del observation["place"]
    return observation


def put(name, value):
    def change(observation):
        return observation | {name: value}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_place, "returned an observation without 'place'"),
        (lambda o: o["place"], "returned an observation without 'arm/0'"),
        (put("arm", [0.0]), "returned an observation without 'arm/1'"),
        (
            put("place", np.zeros(3, np.float32)),
            "returned an observation of shape (3,) in 'place', its specification says "
            "(2,)",
        ),
        (
            put("arm", [0.0, 1.5]),
            "returned an observation of dtype float64 in 'arm/1', its specification "
            "says int32",
        ),
        (
            put("arm", [0.0, 2**40]),
            "returned an observation of dtype int64, whose numbers int32 cannot hold "
            "in 'arm/1', its specification says int32",
        ),
        (
            put("place", [[0.0], [0.0, 1.0]]),
            "returned an observation of type list, which is no array in 'place', its "
            "specification says (2,)",
        ),
    ],
)
def test_what_breaks_the_spec_is_named(change, message):
    vector = vector_of(Robot(), Robot(change))
    with pytest.raises(EnvironmentFault) as caught:
        vector.reset()
    assert str(caught.value) == f"environment 1 {message}"


def test_types_are_cast_as_the_spec_says():
    place = put("place", np.array([0.5, 1.5]))  # In double precision.
    step = vector_of(Robot(place)).reset()
    assert step.observation["place"].dtype == np.float32
    assert step.observation["place"].tolist() == [[0.5, 1.5]]


@pytest.mark.parametrize(
    ("spec", "seen", "range_"),
    [
        (specs.DiscreteArray(3), 3, "0 to 2"),
        (
            MultiDiscreteArray((2,), np.int64, [0, 0], [2, 1]),
            [3, 0],
            "[0, 0] to [2, 1]",
        ),
        (specs.BoundedArray((), np.int8, 1, 4), 0, "1 to 4"),
    ],
)
def test_a_category_that_the_spec_does_not_have_is_a_fault(spec, seen, range_):
    leaves = Leaves(spec)
    good = np.stack([np.broadcast_to(spec.minimum, spec.shape)] * 2).astype(spec.dtype)
    leaves.check_finite([good], 1, [0, 0])
    bad = good.copy()
    bad[1] = seen
    with pytest.raises(EnvironmentFault) as caught:
        leaves.check_finite([bad], 1, [0, 0])
    assert str(caught.value) == (
        f"environment 1 returned an observation with {seen} in step 1 of an episode; "
        f"its specification says {range_}"
    )


def test_each_category_of_a_stack_is_checked():
    spec = specs.BoundedArray((2,), np.int64, 0, 2)
    seen = [np.array([[0, 2], [1, 3]])]
    with pytest.raises(EnvironmentFault) as caught:
        Leaves(spec, num_frames=2).check_finite(seen, 1, [0, 0])
    assert str(caught.value).startswith("environment 1 returned an observation with [1")
    # Else they are numbers, such as coordinates.
    Leaves(spec).check_finite(seen, 1, [0, 0])


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        (np.int64, [-(2**31), 2**31 - 1], 2**31),
        (np.int64, [-(2**31), 2**31 - 1], -(2**31) - 1),
        (np.uint64, [0, 2**32 - 1], 2**32),
    ],
)
def test_a_whole_number_that_jax_would_change_is_a_fault(dtype, good, bad):
    leaves = Leaves({"time": specs.Array((2,), dtype)})
    leaves.check_finite([np.array([good, good], dtype)], 3, [0, 0])
    with pytest.raises(EnvironmentFault) as caught:
        leaves.check_finite([np.array([good, [1, bad]], dtype)], 3, [0, 0])
    assert str(caught.value) == (
        f"environment 1 returned an observation with {bad} in 'time' in step 3 of an "
        "episode; networks take whole numbers of 32 bits; return it as a float"
    )


def test_a_number_with_one_bound_is_no_category():
    leaves = Leaves(specs.BoundedArray((), np.float32, -np.inf, 5))
    leaves.check_finite([np.float32([7, 8])], 1, [0, 0])


@pytest.mark.parametrize("bad", [1e39, -1e39])
def test_a_number_that_single_precision_does_not_have_is_a_fault(bad):
    leaves = Leaves(specs.Array((2,), np.float64))
    leaves.check_finite([np.array([[1e38, -1e38]])], 1, [0])
    with pytest.raises(EnvironmentFault, match="must be finite as float32") as caught:
        leaves.check_finite([np.array([[0.0, bad]])], 1, [0])
    assert f"with {bad} in step 1" in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("step", [2, 3])  # In an episode, and its last one.
def test_what_is_not_finite_is_named_with_environment_array_and_step(bad, step):
    def change(observation):
        if observation["arm"][0] == step:
            observation["arm"] = [bad, 0]
        return observation

    vector = vector_of(Robot(), Robot(change))
    vector.reset()
    for _ in range(step - 1):
        vector.step([0, 0])
    with pytest.raises(EnvironmentFault) as caught:
        vector.step([0, 0])
    assert str(caught.value) == (
        f"environment 1 returned an observation with {bad} in 'arm/0' in step {step} "
        "of an episode; its numbers must be finite as float32"
    )


def test_steps_are_those_of_the_episode():
    episodes = []

    def change(observation):
        is_first = observation["arm"][0] == 0
        episodes.append(is_first)
        if sum(episodes) == 2 and not is_first:
            return observation | {"arm": [np.nan, 0]}
        return observation

    vector = vector_of(Robot(change))
    for _ in range(5):  # A whole episode of three steps, and the next one's first.
        vector.step([0])
    with pytest.raises(EnvironmentFault, match="in step 1 of an episode"):
        vector.step([0])


def test_observations_without_a_number_are_refused():
    environment = Robot()
    environment.observation_spec = lambda: {"x": specs.Array((0,), np.float32)}
    with pytest.raises(ConfigError, match="observations have no numbers"):
        vector_of(environment)


def test_two_arrays_with_one_name_are_refused():
    """It is also the name of their column in replay."""
    environment, array = Robot(), specs.Array((), np.float32)
    environment.observation_spec = lambda: {"a/b": array, "a": {"b": array}}
    with pytest.raises(ConfigError, match=r"two arrays .* have the name 'a/b'"):
        vector_of(environment)


def test_a_part_that_is_no_array_is_refused():
    environment = Robot()
    environment.observation_spec = lambda: {"x": "text"}
    with pytest.raises(ConfigError, match="no array in 'x': text"):
        vector_of(environment)


def test_whole_numbers_between_bounds_are_discrete_actions():
    environment = Robot()
    environment.action_spec = lambda: specs.BoundedArray((), np.int32, 0, 3, "pedal")
    spec = make_environment_spec(environment)
    assert spec.actions == specs.DiscreteArray(4, np.int32, "pedal")
    environment.action_spec = lambda: specs.BoundedArray((), np.int32, 2, 3, "pedal")
    spec = make_environment_spec(environment)
    assert spec.actions == OffsetDiscreteArray(2, 2, np.dtype(np.int32), "pedal")
    environment.action_spec = lambda: specs.BoundedArray((), np.int8, -128, 127)
    assert make_environment_spec(environment).actions.num_values == 256


def test_an_agent_of_one_array_refuses_several():
    spec = make_environment_spec(Robot())
    with pytest.raises(ConfigError) as caught:
        observation_shape(spec, agent="mine")
    assert str(caught.value) == (
        "mine needs observations of one array; this environment's have several: "
        "'arm/0', 'arm/1', 'place'"
    )
    one = spec._replace(observations=SPEC["place"])
    assert observation_shape(one, agent="mine") == (2,)


def test_a_wrapper_of_one_array_refuses_several():
    with pytest.raises(ConfigError, match="several arrays"):
        MaskedObservation(Robot(), indices=(0,))


def test_stacks_of_several_arrays_are_nested_as_the_arrays():
    vector = vector_of(FrameStack(Robot(), num_frames=2))
    assert vector.spec.num_frames == 2
    vector.reset()
    observation = vector.step([0]).observation
    assert type(observation) is dict and type(observation["arm"]) is tuple
    height, joint = observation["arm"]
    assert observation["place"].tolist() == [[[0, 0], [1, 1]]]
    assert height.tolist() == joint.tolist() == [[0, 1]]
    assert (height.dtype, joint.dtype) == (np.float64, np.int32)


def test_a_mask_is_no_stack_of_categories():
    mask = specs.BoundedArray((2,), np.int8, 0, 1)
    numbers = specs.BoundedArray((2,), np.int64, 0, 1)
    leaves = Leaves({"action_mask": mask, "number": numbers}, num_frames=2)
    high, low = np.array([[2, 1]], np.int8), np.array([[0, 1]])
    leaves.check_finite([high, low], 1, [0])  # As without stacks.
    with pytest.raises(EnvironmentFault, match=r"with \[0, 2\] in 'number' in step 1"):
        leaves.check_finite([high, 2 * low], 1, [0])


def test_zeros_are_nested_as_observations():
    zeros = make_environment_spec(Robot()).zero_observations(5)
    assert zeros["place"].shape == (5, 2) and zeros["arm"][1].dtype == np.int32


def test_leaves_of_many():
    leaves = Leaves(plain(SPEC))
    observation = {"place": np.zeros((4, 2)), "arm": (np.zeros(4), np.zeros(4, int))}
    shapes = [array.shape for array in leaves.of_many(observation)]
    assert shapes == [(4,), (4,), (4, 2)]
    with pytest.raises(WrongObservation, match="of K environments; act takes one"):
        leaves.of_many({"place": 1.0, "arm": (1.0, 1)})
    with pytest.raises(WrongObservation, match=r"shape \(3,\) in 'arm/1'"):
        leaves.of_many(observation | {"arm": (np.zeros(4), np.zeros(3, int))})
    with pytest.raises(WrongObservation, match="list, which is no array in 'arm/0'"):
        leaves.of_many(observation | {"arm": ([[0.0], [0.0, 1.0]], np.zeros(4, int))})

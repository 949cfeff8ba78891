"""K environments as one: order, copies, seeds, and faults that say who."""

import dm_env
import numpy as np
import pytest
from dm_env import specs

from acmelike.environments import (
    CatchFactory,
    FrameStackFactory,
    GymnasiumVector,
    GymnasiumVectorFactory,
    RestartingFactory,
    StepTimeoutFactory,
    TimeLimit,
    TimeLimitFactory,
    VectorEnvironment,
    make_environment_factory,
    make_vector_environment,
)
from acmelike.errors import ConfigError, EnvironmentFault, RpcClosed
from acmelike.types import (
    EnvironmentSpec,
    MultiDiscreteArray,
    OffsetDiscreteArray,
    VectorStep,
)

FIRST, MID, LAST = 0, 1, 2


class Counting(dm_env.Environment):
    """Observes the number of its step in one buffer, which it reuses.

    `returned` replaces what the next step returns; an exception is raised.
    """

    def __init__(self, length=2, end=dm_env.termination, shape=(4,)):
        self.length, self.end = length, end
        self.buffer = np.zeros(shape, np.float32)
        self.actions = []
        self.returned = None
        self.close_error = None
        self.is_closed = False

    def reset(self):
        self.buffer[:] = 0
        if self.returned is not None:
            return self._returned()
        return dm_env.restart(self.buffer)

    def step(self, action):
        self.actions.append(action)
        if self.returned is not None:
            return self._returned()
        self.buffer += 1
        if self.buffer[0] == self.length:
            return self.end(1.0, self.buffer)
        return dm_env.transition(1.0, self.buffer)

    def _returned(self):
        if isinstance(self.returned, Exception):
            raise self.returned
        return self.returned

    def close(self):
        self.is_closed = True
        if self.close_error is not None:
            raise self.close_error

    def observation_spec(self):
        return specs.Array(self.buffer.shape, np.float32)

    def action_spec(self):
        return specs.BoundedArray((2,), np.float32, -1, 1)


def make_vector(*environments):
    """A vector of these environments, and not of new ones."""
    waiting = list(environments)
    return VectorEnvironment(
        lambda seed: waiting.pop(0), num_envs=len(environments), seed=0
    )


def actions_for(vector):
    return np.zeros((vector.num_envs, *vector.spec.actions.shape), np.float32)


def test_arrays_have_a_leading_k_and_the_dtypes_of_a_vector_step():
    vector = make_vector(Counting(), Counting(), Counting())
    for step in (vector.reset(), vector.step(actions_for(vector))):
        assert step.step_type.shape == step.reward.shape == step.discount.shape == (3,)
        assert step.observation.shape == (3, 4)
        assert [array.dtype for array in step] == [
            np.int8,
            np.float32,
            np.float32,
            np.float32,
        ]


def test_episodes_end_each_in_its_time_and_begin_again():
    vector = make_vector(Counting(length=2), Counting(length=3, end=dm_env.truncation))
    steps = [vector.reset(), *(vector.step(actions_for(vector)) for _ in range(5))]
    assert [step.step_type.tolist() for step in steps] == [
        [FIRST, FIRST],
        [MID, MID],
        [LAST, MID],
        [FIRST, LAST],
        [MID, FIRST],
        [LAST, MID],
    ]
    assert [step.reward.tolist() for step in steps] == [
        [0, 0],
        [1, 1],
        [1, 1],
        [0, 1],
        [1, 0],
        [1, 1],
    ]
    assert [step.discount.tolist() for step in steps] == [
        [1, 1],
        [1, 1],
        [0, 1],
        [1, 1],
        [1, 1],
        [0, 1],
    ]
    assert [step.num_env_steps() for step in steps] == [0, 2, 2, 1, 1, 2]


def test_the_action_of_a_step_that_begins_an_episode_is_ignored():
    environment = Counting(length=1)
    vector = make_vector(environment)
    vector.reset()
    for value in (0.25, 0.5, 0.75):
        vector.step(np.full((1, 2), value))
    actions = [action.tolist() for action in environment.actions]
    assert actions == [[0.25, 0.25], [0.75, 0.75]]


def test_a_step_before_reset_begins_the_episodes():
    vector = make_vector(Counting())
    assert vector.step(actions_for(vector)).first().all()


def test_reset_in_the_middle_begins_every_episode_again():
    vector = make_vector(Counting(length=5), Counting(length=5))
    vector.reset()
    vector.step(actions_for(vector))
    step = vector.reset()
    assert step.first().all()
    assert not step.observation.any()


def test_a_buffer_that_an_environment_reuses_does_not_change_old_steps():
    vector = make_vector(Counting(length=9), Counting(length=9))
    steps = [vector.reset(), *(vector.step(actions_for(vector)) for _ in range(3))]
    assert [step.observation[1, 0] for step in steps] == [0, 1, 2, 3]


def test_an_environment_gets_its_own_copy_of_its_action():
    environment = Counting()
    vector = make_vector(environment)
    vector.reset()
    actions = actions_for(vector)
    actions.flags.writeable = False
    vector.step(actions)
    environment.actions[0][:] = 9
    assert not actions.any()


def test_actions_are_cast_within_their_kind():
    vector = VectorEnvironment(make_environment_factory("Catch"), num_envs=2, seed=0)
    vector.reset()
    vector.step(np.zeros(2, np.int32))
    with pytest.raises(TypeError, match="same_kind"):
        vector.step(np.zeros(2, np.float32))


def test_continuous_actions_are_clipped_to_their_bounds():
    environment = Counting()
    vector = make_vector(environment)
    vector.reset()
    given = np.float32([[-7.0, 0.5]])
    vector.step(given)
    assert environment.actions[0].tolist() == [-1.0, 0.5]
    assert given.tolist() == [[-7.0, 0.5]]


def test_an_action_that_is_nan_is_refused_as_the_policys():
    vector = make_vector(Counting(), Counting())
    vector.reset()
    with pytest.raises(ValueError, match="actions have nan: the policy returned it"):
        vector.step(np.float32([[0, 0], [0, np.nan]]))


@pytest.mark.parametrize(
    ("spec", "actions", "words"),
    [
        (specs.DiscreteArray(3), [0, 7], "0 to 2, not [7]"),
        (specs.DiscreteArray(3), [-1, 3], "0 to 2, not [-1, 3]"),
        # Cast to 8 bits it is 44.
        (specs.DiscreteArray(100, np.int8), [300, 44], "0 to 99, not [300]"),
        # Agents count from 0.
        (OffsetDiscreteArray(5, 3, np.int64, None), [5, 0], "0 to 2, not [5]"),
        (
            MultiDiscreteArray((2,), np.int64, [0, 5], [2, 6]),
            [[2, 6], [0, 0]],
            "[0, 5] to [2, 6], not [[0, 0]]",
        ),
    ],
)
def test_a_discrete_action_out_of_its_range_is_refused_as_the_policys(
    spec, actions, words
):
    environments = [Counting(), Counting()]
    for environment in environments:
        environment.action_spec = lambda: spec
    vector = make_vector(*environments)
    vector.reset()
    with pytest.raises(ValueError) as caught:
        vector.step(actions)
    assert str(caught.value) == f"actions are from {words}: the policy returned them"
    assert not environments[0].actions


def test_an_action_that_is_ignored_may_be_out_of_its_range():
    environments = [Counting(), Counting()]
    for environment in environments:
        environment.action_spec = lambda: specs.DiscreteArray(3)
    vector = make_vector(*environments)
    assert vector.step([-1, 3]).first().all()
    with pytest.raises(ValueError, match=r"from 0 to 2, not \[-1, 3\]"):
        vector.step([-1, 3])


@pytest.mark.parametrize("shape", [(2,), (1, 2), (2, 3), ()])
def test_actions_of_another_shape_are_refused(shape):
    vector = make_vector(Counting(), Counting())
    vector.reset()
    with pytest.raises(ValueError, match=r"2 environments need \(2, 2\)"):
        vector.step(np.zeros(shape, np.float32))


@pytest.mark.parametrize("name", ["Catch", "CartPole-v1"])
def test_seeds(name):
    def starts(seed):
        factory = make_environment_factory(name)
        vector = VectorEnvironment(factory, num_envs=3, seed=seed)
        steps = [vector.reset(), *(vector.step([0, 0, 0]) for _ in range(40))]
        return np.stack([step.observation for step in steps])

    one = starts(5)
    np.testing.assert_array_equal(one, starts(5))
    assert not np.array_equal(one, starts(6))
    for k, other in ((0, 1), (0, 2), (1, 2)):
        assert not np.array_equal(one[:, k], one[:, other])


def test_the_seed_of_an_environment_does_not_depend_on_how_many_there_are():
    def seeds(num_envs):
        seen = []

        def factory(seed):
            seen.append(seed)
            return Counting()

        VectorEnvironment(factory, num_envs=num_envs, seed=1)
        return seen

    assert seeds(8)[:3] == seeds(3)
    assert len(set(seeds(100))) == 100


GOOD = np.zeros(4, np.float32)
FAULTS = [
    (
        dm_env.transition(1.0, np.zeros(3, np.float32)),
        "environment 2 returned an observation of shape (3,), "
        "its specification says (4,)",
    ),
    (
        dm_env.transition(1.0, np.zeros(4, np.complex64)),
        "environment 2 returned an observation of dtype complex64, "
        "its specification says float32",
    ),
    (
        dm_env.transition(1.0, np.float32([0, 0, np.nan, 0])),
        "environment 2 returned an observation with nan in step 1 of an episode; "
        "its numbers must be finite",
    ),
    (
        dm_env.transition(1.0, np.float32(0)),
        "environment 2 returned an observation of shape (), "
        "its specification says (4,)",
    ),
    (dm_env.transition(float("nan"), GOOD), "environment 2 returned reward nan and"),
    (dm_env.transition(float("-inf"), GOOD), "environment 2 returned reward -inf and"),
    (dm_env.transition(None, GOOD), "environment 2 returned reward None and"),
    (dm_env.transition("much", GOOD), "environment 2 returned reward much and"),
    (dm_env.transition(np.ones(2), GOOD), "environment 2 returned reward [1. 1.] and"),
    (
        dm_env.transition(1.0, GOOD, None),
        "environment 2 returned reward 1.0 and discount",
    ),
    (
        dm_env.transition(1.0, GOOD, 1.5),
        "and discount 1.5; a reward is a finite number",
    ),
    (dm_env.transition(1.0, GOOD, -0.5), "and discount -0.5; a reward is a finite"),
    (
        dm_env.restart(GOOD),
        "environment 2 returned a FIRST step in the middle of an episode",
    ),
    (
        dm_env.TimeStep(7, 1.0, 1.0, GOOD),
        "environment 2 returned the step type 7, which is not FIRST, MID or LAST",
    ),
    (
        dm_env.TimeStep(None, 1.0, 1.0, GOOD),
        "environment 2 returned the step type None, which is not FIRST, MID or LAST",
    ),
    (
        (GOOD, 1.0, False, {}),  # As of Gym's first version.
        "environment 2 returned tuple of step, which is no dm_env.TimeStep",
    ),
    (
        (GOOD, 1.0, False, False, {}),  # As of Gymnasium.
        "environment 2 returned tuple of step, which is no dm_env.TimeStep",
    ),
    (ValueError("too far"), "environment 2 raised ValueError in step: too far"),
    (KeyError(), "environment 2 raised KeyError in step"),
]


@pytest.mark.parametrize(("returned", "message"), FAULTS)
def test_a_fault_in_a_step_names_the_environment(returned, message):
    environments = [Counting(length=9) for _ in range(4)]
    vector = make_vector(*environments)
    vector.reset()
    environments[2].returned = returned
    with pytest.raises(EnvironmentFault) as caught:
        vector.step(actions_for(vector))
    assert message in str(caught.value)
    if isinstance(returned, Exception):
        assert caught.value.__cause__ is returned


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            dm_env.transition(1.0, GOOD),
            "environment 1 returned a MID step at the beginning of an episode",
        ),
        (
            dm_env.restart(np.zeros((4, 1), np.float32)),
            "environment 1 returned an observation of shape (4, 1), "
            "its specification says (4,)",
        ),
        (OSError("gone"), "environment 1 raised OSError in reset: gone"),
    ],
)
def test_a_fault_in_a_reset_names_the_environment(returned, message):
    environments = [Counting(), Counting()]
    environments[1].returned = returned
    with pytest.raises(EnvironmentFault) as caught:
        make_vector(*environments).reset()
    assert str(caught.value) == message


def test_the_end_of_the_run_is_not_a_fault_of_an_environment_that_uses_an_edge():
    environment = Counting()
    environment.returned = RpcClosed("the run ended")
    with pytest.raises(RpcClosed):
        make_vector(environment).reset()


def test_close_closes_all_and_then_tells_of_the_first_fault():
    environments = [Counting() for _ in range(3)]
    environments[1].close_error = OSError("busy")
    with pytest.raises(EnvironmentFault, match="environment 1 raised OSError in close"):
        make_vector(*environments).close()
    assert all(environment.is_closed for environment in environments)


def test_what_was_made_is_closed_if_the_next_cannot_be_made():
    made, odd = [Counting(), Counting()], Counting()
    odd.reward_spec = lambda: specs.Array((2,), np.float32)
    with pytest.raises(IndexError):
        waiting = list(made)
        VectorEnvironment(lambda seed: waiting.pop(0), num_envs=3, seed=0)
    with pytest.raises(ConfigError, match="not scalar"):
        make_vector(odd)
    assert all(environment.is_closed for environment in (*made, odd))


@pytest.mark.parametrize(
    "wrap", [lambda inner: inner, lambda inner: TimeLimit(inner, num_steps=9)]
)
def test_one_environment_for_several_is_refused(wrap):
    environment = Counting()
    with pytest.raises(ConfigError, match="the same environment again, and each actor"):
        VectorEnvironment(lambda seed: wrap(environment), num_envs=2, seed=0)
    assert environment.is_closed


def test_no_environment_is_refused():
    with pytest.raises(ConfigError, match="num_envs must be at least 1, not 0"):
        VectorEnvironment(make_environment_factory("Catch"), num_envs=0, seed=0)


def test_actions_without_numbers_are_refused():
    environment = Counting()
    environment.action_spec = lambda: specs.BoundedArray((0,), np.float32, -1, 1)
    with pytest.raises(ConfigError, match="the spec of actions has no numbers"):
        make_vector(environment)
    assert environment.is_closed


def test_rewards_that_are_not_scalar_are_refused():
    environment = Counting()
    environment.reward_spec = lambda: specs.Array((2,), np.float32)
    with pytest.raises(
        ConfigError, match=r"rewards is not scalar but has shape \(2,\)"
    ):
        make_vector(environment)


class Crashing(Counting):
    """Raises in its step with this number, or in its reset if that is 0."""

    def __init__(self, crashes_at=None):
        super().__init__(length=4)
        self.crashes_at, self.num_steps = crashes_at, 0

    def reset(self):
        if self.crashes_at == 0:
            raise OSError("no simulator")
        self.num_steps = 0
        return super().reset()

    def step(self, action):
        self.num_steps += 1
        if self.num_steps == self.crashes_at:
            raise OSError("the simulator is gone")
        return super().step(action)


def crashing_vector(max_restarts, *environments):
    seeds, waiting = [], list(environments)

    def factory(seed):
        seeds.append(seed)
        return waiting.pop(0)

    factory = RestartingFactory(inner=factory, max_restarts=max_restarts)
    return make_vector_environment(factory, num_envs=2, seed=0), seeds


def test_an_environment_that_fails_is_made_again_and_begins_an_episode(caplog):
    crashing = Crashing(crashes_at=2)
    vector, seeds = crashing_vector(1, Crashing(), crashing, Crashing())
    steps = [vector.reset(), *(vector.step(actions_for(vector)) for _ in range(4))]
    kinds = [step.step_type.tolist() for step in steps]
    assert kinds == [[FIRST] * 2, [MID] * 2, [MID, FIRST], [MID] * 2, [LAST, MID]]
    assert [step.observation[1, 0] for step in steps] == [0, 1, 0, 1, 2]
    assert [step.reward[1] for step in steps] == [0, 1, 0, 1, 1]
    assert crashing.is_closed and len(set(seeds)) == 3
    (message,) = caplog.messages
    assert message == (
        "environment 1 raised OSError in step: the simulator is gone; it is made again "
        "(1 of 1), and its unfinished episode is dropped"
    )


def test_the_simulator_that_failed_may_come_again():
    crashing = Crashing(crashes_at=2)
    vector, _ = crashing_vector(1, crashing, Crashing(), crashing)
    vector.reset()
    vector.step(actions_for(vector))
    assert vector.step(actions_for(vector)).step_type.tolist() == [FIRST, MID]


def test_the_next_failure_is_a_fault():
    vector, _ = crashing_vector(1, Crashing(), Crashing(2), Crashing(2))
    vector.reset()
    for _ in range(3):
        vector.step(actions_for(vector))
    with pytest.raises(EnvironmentFault, match="1 raised OSError in step: the sim"):
        vector.step(actions_for(vector))


def test_one_that_cannot_be_made_again_is_a_fault_when_no_restart_is_left(caplog):
    failing = [Crashing(0), Crashing(0)]
    vector, seeds = crashing_vector(2, Crashing(), Crashing(1), *failing)
    vector.reset()
    with pytest.raises(EnvironmentFault, match="1 raised OSError in restart: no sim"):
        vector.step(actions_for(vector))
    assert failing[0].is_closed and len(set(seeds)) == 4
    assert len(caplog.messages) == 2 and "(2 of 2)" in caplog.messages[1]


def test_one_that_cannot_be_made_at_once_may_be_made_later(caplog):
    waiting = [Crashing(), Crashing(1), OSError("no licence"), Crashing(0), Crashing()]

    def factory(seed):
        made = waiting.pop(0)
        if isinstance(made, OSError):
            raise made
        return made

    factory = RestartingFactory(inner=factory, max_restarts=3)
    vector = make_vector_environment(factory, num_envs=2, seed=0)
    vector.reset()
    step = vector.step(actions_for(vector))
    assert step.step_type.tolist() == [MID, FIRST]
    assert "OSError in restart: no licence; it is made again (2 of 3)" in caplog.text
    assert "OSError in restart: no simulator; it is made again (3 of 3)" in caplog.text


def test_vectorised_environments_are_not_made_again():
    with pytest.raises(ConfigError, match="leave out 'vec:'"):
        RestartingFactory(
            inner=make_environment_factory("vec:CartPole-v1"), max_restarts=1
        )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: FrameStackFactory(inner=inner, num_frames=2),
        lambda inner: TimeLimitFactory(inner=inner, num_steps=2),
        lambda inner: StepTimeoutFactory(inner=inner, seconds=1.0),
    ],
)
def test_a_wrapper_goes_inside_of_what_is_made_again(wrap):
    restarting = RestartingFactory(inner=CatchFactory(), max_restarts=1)
    with pytest.raises(ConfigError, match="put RestartingFactory around this one"):
        wrap(restarting)
    with pytest.raises(ConfigError, match="leave out 'vec:' or 'envpool:'"):
        wrap(GymnasiumVectorFactory(name="CartPole-v1"))
    RestartingFactory(inner=wrap(CatchFactory()), max_restarts=1)


# --- A vector of one's own -------------------------------------------------------

SPEC = EnvironmentSpec(
    observations={"arm": specs.Array((4,), np.float32), "hand": specs.DiscreteArray(3)},
    actions=specs.DiscreteArray(2),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0, 1),
)


def own_step(kind, **changed):
    """What two environments return together, with some parts changed."""
    step = VectorStep(
        np.full(2, kind),
        np.ones(2),
        np.ones(2),
        {"arm": np.zeros((2, 4)), "hand": np.zeros(2, int)},
    )
    observation = step.observation | changed.pop("observation", {})
    return step._replace(observation=observation, **changed)


class Own:
    """Two environments that return what they were given, one after the other."""

    def __init__(self, *steps, spec=SPEC):
        self.num_envs, self.spec = 2, spec
        self.steps, self.is_closed = list(steps), False

    def reset(self):
        return self.steps.pop(0)

    def step(self, actions):
        self.actions = actions
        return self.steps.pop(0)

    def close(self):
        self.is_closed = True


class OwnFactory:
    def __init__(self, vector):
        self.vector = vector

    def __call__(self, seed):
        raise NotImplementedError

    def make_vector(self, *, num_envs, seed):
        return self.vector


def own_vector(*steps):
    return make_vector_environment(OwnFactory(Own(*steps)), num_envs=2, seed=0)


def test_a_vector_of_ones_own_has_the_dtypes_of_a_vector_step():
    own = Own(own_step(FIRST), own_step(MID), own_step(LAST), own_step(FIRST))
    vector = make_vector_environment(OwnFactory(own), num_envs=2, seed=0)
    assert (vector.num_envs, vector.spec) == (2, SPEC)
    steps = [vector.reset(), *(vector.step([0, 1]) for _ in range(3))]
    assert own.actions == [0, 1]
    assert [step.step_type.tolist() for step in steps] == [
        [FIRST] * 2,
        [MID] * 2,
        [LAST] * 2,
        [FIRST] * 2,
    ]
    assert [step.reward.tolist() for step in steps] == [[0, 0], [1, 1], [1, 1], [0, 0]]
    for step in steps:
        assert [array.dtype for array in step[:3]] == [np.int8, np.float32, np.float32]
        assert step.observation["arm"].dtype == np.float32
    vector.close()
    assert own.is_closed


def test_a_vector_of_ones_own_may_reuse_its_buffers():
    buffer = np.zeros((2, 4), np.float32)
    steps = [own_step(kind, observation={"arm": buffer}) for kind in (FIRST, MID)]
    vector = own_vector(*steps)
    first = vector.reset().observation["arm"]
    buffer[:] = 1
    second = vector.step([0, 0]).observation["arm"]
    assert (first.max(), second.min()) == (0, 1)


NAN = np.float32([[0, 0, 0, 0], [0, np.nan, 0, 0]])
# The third step of a vector; the first began the episodes.
OWN_FAULTS = [
    (
        {"observation": {"arm": NAN}},
        "environment 1 returned an observation with nan in 'arm' in step 2 of an "
        "episode; its numbers must be finite",
    ),
    (
        {"observation": {"hand": np.array([3, 0])}},
        "environment 0 returned an observation with 3 in 'hand' in step 2 of an "
        "episode; its specification says 0 to 2",
    ),
    (
        {"observation": {"arm": np.zeros((1, 4), np.float32)}},
        "the environments returned an observation of shape (1, 4) in 'arm', its "
        "specification says (2, 4)",
    ),
    (
        {"observation": {"arm": np.zeros((2, 4), np.complex64)}},
        "the environments returned an observation of dtype complex64 in 'arm', its "
        "specification says float32",
    ),
    ({"reward": np.array([0, np.nan])}, "environment 1 returned reward nan and"),
    ({"reward": np.array([1e300, 0])}, "environment 0 returned reward inf and"),
    ({"reward": 1.0}, "returned reward of shape () and dtype float64, which is"),
    ({"reward": [None, 1.0]}, "returned reward of shape (2,) and dtype object, which"),
    ({"discount": np.array([1, 1.5])}, "environment 1 returned reward 1.0 and disc"),
    ({"discount": np.ones((2, 1))}, "returned discount of shape (2, 1) and dtype"),
    ({"step_type": [MID, 3]}, "environment 1 returned the step type 3, which is not"),
    ({"step_type": [1.0, 1.0]}, "returned step_type of shape (2,) and dtype float64"),
]


@pytest.mark.parametrize(("changed", "message"), OWN_FAULTS)
def test_a_fault_of_a_vector_of_ones_own_is_named(changed, message):
    vector = own_vector(own_step(FIRST), own_step(MID), own_step(MID, **changed))
    vector.reset()
    vector.step([0, 0])
    with pytest.raises(EnvironmentFault) as caught:
        vector.step([0, 0])
    assert message in str(caught.value)


def test_a_vector_of_ones_own_keeps_the_order_of_steps():
    words = "environment 0 returned a MID step at the beginning of an episode"
    with pytest.raises(EnvironmentFault, match=words):
        own_vector(own_step(MID)).reset()
    vector = own_vector(own_step(FIRST), own_step(LAST), own_step(MID))
    vector.reset()
    vector.step([0, 0])
    with pytest.raises(EnvironmentFault, match=words):
        vector.step([0, 0])


def test_a_vector_of_ones_own_counts_steps_of_each_episode():
    # An environment that was made again begins in the middle.
    steps = [own_step(MID), own_step(MID, step_type=[MID, FIRST])]
    bad = own_step(MID, observation={"arm": NAN})
    vector = own_vector(own_step(FIRST), *steps, bad)
    vector.reset()
    for _ in steps:
        vector.step([0, 0])
    with pytest.raises(EnvironmentFault, match=r"environment 1 .* in step 1 of an"):
        vector.step([0, 0])


def test_what_is_no_vector_step_is_named():
    with pytest.raises(EnvironmentFault, match="tuple of reset, which is no VectorSt"):
        own_vector((np.zeros((2, 4)), {})).reset()  # As of Gymnasium.


def test_a_vector_of_another_size_or_a_bad_spec_is_refused_and_closed():
    own = Own()
    with pytest.raises(ConfigError, match="returned 2 environments, not 3"):
        make_vector_environment(OwnFactory(own), num_envs=3, seed=0)
    odd = Own(spec=SPEC._replace(rewards=specs.Array((2,), np.float32)))
    with pytest.raises(ConfigError, match="rewards is not scalar"):
        make_vector_environment(OwnFactory(odd), num_envs=2, seed=0)
    assert own.is_closed and odd.is_closed


@pytest.mark.parametrize(
    "factory",
    [
        RestartingFactory(inner=CatchFactory(), max_restarts=1),
        GymnasiumVectorFactory(name="CartPole-v1"),
    ],
)
def test_a_vector_that_checks_itself_is_not_checked_twice(factory):
    vector = make_vector_environment(factory, num_envs=2, seed=0)
    assert type(vector) in (VectorEnvironment, GymnasiumVector)
    vector.close()

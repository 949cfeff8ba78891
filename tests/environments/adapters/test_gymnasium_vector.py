"""Gymnasium's vectorised environments as vectors: the same order, copies and faults."""

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from acmelike.environments import (
    GymnasiumEnvironment,
    GymnasiumVector,
    GymnasiumVectorFactory,
    VectorEnvironment,
    make_environment_factory,
    make_environment_spec,
    make_vector_environment,
)
from acmelike.errors import ConfigError, EnvironmentFault, RpcClosed

FIRST, MID, LAST = 0, 1, 2
BOX = spaces.Box(-1, 1, (2,), np.float32)


class Counting(VectorEnv):
    """Each observes the number of its step, in one buffer; it pays 1 even for a reset.

    `returned` replaces what the next call returns, in part; an exception is raised.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, lengths=(2, 2), ends=("terminated", "terminated"), space=BOX):
        self.num_envs = len(lengths)
        self.single_observation_space, self.single_action_space = BOX, space
        self.lengths, self.ends = np.array(lengths), np.array(ends)
        self.buffer = np.zeros((self.num_envs, 2), np.float32)
        self.done = np.zeros(self.num_envs, bool)
        self.seeds, self.actions, self.returned, self.is_closed = [], [], {}, False

    def _returned(self, **values):
        if isinstance(self.returned, Exception):
            raise self.returned
        return (values | self.returned).values()

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        self.buffer[:], self.done[:] = 0, False
        (observation,) = self._returned(observation=self.buffer)
        return observation, {}

    def step(self, actions):
        self.actions.append(np.array(actions))
        actions[:] = 0  # They are its own.
        self.buffer[:] = np.where(self.done[:, None], 0, self.buffer + 1)
        self.done = self.buffer[:, 0] == self.lengths
        results = self._returned(
            observation=self.buffer,
            reward=np.ones(self.num_envs),
            terminated=self.done & (self.ends != "truncated"),
            truncated=self.done & (self.ends != "terminated"),
        )
        return *results, {}

    def close(self):
        self.is_closed = True
        self._returned()


def actions_for(vector):
    return np.zeros((vector.num_envs, *vector.spec.actions.shape), np.float32)


def steps_of(vector, num_steps):
    return [
        vector.reset(),
        *(vector.step(actions_for(vector)) for _ in range(num_steps)),
    ]


# --- What it says -----------------------------------------------------------------


def test_episodes_end_each_in_its_time_and_begin_again():
    env = Counting((2, 3, 2), ("terminated", "truncated", "both"))
    steps = steps_of(GymnasiumVector(env, seed=0), 5)
    assert [step.step_type.tolist() for step in steps] == [
        [FIRST, FIRST, FIRST],
        [MID, MID, MID],
        [LAST, MID, LAST],
        [FIRST, LAST, FIRST],
        [MID, FIRST, MID],
        [LAST, MID, LAST],
    ]
    assert [step.reward.tolist() for step in steps] == [
        [0, 0, 0],
        [1, 1, 1],
        [1, 1, 1],
        [0, 1, 0],
        [1, 0, 1],
        [1, 1, 1],
    ]
    assert [step.discount.tolist() for step in steps] == [
        [1, 1, 1],
        [1, 1, 1],
        [0, 1, 0],
        [1, 1, 1],
        [1, 1, 1],
        [0, 1, 0],
    ]
    assert [step.num_env_steps() for step in steps] == [0, 3, 3, 1, 2, 3]


def test_arrays_are_those_of_a_vector_step_and_stay_as_they_were():
    steps = steps_of(GymnasiumVector(Counting((9, 9)), seed=0), 3)
    for step in steps:
        assert [array.dtype for array in step] == [
            *(np.int8, np.float32, np.float32, np.float32)
        ]
        assert [array.shape for array in step] == [(2,), (2,), (2,), (2, 2)]
        assert step.observation.flags.c_contiguous
    assert [step.observation[1, 0] for step in steps] == [0, 1, 2, 3]


def test_it_is_seeded_once_and_begins_with_a_step_too():
    env = Counting((5, 5))
    vector = GymnasiumVector(env, seed=7)
    assert vector.step(actions_for(vector)).first().all()
    assert vector.step(actions_for(vector)).observation[0, 0] == 1
    step = vector.reset()
    assert step.first().all() and not step.observation.any()
    assert env.seeds == [7, None]
    vector.close()
    assert env.is_closed


def test_reset_forgets_that_an_episode_was_over():
    vector = GymnasiumVector(Counting((1, 3)), seed=0)
    steps_of(vector, 1)
    vector.reset()
    assert not vector.step(actions_for(vector)).first().any()


def test_actions_are_copied_and_cast_within_their_kind():
    env = Counting((5, 5))
    vector = GymnasiumVector(env, seed=0)
    vector.reset()
    actions = np.full((2, 2), 0.5)
    vector.step(actions)
    assert env.actions[0].dtype == np.float32
    assert (actions == 0.5).all()
    with pytest.raises(ValueError, match=r"2 environments need \(2, 2\)"):
        vector.step(np.zeros((2, 3)))
    with pytest.raises(TypeError, match="same_kind"):
        vector.step(np.zeros((2, 2), complex))


def test_a_discrete_action_out_of_its_range_is_refused():
    vector = GymnasiumVector(Counting((5, 5), space=spaces.Discrete(2)), seed=0)
    vector.reset()
    vector.step([0, 1])
    with pytest.raises(ValueError, match=r"from 0 to 1, not \[2\]: the policy"):
        vector.step([0, 2])


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            {"observation": np.zeros((2, 3), np.float32)},
            "the environments returned an observation of shape (2, 3), "
            "its specification says (2, 2)",
        ),
        (
            {"observation": np.zeros((2, 2), complex)},
            "the environments returned an observation of dtype complex128, "
            "its specification says float32",
        ),
        (
            {"observation": np.array([[0, 0], [np.inf, 0]])},
            "environment 1 returned an observation with inf in step 0 of an episode; "
            "its numbers must be finite",
        ),
        (ValueError("too far"), "the environments raised ValueError in reset: too far"),
    ],
)
def test_a_fault_in_a_reset(returned, message):
    env = Counting()
    env.returned = returned
    with pytest.raises(EnvironmentFault) as caught:
        GymnasiumVector(env, seed=0).reset()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            {"observation": np.zeros((3, 2), np.float32)},
            "the environments returned an observation of shape (3, 2), "
            "its specification says (2, 2)",
        ),
        (
            {"observation": np.array([[0, np.nan], [0, 0]])},
            "environment 0 returned an observation with nan in step 1 of an episode; "
            "its numbers must be finite",
        ),
        (
            {"reward": np.array([0, np.nan])},
            "environment 1 returned reward nan; a reward is finite",
        ),
        (
            {"reward": np.array([1.0, 1e300])},
            "environment 1 returned reward inf; a reward is finite",
        ),
        (
            {"reward": np.float32(1)},
            "the environments returned reward of shape (), not (2,)",
        ),
        (KeyError(), "the environments raised KeyError in step"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_a_fault_in_a_step(returned, message):
    env = Counting((9, 9))
    vector = GymnasiumVector(env, seed=0)
    vector.reset()
    env.returned = returned
    with pytest.raises(EnvironmentFault) as caught:
        vector.step(actions_for(vector))
    assert str(caught.value) == message


def test_an_episode_that_ends_in_its_first_step_is_a_fault():
    env = Counting((1, 5))
    vector = GymnasiumVector(env, seed=0)
    steps_of(vector, 1)
    env.returned = {"truncated": np.array([True, False])}
    with pytest.raises(EnvironmentFault, match="environment 0 ended an episode in the"):
        vector.step(actions_for(vector))


def test_the_end_of_a_run_is_no_fault():
    env = Counting()
    env.returned = RpcClosed("the run ended")
    with pytest.raises(RpcClosed):
        GymnasiumVector(env, seed=0).reset()


def test_other_ways_to_reset_and_other_spaces_are_refused():
    env = Counting()
    env.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
    with pytest.raises(ConfigError, match=r"mode must be .*NEXT_STEP, not .*SAME_STEP"):
        GymnasiumVector(env, seed=0)
    with pytest.raises(ConfigError, match="action space Tuple"):
        space = spaces.Tuple([spaces.Discrete(2)])
        GymnasiumVector(Counting(space=space), seed=0)


# --- By name ----------------------------------------------------------------------


def test_a_name_after_vec_is_a_vectorised_environment():
    factory = make_environment_factory("vec:CartPole-v1")
    assert pickle.loads(pickle.dumps(factory)) == factory
    vector = make_vector_environment(factory, num_envs=5, seed=0)
    assert isinstance(vector, GymnasiumVector)
    assert vector.num_envs == 5
    single = factory(seed=0)  # For films, and for who acts in one.
    assert isinstance(single, GymnasiumEnvironment)
    assert vector.spec == make_environment_spec(single)
    with pytest.raises(ConfigError, match="num_envs must be at least 1, not 0"):
        make_vector_environment(factory, num_envs=0, seed=0)


def test_without_vec_environments_are_stepped_one_by_one():
    for name in ("Catch", "CartPole-v1"):
        factory = make_environment_factory(name)
        vector = make_vector_environment(factory, num_envs=2, seed=3)
        assert isinstance(vector, VectorEnvironment)
        expected = VectorEnvironment(factory, num_envs=2, seed=3).reset()
        np.testing.assert_array_equal(vector.reset().observation, expected.observation)


def test_the_time_limit_of_its_name_holds():
    limited = "CartPole-limited-v1"
    spec = gymnasium.spec("CartPole-v1")
    gymnasium.register(
        limited,
        spec.entry_point,
        vector_entry_point=spec.vector_entry_point,
        max_episode_steps=4,
    )
    try:
        factory = make_environment_factory(f"vec:{limited}")
        vector = make_vector_environment(factory, num_envs=2, seed=0)
        vector.reset()
        steps = [vector.step([0, 1]) for _ in range(5)]
    finally:
        del gymnasium.registry[limited]
    assert [step.last().all() for step in steps] == [False] * 3 + [True, False]
    assert steps[3].discount.tolist() == [1, 1]


def test_a_module_may_register_it(tmp_path, monkeypatch):
    (tmp_path / "my_vectors.py").write_text(
        "import gymnasium\n"
        "spec = gymnasium.spec('CartPole-v1')\n"
        "more = {'vector_entry_point': spec.vector_entry_point}\n"
        "gymnasium.register('Mine-v0', spec.entry_point, **more)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        factory = make_environment_factory("vec:my_vectors:Mine-v0")
        vector = make_vector_environment(factory, num_envs=2, seed=0)
        assert vector.reset().observation.shape == (2, 4)
        vector.close()
    finally:
        del gymnasium.registry["Mine-v0"]


def test_it_takes_the_arguments_of_the_constructor():
    for arguments, reward in (({}, 1.0), ({"sutton_barto_reward": True}, 0.0)):
        factory = make_environment_factory("vec:CartPole-v1", **arguments)
        vector = make_vector_environment(factory, num_envs=2, seed=0)
        vector.reset()
        assert vector.step([0, 1]).reward.tolist() == [reward, reward]
        vector.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vec:CartPol-v1", "no environment 'CartPol-v1'; did you mean 'CartPole-v1'?"),
        (
            "vec:Pendulum-v1",
            "environment 'vec:Pendulum-v1': it has no vectorised version: leave out ",
        ),
        ("vec:Catch", "there is no environment 'Catch'"),
    ],
)
def test_names_without_a_vectorised_version_are_refused(name, words):
    with pytest.raises(ConfigError) as caught:
        make_environment_factory(name)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda num_envs: Counting(), "has other observations"),
        (lambda num_envs: 1 / 0, "of 'Odd-v0' cannot be made: ZeroDivisionError"),
    ],
)
def test_a_vectorised_version_that_is_another_environment_is_refused(make, words):
    entry = gymnasium.spec("CartPole-v1").entry_point
    gymnasium.register("Odd-v0", entry, vector_entry_point=make)
    try:
        with pytest.raises(ConfigError, match=words):
            make_environment_factory("vec:Odd-v0")
    finally:
        del gymnasium.registry["Odd-v0"]


def test_equal_seeds_are_equal_trajectories():
    def observations(seed):
        factory = GymnasiumVectorFactory(name="CartPole-v1")
        vector = make_vector_environment(factory, num_envs=3, seed=seed)
        steps = [vector.reset(), *(vector.step([0, 1, 0]) for _ in range(40))]
        return np.stack([step.observation for step in steps])

    one = observations(5)
    np.testing.assert_array_equal(one, observations(5))
    assert not np.array_equal(one, observations(6))
    assert not np.array_equal(one[:, 0], one[:, 2])

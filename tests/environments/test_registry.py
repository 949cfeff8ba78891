"""Environments by name, and what a wrong name is answered."""

import functools
import pickle
import sys
import types
import warnings

import gymnasium
import numpy as np
import pytest

from acmelike.environments import (
    Catch,
    CatchFactory,
    FrameStackFactory,
    GymnasiumEnvironment,
    GymnasiumFactory,
    MaskedObservation,
    MaskedObservationFactory,
    TimeLimitFactory,
    make_environment_factory,
    make_environment_spec,
)
from acmelike.environments.interface import make_rendering
from acmelike.errors import ConfigError


class Broken(gymnasium.Env):
    """Cannot be made."""

    def __init__(self):
        raise OSError("no display\nand more that nobody wants to read")


class Bodiless(gymnasium.Env):
    """Cannot be made either, without a package that Gymnasium names."""

    def __init__(self, words):
        raise gymnasium.error.DependencyNotInstalled(words)


class Unusual(gymnasium.Env):
    """Has a space that the adapter does not know."""

    observation_space = action_space = gymnasium.spaces.Text(2)


@pytest.fixture
def register():
    names = []

    def register(name, entry_point):
        gymnasium.register(name, entry_point)
        names.append(name)

    yield register
    for name in names:
        del gymnasium.registry[name]


def complaint(name):
    with pytest.raises(ConfigError) as caught:
        make_environment_factory(name)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "factory", "kind"),
    [
        ("Catch", CatchFactory(), Catch),
        (
            "CartPole-v1-positions",
            MaskedObservationFactory(
                inner=GymnasiumFactory(name="CartPole-v1"), indices=(0, 2)
            ),
            MaskedObservation,
        ),
        ("CartPole-v1", GymnasiumFactory(name="CartPole-v1"), GymnasiumEnvironment),
        ("Pendulum-v1", GymnasiumFactory(name="Pendulum-v1"), GymnasiumEnvironment),
    ],
)
def test_a_factory_is_a_value_that_can_be_pickled(name, factory, kind):
    made = make_environment_factory(name)
    assert made == factory
    assert pickle.loads(pickle.dumps(made)) == factory
    assert isinstance(made(seed=0), kind)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: CatchFactory(rows=1), "rows"),
        (lambda: CatchFactory(columns=0), "columns"),
        (lambda: FrameStackFactory(inner=CatchFactory(), num_frames=0), "num_frames"),
        (lambda: TimeLimitFactory(inner=CatchFactory(), num_steps=1.5), "num_steps"),
        (
            lambda: MaskedObservationFactory(inner=CatchFactory(), indices=(0, -1)),
            "indices",
        ),
    ],
)
def test_a_factory_names_a_field_that_is_out_of_range(make, field):
    with pytest.raises(ConfigError, match=f"^{field} must be "):
        make()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CartPol-v1", "CartPole-v1"),
        ("catch", "Catch"),
        ("CartPole-v1-position", "CartPole-v1-positions"),
        ("Pendulum-v9", "Pendulum-v1"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, meant):
    message = f"there is no environment '{name}'; did you mean '{meant}'?"
    assert complaint(name) == message


def test_a_name_like_no_other_gets_no_advice():
    assert complaint("qqqqqqqq") == "there is no environment 'qqqqqqqq'"


def test_an_environment_that_cannot_be_made_gives_the_first_line_of_why(register):
    register("Broken-v0", Broken)
    assert complaint("Broken-v0").startswith(
        "environment 'Broken-v0' cannot be made: OSError: no display"
    )


def test_without_mujoco_the_extra_that_installs_it_is_named(register):
    words = 'MuJoCo is not installed, run `pip install "gymnasium[mujoco]"`'
    register("Bodiless-v0", lambda: Bodiless(words))
    assert complaint("Bodiless-v0") == (
        "environment 'Bodiless-v0': MuJoCo is not installed: "
        "pip install 'acmelike[mujoco]'"
    )


def test_of_another_package_that_is_missing_gymnasium_says_what_installs_it(register):
    words = "Box2D is not installed, you can install it by run `pip install swig`"
    register("Boxless-v0", lambda: Bodiless(words))
    assert complaint("Boxless-v0") == (
        "environment 'Boxless-v0' cannot be made: DependencyNotInstalled: " + words
    )


def test_a_deprecated_version_names_its_successor():
    assert "Taxi-v4" in complaint("Taxi-v3")


def test_a_namespace_without_its_package_is_not_taken_for_a_misspelling():
    assert complaint("Nowhere/Pong-v5").startswith(
        "environment 'Nowhere/Pong-v5' cannot be made: NamespaceNotFound: Namespace "
        "Nowhere not found."
    )


def test_a_module_that_is_missing_is_named():
    assert "no_such_module" in complaint("no_such_module:Some-v0")


@pytest.fixture
def own_module(monkeypatch):
    """A module of the user's with environments."""

    class Own(Catch):
        def __init__(self, seed):
            super().__init__(rows=4, columns=3, seed=seed)

    def fail(seed):
        raise OSError("no map\nand more")

    module = types.ModuleType("own_module")
    module.Own, module.small, module.fail = Own, CatchFactory(rows=3), fail
    module.Old = Unusual
    monkeypatch.setitem(sys.modules, "own_module", module)
    return module


@pytest.mark.parametrize("name", ["Own", "small"])
def test_a_factory_of_a_module_is_found_by_name(own_module, name):
    factory = make_environment_factory(f"own_module:{name}")
    assert factory is getattr(own_module, name)
    assert isinstance(factory(3), Catch)


def test_a_factory_that_fails_gives_the_first_line_of_why(own_module):
    assert complaint("own_module:fail") == (
        "environment 'own_module:fail' cannot be made: OSError: no map"
    )


def test_what_a_module_makes_has_to_be_an_environment(own_module):
    assert complaint("own_module:Old").startswith(
        "environment 'own_module:Old': observation space Text(1, 2,"
    )
    own_module.Old = lambda seed: "a string"
    assert complaint("own_module:Old") == (
        "environment 'own_module:Old': it made a str, which is neither a "
        "gymnasium.Env nor a dm_env.Environment"
    )


class Corridor(gymnasium.Env):
    """Of Gymnasium; its seed comes with the first reset."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length=5):
        self.length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 1.0, True, False, {}


class Maze(Corridor):
    def __init__(self, size, color="blue"):
        raise AssertionError("it would be of the size of the seed")


def make_corridor(seed, length=5):
    assert length == 5
    return Corridor(seed)


def make_seeded_catch(rows=10, *, seed):
    return Catch(rows=rows, columns=5, seed=seed)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (Corridor, GymnasiumEnvironment),
        (lambda: Corridor(), GymnasiumEnvironment),
        (lambda length=3: Corridor(length), GymnasiumEnvironment),
        (make_corridor, GymnasiumEnvironment),
        (functools.partial(gymnasium.make, "CartPole-v1"), GymnasiumEnvironment),
        (lambda: Catch(rows=10, columns=5, seed=0), Catch),
        (make_seeded_catch, Catch),
        (CatchFactory(rows=3), Catch),
    ],
)
def test_what_people_make_environments_with_is_a_factory(make, kind):
    factory = make_environment_factory(make)
    first, again, other = factory(1), factory(1), factory(2)
    assert type(first) is kind
    if kind is GymnasiumEnvironment:
        seen = [np.array(each.reset().observation) for each in (first, again, other)]
        assert np.array_equal(seen[0], seen[1])
        assert not np.array_equal(seen[0], seen[2])
    if make is make_seeded_catch:
        balls = [
            [int(each.reset().observation[0].argmax()) for _ in range(20)]
            for each in (first, again, other)
        ]
        assert balls[0] == balls[1] != balls[2]
    for environment in (first, again, other):
        environment.close()


@pytest.mark.parametrize(
    ("environment", "arguments", "num_cells"),
    [
        ("FrozenLake-v1", {}, 16),
        ("FrozenLake-v1", {"map_name": "8x8", "is_slippery": False}, 64),
        (lambda size="4x4": gymnasium.make("FrozenLake-v1", map_name=size), {}, 16),
        (
            lambda size="4x4": gymnasium.make("FrozenLake-v1", map_name=size),
            {"size": "8x8"},
            64,
        ),
    ],
)
def test_arguments_are_those_of_the_constructor(environment, arguments, num_cells):
    factory = make_environment_factory(environment, **arguments)
    made = factory(seed=3)
    assert made.observation_spec().num_values == num_cells
    made.close()


def test_an_argument_may_have_any_name():
    def make(environment):
        return gymnasium.make("FrozenLake-v1", map_name=environment)

    factory = make_environment_factory(make, environment="8x8")
    assert factory(seed=0).observation_spec().num_values == 64


def test_arguments_reach_a_class_of_a_module(own_module):
    own_module.Corridor = Corridor
    factory = make_environment_factory("own_module:Corridor", length=7)
    assert factory(seed=0)._env.length == 7
    with pytest.raises(ConfigError, match="leave seed out of environment_kwargs: e"):
        make_environment_factory(Corridor, seed=7)
    with pytest.raises(ConfigError, match="leave seed out of environment_kwargs: e"):
        make_environment_factory("own_module:Corridor", seed=7)


class Painted(Corridor):
    """As Gymnasium's template has it."""

    def __init__(self, render_mode=None):
        super().__init__()
        self.render_mode = render_mode


def test_one_that_has_a_render_mode_is_made_with_it_for_a_video():
    factory = make_environment_factory(Painted)
    assert make_rendering(factory, 0)._env.render_mode == "rgb_array"
    assert factory(0)._env.render_mode is None
    assert make_rendering(make_environment_factory(Corridor), 0)._env.length == 5


def test_a_factory_that_is_given_as_one_still_makes_environments_that_draw():
    factory = make_environment_factory("CartPole-v1")
    assert make_environment_factory(factory) is factory


def test_one_that_leaves_the_process_cannot_be_made(own_module):
    own_module.quits = lambda: sys.exit("no licence")
    assert complaint("own_module:quits") == (
        "environment 'own_module:quits' cannot be made: SystemExit: no licence"
    )


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ("Catch", "takes no arguments: rows; write a function"),
        ("vec:CartPole-v1", "cannot be made: .*rows"),
        ("CartPole-v1", "cannot be made: .*rows"),
        (Corridor, "cannot be made: .*rows"),
    ],
)
def test_arguments_that_nobody_takes_are_refused(environment, words):
    with pytest.raises(ConfigError, match=words):
        make_environment_factory(environment, rows=3)


def test_a_factory_stays_what_it_is():
    factory = CatchFactory(rows=3)
    assert make_environment_factory(factory) is factory


def test_a_function_that_returns_the_same_environment_again_is_refused():
    env, board = gymnasium.make("CartPole-v1"), Catch()
    makes = [lambda: env, lambda: board, lambda seed: board]
    makes.append(functools.partial(lambda seed, rows: board, rows=3))
    for make in makes:
        factory = make_environment_factory(make)  # It looks at one, and closes it.
        with pytest.raises(ConfigError, match="the same environment again, and each"):
            factory(seed=1)


def test_a_function_may_return_what_another_one_made():
    factory = make_environment_factory(lambda seed: Catch(seed=seed))
    outer = make_environment_factory(lambda seed: factory(seed))
    made = [outer(seed=1), outer(seed=2)]
    assert made[0] is not made[1]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Corridor(), "is one environment, and each actor needs its own: pass a func"),
        (3, "environment must be a name, or a class or function .*: 3"),
        (
            lambda: 1 / 0,
            "'a lambda' cannot be made: ZeroDivisionError: division by zero",
        ),
        (lambda: "x", "environment 'a lambda': it made a str, which is neither"),
        (lambda a, b: Corridor(), "cannot be made: .*missing 2 required"),
        (Maze, "environment Maze needs 'size', .*, such as lambda seed: Maze"),
        (
            functools.partial(Maze, color="red"),
            "needs 'size', which is not called s",
        ),
    ],
)
def test_what_makes_no_environments_is_refused_in_one_line(make, words):
    with pytest.raises(ConfigError, match=words) as caught:
        make_environment_factory(make)
    assert "\n" not in str(caught.value)


def test_a_name_that_its_module_does_not_have_may_be_an_id(own_module, register):
    register("Nameless", Unusual)
    assert complaint("own_module:Nameless").startswith(
        "environment 'own_module:Nameless': observation space Text(1, 2,"
    )


def test_a_space_that_is_not_supported_is_refused_with_the_name(register):
    register("Unusual-v0", Unusual)
    assert complaint("Unusual-v0").startswith(
        "environment 'Unusual-v0': observation space Text(1, 2,"
    )


def test_looking_at_an_old_version_does_not_warn_but_making_it_does():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        factory = make_environment_factory("CartPole-v0")
    with pytest.warns(DeprecationWarning, match="out of date"):
        factory(seed=0)


def test_the_spec_of_an_environment():
    environment = Catch(rows=6, columns=3)
    spec = make_environment_spec(environment)
    assert spec.observations == environment.observation_spec()
    assert spec.actions == environment.action_spec()
    assert spec.rewards == environment.reward_spec()
    assert spec.discounts == environment.discount_spec()

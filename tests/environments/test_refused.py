"""An environment that an adapter or a wrapper refuses does not stay open."""

import sys
from types import ModuleType, SimpleNamespace

import gymnasium
import pytest
from gymnasium.vector import AutoresetMode, VectorEnv

from acmelike.environments import (
    ControlFactory,
    GymnasiumFactory,
    GymnasiumVectorFactory,
    StepTimeoutFactory,
    TimeLimitFactory,
    make_environment_factory,
)
from acmelike.environments.adapters import atari
from acmelike.environments.adapters.envpool import EnvpoolFactory
from acmelike.environments.catch import Catch
from acmelike.errors import ConfigError

NAME = "Refused-v0"
TEXT = gymnasium.spaces.Text(2)  # No adapter takes it.
CLOSED = []


class Reads(gymnasium.Env):
    """Has spaces that are refused."""

    observation_space = action_space = TEXT

    def close(self):
        CLOSED.append(self)


class ReadsTogether(VectorEnv):
    """The same, several at once."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs):
        self.num_envs = num_envs
        self.single_observation_space = self.single_action_space = TEXT

    def close(self, **kwargs):
        CLOSED.append(self)

    def __del__(self):
        """Older versions of Gymnasium would close it here, which is too late."""


class Speechless(Catch):
    """Cannot say what it shows."""

    def __init__(self, seed=0):
        super().__init__(seed=seed)

    def observation_spec(self):
        raise ValueError("no camera")

    def close(self):
        CLOSED.append(self)


@pytest.fixture(autouse=True)
def refused(monkeypatch):
    """Packages that are not installed here, and a name for what is refused."""
    envpool, dm_control = ModuleType("envpool"), ModuleType("dm_control")
    envpool.make = lambda name, env_type, num_envs, seed: ReadsTogether(num_envs)
    dm_control.suite = SimpleNamespace(load=lambda *args, **settings: Speechless())
    monkeypatch.setitem(sys.modules, "envpool", envpool)
    monkeypatch.setitem(sys.modules, "dm_control", dm_control)
    gymnasium.register(NAME, Reads, vector_entry_point=ReadsTogether)
    CLOSED.clear()
    yield
    del gymnasium.registry[NAME]


@pytest.mark.parametrize(
    "make",
    [
        lambda: GymnasiumFactory(name=NAME)(seed=0),
        lambda: GymnasiumVectorFactory(name=NAME).make_vector(num_envs=2, seed=0),
        lambda: EnvpoolFactory(name=NAME).make_vector(num_envs=2, seed=0),
        lambda: make_environment_factory(Reads),
        lambda: make_environment_factory(lambda seed: Reads()),
        lambda: ControlFactory(domain="hand", task="wave")(seed=0),
        lambda: TimeLimitFactory(inner=Speechless, num_steps=3)(seed=0),
        lambda: StepTimeoutFactory(inner=Speechless, seconds=60.0)(seed=0),
    ],
    ids=["name", "vec", "envpool", "class", "function", "control", "limit", "timeout"],
)
def test_what_is_refused_is_closed(make):
    with pytest.raises(ValueError, match=r"space Text|no camera"):
        make()
    assert len(CLOSED) == 1


@pytest.mark.parametrize(
    ("cv2", "settings", "words"),
    [
        (None, {}, "Atari needs OpenCV: pip install"),
        (ModuleType("cv2"), {"frame_skip": 0}, "not take its settings: ValueError"),
        (
            ModuleType("cv2"),
            {"frame_skip": 1, "noop_max": "few"},
            "not take its settings: TypeError",
        ),
    ],
    ids=["no OpenCV", "a wrong number", "a text"],
)
def test_a_game_whose_preprocessing_fails_is_closed(monkeypatch, cv2, settings, words):
    monkeypatch.setitem(sys.modules, "cv2", cv2)
    # Older versions of Gymnasium import it only once.
    name = "gymnasium.wrappers.atari_preprocessing.cv2"
    monkeypatch.setattr(name, cv2, raising=False)
    monkeypatch.setattr(gymnasium, "make", lambda *args, **settings: Reads())
    with pytest.raises(ConfigError, match=words) as caught:
        atari.make_atari("ALE/Pong-v5", settings)
    assert len(CLOSED) == 1 and "\n" not in str(caught.value)

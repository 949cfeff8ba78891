"""`acmelike evaluate` and `al.evaluate`: what they play, print, film and refuse."""

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import gymnasium
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

import acmelike as al
from acmelike.__main__ import main
from acmelike.environments import (
    CatchFactory,
    FrameStackFactory,
    GymnasiumFactory,
    MaskedObservationFactory,
    TimeLimitFactory,
    make_environment_spec,
)
from acmelike.environments.wrappers import video
from acmelike.errors import ConfigError
from acmelike.evaluation.policy_file import PolicyFile
from acmelike.experiments.evaluate import evaluate_command
from tests.counting_agent import Clock, CountingBuilder, counting_policy

ROOT = Path(__file__).parents[2]
BROKEN = "tests.programs.broken_envs"


def clock(seed):
    return Clock(3)


class Lamp(gymnasium.Env):
    """Draws squares that are brighter at every step of three."""

    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, render_mode=None, fault=None):
        self.render_mode, self.fault = render_mode, fault

    def reset(self, *, seed=None, options=None):
        self._num_steps = 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self._num_steps += 1
        return np.zeros(3, np.float32), 1.0, self._num_steps == 3, False, {}

    def render(self):
        if self.fault is not None:
            raise self.fault
        assert self.render_mode == "rgb_array"
        return np.full((8, 8, 3), 60 * self._num_steps, np.uint8)


class Dark(Lamp):
    def render(self):
        return None


class Glow(Lamp):
    """Draws in floats from 0 to 1, as MinAtar does."""

    def render(self):
        return np.float64(super().render()) / 240


class Wandering(Lamp):
    def __init__(self, **settings):
        os.chdir("/")
        super().__init__(**settings)


gymnasium.register("Lamp-v0", Lamp)
gymnasium.register("Wandering-v0", Wandering)
gymnasium.register("Glow-v0", Glow)
LAMP_FACTORY = GymnasiumFactory(name="Lamp-v0")
LAMP = [0, 60, 120, 180]  # Its brightness, step by step.
BLIND = gymnasium.error.DependencyNotInstalled("no eyes installed\nbuy some")
gymnasium.register("Blind-v0", Lamp, kwargs={"fault": BLIND})
gymnasium.register("Dark-v0", Dark)


def save(folder, factory, count=1):
    spec = make_environment_spec(factory(0))
    PolicyFile(
        path=str(folder / "policy.zip"),
        builder=CountingBuilder(),
        spec=spec,
        environment_factory=factory,
    ).write(counting_policy(spec), {"count": np.int32(count)}, {})


@pytest.mark.parametrize(
    ("num_episodes", "settings", "num_envs"),
    [(300, {}, 20), (7, {}, 7), (7, {"num_envs": 2}, 2)],
)
def test_many_episodes_are_played_in_few_environments(
    tmp_path, num_episodes, settings, num_envs
):
    save(tmp_path, clock, count=4)
    made = []

    def make(seed):
        made.append(seed)
        return Clock(3)

    found = al.evaluate(
        tmp_path, num_episodes=num_episodes, environment=make, **settings
    )
    assert found.shape == (num_episodes,) and len(set(found)) == 1
    assert len(made) == 1 + num_envs  # One is made to be looked at.


def test_another_environment_gets_the_stack_that_the_policy_was_trained_with(tmp_path):
    stacked = FrameStackFactory(inner=CatchFactory(), num_frames=2)
    save(tmp_path, stacked)
    expected = al.evaluate(tmp_path, num_episodes=3)
    for environment in ("Catch", stacked):
        found = al.evaluate(tmp_path, num_episodes=3, environment=environment)
        assert found.tolist() == expected.tolist()


def evaluate(capsys, *args):
    """The status, and the lines of stdout and stderr."""
    status = main(["evaluate", *map(str, args)])
    said = capsys.readouterr()
    return status, said.out.splitlines(), said.err.splitlines()


def test_it_plays_whole_episodes_with_the_policy(tmp_path, capsys):
    save(tmp_path, clock, count=4)  # Three steps, each with the reward 4.
    assert evaluate(capsys, tmp_path, "--episodes", 6) == (
        0,
        ["return: mean 12.00, std 0.00, min 12.00, max 12.00, 6 episodes"],
        [],
    )


def test_a_policy_of_another_environment_is_refused(tmp_path):
    save(tmp_path, clock)
    words = "was trained for observations .*; this environment's are float32"
    with pytest.raises(ConfigError, match=words):
        al.evaluate(tmp_path, num_episodes=1, environment="CartPole-v1")


class Leaves(Clock):
    def step(self, action):
        sys.exit("gone home")


def leaves(seed):
    return Leaves(3)


class Two(Clock):
    """Observes the time under two names."""

    names = ("a", "b")

    def _twice(self, seen):
        return {name: seen for name in self.names}

    def reset(self):
        step = super().reset()
        return step._replace(observation=self._twice(step.observation))

    def step(self, action):
        step = super().step(action)
        return step._replace(observation=self._twice(step.observation))

    def observation_spec(self):
        return self._twice(super().observation_spec())


class InAnotherOrder(Two):
    names = ("b", "a")


def two(seed):
    return Two(3)


def test_the_order_of_the_names_of_observations_does_not_matter(tmp_path):
    save(tmp_path, two, count=4)
    found = al.evaluate(
        tmp_path, num_episodes=1, environment=lambda seed: InAnotherOrder(3)
    )
    assert found.tolist() == [12.0]


def test_a_seed_may_be_of_numpy_and_is_not_negative(tmp_path):
    save(tmp_path, CatchFactory(rows=4, columns=5))
    plain, of_numpy, other = (
        al.evaluate(tmp_path, num_episodes=20, seed=seed).tolist()
        for seed in (1, np.int64(1), 2)
    )
    assert plain == of_numpy != other
    with pytest.raises(ConfigError, match="seed must be at least 0, not -1"):
        al.evaluate(tmp_path, num_episodes=1, seed=-1)


def test_episodes_are_at_least_one(tmp_path):
    save(tmp_path, clock)
    with pytest.raises(ConfigError, match="num_episodes must be at least 1, not 0"):
        al.evaluate(tmp_path, num_episodes=0)


def test_an_environment_that_exits_is_a_failure(tmp_path, capsys):
    save(tmp_path, leaves)
    assert evaluate(capsys, tmp_path) == (1, [], ["error: SystemExit: gone home"])


def test_the_line_is_decided_by_the_seed(tmp_path, capsys):
    save(tmp_path, CatchFactory(rows=4, columns=5))
    lines = [
        evaluate(capsys, tmp_path, "--seed", seed)[1][0] for seed in (0, 0, *range(5))
    ]
    assert lines[0] == lines[1]
    assert len(set(lines)) > 1
    for line in lines:
        found = re.fullmatch(
            r"return: mean (.+), std (.+), min -1.00, max 1.00, 20 episodes", line
        )
        mean, std = map(float, found.groups())
        # Of returns that are 1 or -1.
        assert std == pytest.approx(np.sqrt(1 - mean**2), abs=0.01)


def test_as_a_process(tmp_path):
    save(tmp_path, CatchFactory())
    command = [sys.executable, "-m", "acmelike"]
    for args, words in [
        (["evaluate", tmp_path, "--episodes", "2"], ", 2 episodes\n"),
        (["evaluate", "--help"], "RUN_FOLDER"),
        ([], "evaluate RUN_FOLDER"),
    ]:
        ended = subprocess.run(
            [*command, *args], cwd=ROOT, capture_output=True, text=True
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        assert words in ended.stdout
    ended = subprocess.run(
        [*command, "evaluat"], cwd=ROOT, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        *(2, ""),
        "error: unknown command 'evaluat'; did you mean 'evaluate'?\n",
    )


# --- Mistakes and failures --------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--episodes", "0"], "--episodes must be at least 1: 0"),
        (["--seed", "-1"], "--seed must be at least 0: -1"),
        (["--video", "film.avi"], "--video must end in .gif or .mp4: film.avi"),
        (["--episode", "3"], "did you mean '--episodes'?"),
        (["--episodes", "few"], "--episodes"),
        (["another"], "another"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(tmp_path, capsys, args, words):
    save(tmp_path, clock)
    status, out, err = evaluate(capsys, tmp_path, *args)
    assert (status, out, len(err)) == (2, [], 1)
    assert err[0].startswith("error: ") and words in err[0]


def test_a_folder_without_a_policy_is_a_mistake(tmp_path, capsys):
    status, out, err = evaluate(capsys, tmp_path)
    assert (status, out, len(err)) == (2, [], 1)
    assert f"there is no policy in {tmp_path}" in err[0]
    assert evaluate(capsys)[0] == 2


def test_a_result_that_cannot_be_printed_is_status_1(tmp_path, monkeypatch):
    save(tmp_path, clock)
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert evaluate_command([str(tmp_path), "--episodes", "1"]) == 1
        with suppress(OSError):  # What is left in its buffer.
            full.close()


def test_an_environment_that_fails_is_one_line_and_status_1(tmp_path, capsys):
    save(tmp_path, GymnasiumFactory(name=f"{BROKEN}:Raises-v0"))
    words = "environment 0 raised ValueError in step: the wheel came off"
    assert evaluate(capsys, tmp_path) == (1, [], [f"error: {words}"])


# --- Films ------------------------------------------------------------------------


def film(path):
    """The milliseconds and the brightest pixel of each picture."""
    with Image.open(path) as image:
        pictures = []
        for number in range(image.n_frames):
            image.seek(number)
            brightest = max(high for _, high in image.convert("RGB").getextrema())
            pictures.append((image.info["duration"], brightest))
    return pictures


def read_mp4(path):
    """What ffmpeg says of a film, and the brightest pixel of each picture."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)]
    read = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True
    )
    frames = np.frombuffer(read.stdout, np.uint8).reshape(-1, 96, 96, 3)
    return read.stderr, frames.max(axis=(1, 2, 3))


def test_a_film_shows_every_step_of_one_episode(tmp_path, capsys):
    save(tmp_path, LAMP_FACTORY)
    path = tmp_path / "film.gif"
    status, out, err = evaluate(capsys, tmp_path, "--episodes", 2, "--video", path)
    assert (status, len(out), err) == (0, 1, [])
    assert film(path) == [(50, light) for light in LAMP]


def test_a_long_film_has_its_first_pictures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(video, "_MAX_PICTURES", 2)
    save(tmp_path, LAMP_FACTORY)
    path = tmp_path / "film.gif"
    assert evaluate(capsys, tmp_path, "--video", path)[0] == 0
    assert film(path) == [(50, light) for light in LAMP[:2]]


def test_a_film_is_where_the_command_was_given(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, GymnasiumFactory(name="Wandering-v0"))
    os.chdir(tmp_path)
    video = ["--video", "film.gif"]
    assert evaluate(capsys, tmp_path, "--episodes", 1, *video)[0] == 0
    assert len(film(tmp_path / "film.gif")) == len(LAMP)


def test_a_film_may_be_an_mp4(tmp_path, capsys):
    save(tmp_path, LAMP_FACTORY)
    path = tmp_path / "film.mp4"
    assert evaluate(capsys, tmp_path, "--episodes", 1, "--video", path)[0] == 0
    said, brightest = read_mp4(path)
    assert b", 96x96," in said and b", 20 fps," in said
    np.testing.assert_allclose(brightest, LAMP, atol=8)  # It is compressed.


@pytest.mark.parametrize(
    ("factory", "brightest"),
    [
        (GymnasiumFactory(name="Glow-v0"), [0, 64, 128, 191]),
        (MaskedObservationFactory(inner=LAMP_FACTORY, indices=(1,)), LAMP),
        (FrameStackFactory(inner=LAMP_FACTORY, num_frames=2), LAMP),
        (
            TimeLimitFactory(inner=LAMP_FACTORY, num_steps=2),
            LAMP[:3],
        ),
    ],
    ids=["floats", "partial", "stacked", "limited"],
)
def test_a_film_of_environments_in_others_and_of_floats(
    tmp_path, capsys, factory, brightest
):
    save(tmp_path, factory)
    path = tmp_path / "film.gif"
    assert evaluate(capsys, tmp_path, "--video", path)[0] == 0
    assert film(path) == [(50, light) for light in brightest]
    with Image.open(path) as image:
        assert image.size == (96, 96)  # Of 8 by 8 pixels, too few to see.


def test_a_film_of_catch(tmp_path, capsys):
    save(tmp_path, CatchFactory(rows=5))
    path = tmp_path / "film.gif"
    assert evaluate(capsys, tmp_path, "--video", path)[0] == 0
    assert film(path) == [(200, 255)] * 5
    assert {entry.name for entry in tmp_path.iterdir()} == {"policy.zip", "film.gif"}


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (clock, "this environment does not render"),
        (
            GymnasiumFactory(name=f"{BROKEN}:Walk-v0"),
            "cannot render: TypeError: Walk() ",
        ),
        (GymnasiumFactory(name="Dark-v0"), "cannot render: it draws no picture"),
        (GymnasiumFactory(name="Blind-v0"), "no eyes installed"),
    ],
)
def test_an_environment_that_does_not_render_is_not_filmed(
    tmp_path, capsys, factory, words
):
    save(tmp_path, factory)
    path = tmp_path / "film.gif"
    status, out, err = evaluate(capsys, tmp_path, "--video", path)
    assert (status, out, len(err)) == (2, [], 1)
    assert words in err[0]
    assert not path.exists()


def test_a_film_that_cannot_be_written_is_a_mistake(tmp_path, capsys):
    save(tmp_path, CatchFactory())
    path = tmp_path / "none" / "film.gif"
    assert evaluate(capsys, tmp_path, "--video", path) == (
        *(2, []),
        [f"error: cannot write to {path}: No such file or directory"],
    )


# --- Films from Python ------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_python_films_one_more_episode(tmp_path, kind):
    save(tmp_path, LAMP_FACTORY)
    path = tmp_path / "film.gif"
    found = al.evaluate(tmp_path, num_episodes=2, video=kind(path))
    assert found.tolist() == [3.0, 3.0]
    assert film(path) == [(50, light) for light in LAMP]


def test_python_films_an_mp4(tmp_path):
    save(tmp_path, LAMP_FACTORY)
    path = tmp_path / "film.mp4"
    al.evaluate(tmp_path, num_episodes=1, video=path)
    _, brightest = read_mp4(path)
    np.testing.assert_allclose(brightest, LAMP, atol=8)  # It is compressed.


@pytest.mark.parametrize("kind", [str, Path])
def test_python_films_in_no_other_format(tmp_path, kind):
    save(tmp_path, LAMP_FACTORY)
    with pytest.raises(ConfigError, match=r"^video must end in .gif or .mp4: film.avi"):
        al.evaluate(tmp_path, num_episodes=1, video=kind("film.avi"))


def test_python_films_the_environment_that_it_plays_in(tmp_path):
    save(tmp_path, LAMP_FACTORY)
    path, other = tmp_path / "film.gif", tmp_path / "other.gif"
    al.evaluate(tmp_path, num_episodes=1, environment="Glow-v0", video=path)
    assert film(path) == [(50, light) for light in (0, 64, 128, 191)]
    with pytest.raises(ConfigError, match="was trained for observations"):
        al.evaluate(tmp_path, num_episodes=1, environment="CartPole-v1", video=other)
    assert not other.exists()


def test_a_seed_of_numpy_is_a_plain_one_for_a_film(tmp_path):
    factory, path = CatchFactory(rows=5), tmp_path / "film.gif"
    save(tmp_path, factory)
    seeds = []

    def make(seed):
        seeds.append(seed)
        return factory(seed)

    al.evaluate(
        tmp_path, num_episodes=1, seed=np.int64(1), environment=make, video=path
    )
    assert film(path) == [(200, 255)] * 5
    assert {type(seed) for seed in seeds} == {int}

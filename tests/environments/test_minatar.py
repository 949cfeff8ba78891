"""MinAtar by name: its images are small in tables; missing, it says what to install."""

import pickle
import subprocess
import sys

import pytest

from acmelike.environments import make_environment_factory, make_vector_environment
from acmelike.errors import ConfigError
from acmelike.programs.impala import PROGRAM

NAME = "MinAtar/Breakout-v1"


@pytest.fixture(scope="module")
def factory():
    pytest.importorskip("minatar", reason="needs MinAtar: make test")
    return make_environment_factory(NAME)


def test_its_images_are_bools_as_far_as_the_table(factory):
    environment = make_vector_environment(factory, num_envs=2, seed=0)
    observation = environment.reset().observation
    assert (observation.shape, observation.dtype) == ((2, 10, 10, 4), bool)
    environment.close()
    table = PROGRAM.make_builder(PROGRAM.config).make_table(environment.spec)
    assert table.signature.o_t.dtype == bool


def test_three_actions_and_one_in_ten_is_the_one_before(factory):
    game = factory(seed=0)
    assert game.action_spec().num_values == 3
    num_stuck, num_games = 0, 500
    for _ in range(num_games):
        game.reset()
        for action in (1, 1):  # To the left, then to the right.
            before = paddle(game.step(action))
        num_stuck += paddle(game.step(2)) < before
    assert 0.05 < num_stuck / num_games < 0.15


def paddle(step):
    """Its column."""
    return int(step.observation[9, :, 0].argmax())


def test_seeds_decide_what_happens(factory):
    def balls(seed):
        game = factory(seed=seed)
        return [int(game.reset().observation[3, 0, 1]) for _ in range(20)]

    assert balls(0) == balls(0) != balls(1)


def test_another_process_registers_it_again(factory):
    code = (
        "import pickle, sys; factory = pickle.load(sys.stdin.buffer); "
        "print(factory(seed=0).reset().observation.shape)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(factory),
        stdout=subprocess.PIPE,
        check=True,
    )
    assert ended.stdout.strip() == b"(10, 10, 4)"


def test_a_misspelt_game_is_answered_with_the_nearest(factory):
    with pytest.raises(ConfigError, match=f"did you mean '{NAME}'") as caught:
        make_environment_factory("MinAtar/Brekout-v1")
    assert "\n" not in str(caught.value)


def test_it_has_no_vectorised_version(factory):
    with pytest.raises(ConfigError, match="leave out 'vec:'"):
        make_environment_factory(f"vec:{NAME}")


def test_without_the_package_it_says_which_extra_to_install(tmp_path):
    pytest.importorskip("tyro", reason="needs tyro: make test")
    out = tmp_path / "run"
    # As where it is not installed: importing it fails.
    code = (
        "import sys; sys.modules['minatar'] = None; "
        "from acmelike.__main__ import main; "
        f"sys.exit(main(['train', 'ppo', '--environment', '{NAME}', '--out', '{out}']))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stdout == ""
    assert ended.stderr == (
        f"error: environment '{NAME}': MinAtar is not installed: "
        "pip install 'acmelike[minatar]'\n"
    )
    assert not out.exists()

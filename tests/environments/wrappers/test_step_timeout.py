"""A step or a reset that does not return in time is an error of its environment."""

import threading
from concurrent.futures import Future

import dm_env
import numpy as np
import pytest

from acmelike.environments import (
    CatchFactory,
    RestartingFactory,
    StepTimeout,
    StepTimeoutFactory,
    VectorEnvironment,
    make_environment_factory,
    make_vector_environment,
)
from acmelike.environments.catch import Catch
from acmelike.environments.interface import make_rendering
from acmelike.environments.wrappers import step_timeout
from acmelike.errors import ConfigError, EnvironmentFault

LONG = 60.0  # No call of these tests takes so long, unless it fails.
SHORT = 0.05


class Hanging(Catch):
    """Catch that hangs in the named call until the event is set."""

    def __init__(self, hangs_in, event):
        super().__init__(seed=0)
        self.hangs_in, self.event, self.threads = hangs_in, event, []

    def reset(self):
        self._wait("reset")
        return super().reset()

    def step(self, action):
        self._wait("step")
        return super().step(action)

    def close(self):
        self._wait("close")

    def _wait(self, call):
        self.threads.append(threading.current_thread())
        if call == self.hangs_in:
            assert self.event.wait(LONG)


@pytest.fixture
def event():
    """Lets the environment of a test go on at its end, and waits for its thread."""
    event = threading.Event()
    yield event
    event.set()
    for thread in threading.enumerate():
        if thread.name == "environment":
            thread.join(LONG)


def test_it_steps_as_the_environment_inside(event):
    plain, timed = Catch(seed=4), StepTimeout(lambda: Catch(seed=4), seconds=LONG)
    steps = [[e.reset(), *(e.step(1) for _ in range(12))] for e in (plain, timed)]
    for one, other in zip(*steps, strict=True):
        assert one[:3] == other[:3]
        np.testing.assert_array_equal(one.observation, other.observation)
    assert timed.action_spec() == plain.action_spec()
    timed.close()


def test_one_thread_makes_steps_and_closes_it(event):
    made = []

    def make():
        made.append(Hanging("nothing", event))
        made[0].threads.append(threading.current_thread())
        return made[0]

    timed = StepTimeout(make, seconds=LONG)
    timed.reset()
    timed.step(0)
    timed.close()
    (thread,) = set(made[0].threads)
    assert thread is not threading.current_thread()
    thread.join(LONG)
    assert not thread.is_alive()


@pytest.mark.parametrize("call", ["reset", "step"])
def test_a_call_that_hangs_ends_in_time_and_all_later_ones_at_once(event, call):
    timed = StepTimeout(lambda: Hanging(call, event), seconds=SHORT)
    if call == "step":
        timed.reset()
    with pytest.raises(TimeoutError, match=r"^it has not returned for 0.05 s$"):
        timed.reset() if call == "reset" else timed.step(0)
    with pytest.raises(TimeoutError, match="not returned from an earlier call"):
        timed.reset()
    timed.close()  # Nothing waits for what hangs.
    assert any(thread.name == "environment" for thread in threading.enumerate())


def test_after_a_late_call_none_is_taken_though_it_has_returned(event):
    timed = StepTimeout(lambda: Hanging("step", event), seconds=SHORT)
    timed.reset()
    with pytest.raises(TimeoutError, match="not returned for"):
        timed.step(0)
    event.set()
    while not timed._thread.is_free:
        pass
    with pytest.raises(TimeoutError, match="not returned from an earlier call in time"):
        timed.step(0)
    timed.close()


def test_closing_may_take_longer_than_a_step(event):
    timed = StepTimeout(lambda: Hanging("close", event), seconds=1e-3)
    threading.Timer(SHORT, event.set).start()
    timed.close()
    assert event.is_set()


def test_one_that_is_closed_twice_is_closed_once(event):
    environment = Hanging("nothing", event)
    timed = StepTimeout(lambda: environment, seconds=LONG)
    for _ in range(2):
        timed.close()  # There is no thread any more that could do it again.
    assert len(environment.threads) == 1


class Interrupted(Future):
    """Is waited for until somebody interrupts the program."""

    def result(self, timeout=None):
        raise KeyboardInterrupt


def test_an_interrupted_step_ends_before_its_environment_is_closed(event, monkeypatch):
    environment = Hanging("step", event)
    timed = StepTimeout(lambda: environment, seconds=LONG)
    timed.reset()
    with monkeypatch.context() as patched:
        patched.setattr(step_timeout, "Future", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            timed.step(0)
    threading.Timer(SHORT, event.set).start()
    timed.close()
    assert len(environment.threads) == 3  # Of reset, step and close.


ERRORS = [OSError("no display"), TimeoutError("the simulator does not answer")]


def failing(error):
    def fail(*_):
        raise error

    return fail


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_of_the_environment_is_raised_as_it_is(event, error):
    with pytest.raises(type(error)) as caught:
        StepTimeout(failing(error), seconds=LONG)
    assert caught.value is error

    environment = Catch(seed=0)
    environment.step = failing(error)
    timed = StepTimeout(lambda: environment, seconds=LONG)
    timed.reset()
    with pytest.raises(type(error)) as caught:
        timed.step(0)
    assert caught.value is error
    timed.reset()  # It did not hang, so it goes on.
    timed.close()


def test_a_vector_says_which_one_hangs(event):
    factory = StepTimeoutFactory(
        inner=lambda seed: Hanging("step", event), seconds=SHORT
    )
    vector = VectorEnvironment(factory, num_envs=2, seed=0)
    vector.reset()
    with pytest.raises(EnvironmentFault) as caught:
        vector.step(np.zeros(2, int))
    assert str(caught.value) == (
        "environment 0 raised TimeoutError in step: it has not returned for 0.05 s"
    )
    event.set()
    vector.close()


def test_one_that_hangs_is_made_again_where_that_is_allowed(event, caplog):
    made = []

    def make(seed):
        made.append(Hanging("nothing" if made else "step", event))
        return made[-1]

    factory = RestartingFactory(
        inner=StepTimeoutFactory(inner=make, seconds=SHORT), max_restarts=1
    )
    vector = make_vector_environment(factory, num_envs=1, seed=0)
    vector.reset()
    assert vector.step([0]).first().all()
    assert vector.step([0]).step_type.tolist() == [1]
    assert len(made) == 2
    assert "it has not returned for 0.05 s; it is made again (1 of 1)" in caplog.text
    vector.close()


def test_it_draws_itself_if_the_environment_does(event):
    class Drawn(Catch):
        def render(self):
            return np.zeros((2, 2, 3), np.uint8)

    factory = StepTimeoutFactory(inner=lambda seed: Drawn(seed=seed), seconds=LONG)
    environment = make_rendering(factory, 0)
    environment.reset()
    assert environment.render().shape == (2, 2, 3)
    environment.close()


def test_seconds_have_to_be_a_time():
    with pytest.raises(ConfigError, match="seconds must be finite and above 0: 0"):
        StepTimeoutFactory(inner=CatchFactory(), seconds=0)


def test_a_vectorised_environment_is_refused():
    with pytest.raises(ConfigError, match="leave out 'vec:'"):
        StepTimeoutFactory(
            inner=make_environment_factory("vec:CartPole-v1"), seconds=1.0
        )


def test_the_environment_is_dm_env_s():
    timed = StepTimeout(lambda: Catch(seed=0), seconds=LONG)
    assert isinstance(timed, dm_env.Environment)
    timed.close()

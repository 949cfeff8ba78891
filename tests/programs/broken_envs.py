"""Environments that go wrong, for `--environment tests.programs.broken_envs:<id>`."""

import functools
import os
import queue
import subprocess
import threading

import gymnasium
import numpy as np

from acmelike import stop_run
from acmelike.environments.place import current_place


class Walk(gymnasium.Env):
    """Goes on for 10 steps and pays 1 for each."""

    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    reward = 1.0

    def reset(self, *, seed=None, options=None):
        self._num_steps = 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self._num_steps += 1
        return np.zeros(3, np.float32), self.reward, self._num_steps == 10, False, {}


class Raises(Walk):
    def step(self, action):
        raise ValueError("the wheel came off\nand rolled away")


class Stops(Walk):
    """Ends the run itself."""

    def step(self, action):
        stop_run("seen enough")


class WrongShape(Walk):
    def step(self, action):
        _, *others = super().step(action)
        return np.zeros(4, np.float32), *others


class Overflows(Walk):
    """Pays what is finite, but whose loss is not."""

    reward = 1e38


@functools.cache
def say_once(line):
    print(line, flush=True)


class Endless(Walk):
    """Never ends an episode, and says once of each node that it steps it."""

    def __init__(self):
        say_once(f"{threading.current_thread().name} makes it")

    def step(self, action):
        say_once(f"{threading.current_thread().name} steps it")
        self._num_steps = 0
        return super().step(action)


class Hangs(Walk):
    """Has a process of its own, says its number, and does not return from a step.

    It does if a test says that it may.
    """

    hung, has_hung = queue.SimpleQueue(), threading.Event()
    may_go_on = threading.Event()

    def __init__(self):
        self._started = subprocess.Popen(["sleep", "1000"])

    def step(self, action):
        print(f"hangs beside {self._started.pid}", flush=True)
        self.hung.put(self._started)
        self.has_hung.set()
        self.may_go_on.wait()
        return super().step(action)

    def close(self):
        self._started.kill()
        self._started.wait()


class HangsForOne(Hangs):
    """Hangs once in the first actor; all others go on once it does."""

    def __init__(self):
        super().__init__()
        self._may_hang = current_place().node == "actor/0"

    def step(self, action):
        if self._may_hang and not self.has_hung.is_set():
            return super().step(action)
        assert self.has_hung.wait(60.0)
        return Walk.step(self, action)


class ClosesSlowly(Hangs):
    """Goes on, and does not return from its close before a test says that it may."""

    def __init__(self):
        super().__init__()
        self._is_slow = current_place().node == "actor/0"

    def step(self, action):
        return Walk.step(self, action)

    def close(self):
        if self._is_slow:
            self.hung.put(self._started)
            self.may_go_on.wait()
        super().close()


class Stumbles(Walk):
    """Fails once in each process, and goes on for as many steps as it is told."""

    has_stumbled = False

    def __init__(self, length=10):
        self._length = length

    def step(self, action):
        if self._num_steps == 2 and not Stumbles.has_stumbled:
            Stumbles.has_stumbled = True
            raise ValueError("stumbled")
        observation, reward, _, is_cut, info = super().step(action)
        return observation, reward, self._num_steps == self._length, is_cut, info


class Wanders(Walk):
    """Leaves the working directory."""

    def __init__(self):
        os.chdir("/")


class Empty(Walk):
    """Shows nothing."""

    observation_space = gymnasium.spaces.Box(-1, 1, (0,), np.float32)


class Reads(Walk):
    """Shows a text, which no agent reads."""

    observation_space = gymnasium.spaces.Text(3)


class CountsThreads(Walk):
    """Is not made, and says how many threads its process has."""

    def __init__(self):
        raise ValueError(f"{len(os.listdir('/proc/self/task'))} threads")


for kind in (
    Walk,
    Raises,
    Stops,
    WrongShape,
    Overflows,
    Endless,
    Hangs,
    HangsForOne,
    ClosesSlowly,
    Stumbles,
    Wanders,
    Empty,
    Reads,
    CountsThreads,
):
    gymnasium.register(f"{kind.__name__}-v0", kind)

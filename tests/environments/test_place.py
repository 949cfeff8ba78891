"""An environment that needs a port or a folder of its own learns where it is."""

import functools
from pathlib import Path

import pytest

from acmelike import Node, Program, launch, sleep, stop_run
from acmelike.environments import (
    Catch,
    EnvironmentPlace,
    RestartingFactory,
    StepTimeoutFactory,
    VectorEnvironment,
    make_environment_factory,
    make_vector_environment,
)


def recording(places, *, fails=False):
    """A function that makes Catch and notes where; the first may fail in its step."""

    def make(seed, environment_place):
        environment = Catch(seed=seed)
        if fails and not places:
            environment.step = lambda action: 1 / 0
        places.append(environment_place)
        return environment

    return make


def test_each_environment_of_a_vector_gets_its_number():
    places = []
    factory = make_environment_factory(recording(places))
    assert places == [EnvironmentPlace()]  # It was made once, to look at it.
    VectorEnvironment(factory, num_envs=2, seed=0).close()
    assert [place.vector_index for place in places[1:]] == [0, 1]
    assert {(place.node, place.worker_index) for place in places} == {("", 0)}


def test_one_that_is_made_again_stays_where_it_was():
    places = []
    factory = make_environment_factory(recording(places, fails=True))
    places.clear()
    factory = RestartingFactory(inner=factory, max_restarts=1)
    vector = make_vector_environment(factory, num_envs=2, seed=0)
    vector.reset()
    vector.step([0, 0])
    vector.close()
    assert [place.vector_index for place in places] == [0, 1, 0]


def test_a_thread_for_an_environment_knows_its_place():
    places = []
    factory = make_environment_factory(recording(places))
    factory = StepTimeoutFactory(inner=factory, seconds=60.0)
    VectorEnvironment(factory, num_envs=2, seed=0).close()
    assert [place.vector_index for place in places] == [0, 0, 1]


class Worker:
    """Makes two environments; the last worker of all ends the run."""

    def __init__(self, factory, counter):
        self._vector = make_vector_environment(factory, num_envs=2, seed=0)
        self._counter = counter

    def step(self):
        self._counter.count()
        sleep(None, "the end of the run")

    def close(self):
        self._vector.close()


class Counter:
    def __init__(self, num_workers):
        self._left = num_workers

    def count(self):
        self._left -= 1
        if self._left == 0:
            stop_run("all have made their environments")


def make_in_folder(folder, seed, environment_place):
    """Leaves an empty file that is named by the place."""
    place = environment_place
    name = f"{place.node.replace('/', '-')} {place.worker_index} {place.vector_index}"
    (Path(folder) / name).touch(exist_ok=False)
    return Catch(seed=seed)


@pytest.mark.parametrize("launcher", ["serial", "threads", "processes"])
def test_the_node_and_its_number_in_its_group_are_known(tmp_path, launcher):
    make = functools.partial(make_in_folder, str(tmp_path))
    factory = make_environment_factory(make)
    program = Program("places")
    counter = program.add_node(Node(Counter, 3), label="counter")
    with program.group("actor"):
        for _ in range(2):
            program.add_node(Node(Worker, factory, counter))
    program.add_node(Node(Worker, factory, counter), label="evaluator")
    with launch(program, launcher) as run:
        run.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        " 0 0",
        "actor-0 0 0",
        "actor-0 0 1",
        "actor-1 1 0",
        "actor-1 1 1",
        "evaluator 0 0",
        "evaluator 0 1",
    ]

"""The cacher: what a learner publishes, taken once for many actors."""

from __future__ import annotations

import pytest

from acmelike import Node, Program, sleep, stop_run, when
from acmelike.launchers import LAUNCHERS
from acmelike.learners import Cacher
from acmelike.types import Versioned
from tests.launchers.contract import run_to_end

NUM_VERSIONS = 30


class Publisher:
    """A learner that only publishes; it notes what is taken from it."""

    def __init__(self):
        self.taken = []

    def policy(self):
        return "the policy"

    def _has_no_more(self, newer_than):
        return "there are no more" if newer_than >= NUM_VERSIONS else None

    @when(_has_no_more)
    def next_parameters(self, newer_than, min_interval=1):
        version = min(max(newer_than, 0) + min_interval, NUM_VERSIONS)
        self.taken.append(version)
        return Versioned(version, {"w": version})

    def get_taken(self):
        return self.taken


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("min_interval", [1, 4])
def test_actors_get_from_it_what_they_would_get_from_the_learner(
    launcher, min_interval
):
    def act(source, publisher, is_last):
        assert source.policy() == "the policy"
        version = -1
        while version < NUM_VERSIONS - min_interval:
            newer, parameters = source.next_parameters(version, min_interval)
            assert newer > version
            assert version < 0 or newer >= version + min_interval
            assert parameters == {"w": newer}
            version = newer
        assert source.next_parameters(-1).version >= version
        if is_last:
            taken = publisher.get_taken()
            assert taken == sorted(set(taken)), "it took a version twice"
            assert len(taken) <= NUM_VERSIONS // min_interval + 1
            stop_run("the actors have it")
        sleep(None, "it has the last version")

    program = Program("cacher")
    publisher = program.add_node(Node(Publisher), label="publisher")
    cacher = program.add_node(Node(Cacher, publisher, min_interval), label="cacher")
    for is_last in (False, True):
        node = Node(act, cacher, publisher, is_last)
        program.add_node(node, label=f"actor {is_last}")
    assert run_to_end(program, launcher) == "the actors have it"

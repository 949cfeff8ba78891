"""Actors come and go with the hosts of a run."""

from __future__ import annotations

import logging

import pytest

from acmelike import Layout
from acmelike.errors import ConfigError
from acmelike.experiments import follow
from tests.telemetry.statuses import by_label, status


class FakeRun:
    """A run whose hosts have so many cores for actors, look by look."""

    def __init__(self, cores):
        self.cores, self.size, self.sizes = list(cores), 2, []

    def is_over(self, within=0.0):
        return not self.cores

    def room(self, group):
        cores = self.cores.pop(0)
        if cores is None:
            raise ConfigError("Ray did not answer")
        return cores - self.size

    def scale(self, group, size):
        assert group == "actor"
        self.size = size
        self.sizes.append(size)

    def status(self):
        return by_label(
            *(status(f"actor/{k}", group="actor") for k in range(self.size)),
            status("learner"),
        )


@pytest.mark.parametrize(
    "cores, sizes",
    [
        ([2, 2], []),
        ([4, 4, 9], [4, 6]),  # at most 6
        ([6, 3, 0], [6, 3, 2]),  # at least 2
        ([None, 5], [5]),
    ],
)
def test_actors_follow_the_cores(cores, sizes, caplog):
    caplog.set_level(logging.INFO, "acmelike")
    run = FakeRun(cores)
    follow.ActorFollower(run, Layout(num_actors=2, max_actors=6)).run()
    assert run.sizes == sizes
    said = [f"{size} actors run now, of at most 6" for size in sizes]
    assert [m for m in caplog.messages if "cannot follow" not in m] == said
    assert ("cannot follow: Ray did not" in caplog.text) == (None in cores)


def test_what_a_change_has_started_before_it_failed_counts():
    class Half(FakeRun):
        def scale(self, group, size):
            super().scale(group, size)
            if size == 6:
                self.size = 4  # Then a host had no memory left.
                raise ConfigError("no host has what it needs")

    run = Half([6, 4])
    follow.ActorFollower(run, Layout(num_actors=2, max_actors=6)).run()
    assert run.sizes == [6]


def test_there_are_no_fewer_places_than_actors():
    with pytest.raises(ConfigError, match="max_actors must be at least 3"):
        Layout(num_actors=3, max_actors=2)

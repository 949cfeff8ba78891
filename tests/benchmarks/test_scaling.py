"""The trials of the benchmark of more actors, for a second each."""

import pytest

from benchmarks import scaling

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("launcher", ["processes", "hosts"])
def test_actors_wait_for_their_environments_and_not_for_each_other(launcher):
    found = scaling.rate(launcher=launcher, num_actors=2, seconds=1.0)
    # Two environments of 5 ms a step.
    assert 50 < found["env_steps_per_second"] <= 400
    assert found["first_update"] > 0


def test_idle_nodes_are_all_there():
    found = scaling.idle(num_nodes=4, seconds=0.5)
    assert 0 <= found["cpu"] < 1 and found["status"] > 0

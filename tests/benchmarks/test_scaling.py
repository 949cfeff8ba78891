"""The trials of the benchmark of more actors, for a second each."""

import pytest

from benchmarks import scaling

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("launcher", ["processes", "hosts"])
def test_actors_wait_for_their_environments_and_not_for_each_other(launcher):
    # Two environments of 5 ms a step; with turns, they would make 200 together.
    for _ in range(3):  # The machine may be busy.
        found = scaling.rate(launcher=launcher, num_actors=2, seconds=1.0)
        if found["env_steps_per_second"] > 200:
            break
    assert 200 < found["env_steps_per_second"] <= 400
    assert found["first_update"] > 0


def test_idle_nodes_are_all_there():
    found = scaling.idle(num_nodes=4, seconds=0.5)
    assert 0 <= found["cpu"] < 1 and found["status"] > 0

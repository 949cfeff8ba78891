"""Every agent reaches its score, with four seeds of five; `make test-learning`."""

import pytest

from benchmarks.learning import ENOUGH, SEEDS, TASKS, train


@pytest.mark.learning
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.title)
def test_it_reaches_its_score(task, monkeypatch):
    # Here the programs run for long.
    monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS")
    seeds = range(SEEDS if task.is_reached else 1)
    reached = [train(task, seed).reached for seed in seeds]
    num_reached = sum(steps is not None for steps in reached)
    assert num_reached >= ENOUGH if task.is_reached else num_reached == 0, reached

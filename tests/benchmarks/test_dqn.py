"""What the DQN benchmark makes of its trials, and how it judges; without the peers."""

import numpy as np
import pytest

from benchmarks import dqn
from benchmarks.judge import NUM_EPISODES, mean_returns
from benchmarks.report import Report, exit_status
from benchmarks.trial import run_trial


def report():
    return Report(benchmark="dqn", title="DQN", command="none", machine={})


def peer(*rates):
    return [{"env_steps_per_second": r, "updates_per_second": r / 2} for r in rates]


def ours(*rates):
    alone = {
        "env_steps_per_second_of_actors_alone": 12_000.0,
        "updates_per_second_of_learner_alone": 2_000.0,
    }
    return [{**rate, **alone} for rate in peer(*rates)]


def throughput(serial, best):
    results = {
        "SBX": peer(2_000.0, 1_900.0, 2_100.0),
        "SBX, one XLA thread": peer(1_800.0, 1_700.0, 1_900.0),
        "SBX, 8 environments": peer(3_000.0, 3_000.0, 3_000.0),
        **{launcher: ours(*best) for launcher in dqn.LOCAL},
    }
    return {**results, "serial": ours(*serial)}


def rows(made, title):
    table = next(t for t in made.tables if t["title"].startswith(title))
    return {row["name"]: row for row in table["rows"]}


def test_throughput_is_compared_pair_by_pair_with_the_faster_peer():
    made = report()
    dqn._report_throughput(
        made, throughput([2_200.0, 1_900.0, 2_100.0], [3_000.0, 3_800.0, 3_150.0])
    )
    over = rows(made, "Environment steps per second over SBX, ")
    assert over["serial"]["samples"] == pytest.approx([1.1, 1.0, 1.0])
    assert over["threads"]["samples"] == pytest.approx([1.5, 2.0, 1.5])
    assert [bar["value"] for bar in made.bars] == pytest.approx([1.5, 1.0])
    assert exit_status(made) == 0


def test_throughput_below_a_bar_is_status_1():
    made = report()
    dqn._report_throughput(made, throughput([1_000.0] * 3, [2_000.0] * 3))
    assert [bar["holds"] for bar in made.bars] == [False, False]
    assert exit_status(made) == 1


def test_efficiencies_are_shares_of_what_the_parts_reach_alone():
    made = report()
    dqn._report_throughput(made, throughput([2_400.0] * 3, [3_000.0] * 3))
    assert rows(made, "Full program over its actors")["serial"]["median"] == 0.2
    assert rows(made, "Full program over its learner")["threads"]["median"] == 0.75
    # 12,000 steps/s of acting and 2,000 updates/s in turns, half an update a step.
    in_turns = 1 / (1 / 12_000 + 0.5 / 2_000)
    assert rows(made, "Full program over acting")["serial"]["median"] == pytest.approx(
        2_400 / in_turns
    )


def curve(*means, seconds=1.0):
    count = range(1, len(means) + 1)
    return {
        "env_steps": [1_000 * n for n in count],
        "seconds": [seconds * n for n in count],
        "mean_returns": list(means),
    }


@pytest.mark.parametrize(
    ("theirs", "holds"),
    [
        ([curve(20.0, 300.0, 300.0)] * 3, [True, True]),  # None of theirs, and never.
        ([curve(500.0, 500.0, 20.0), curve(20.0), curve(20.0)], [True, True]),
        ([curve(500.0, 20.0, 500.0, 20.0)] * 3, [True, True]),  # Never twice in a row.
        # Quicker on more than half of the seeds, or on as many seeds.
        ([curve(475.0, 475.0, seconds=0.1)] * 2 + [curve(20.0)], [False, False]),
        ([curve(20.0, 475.0, 475.0)] * 2 + [curve(20.0)], [False, False]),
    ],
)
def test_learning_counts_the_seeds_and_compares_the_median_time(theirs, holds):
    made = report()
    mine = [curve(20.0, 475.0, 475.0), curve(20.0, 480.0, 480.0, 9.0), curve(480.0)]
    dqn._report_learning(made, {"SBX": theirs, "acmelike": mine}, dqn.FULL)
    twice = "a 20-episode mean of 475 twice in a row"
    assert rows(made, f"Time to {twice}")["acmelike"]["samples"] == [3.0, 3.0, None]
    assert rows(made, f"Environment steps to {twice}")["acmelike"]["median"] == 3_000
    once = rows(made, "Environment steps to a 20-episode mean of 475, by seed")
    assert once["acmelike"]["samples"] == [2_000, 2_000, 1_000]
    assert made.bars[0]["value"] == 2
    assert "twice in a row within 50,000 steps" in made.bars[0]["name"]
    assert [bar["holds"] for bar in made.bars] == holds


def test_staying_at_the_target_is_reported_too():
    made = report()
    stays, touches = curve(20.0, 480.0, 480.0), curve(480.0, 20.0, 480.0, 20.0)
    dqn._report_learning(made, {"SBX": [touches], "acmelike": [stays]}, dqn.FULL)
    shares = rows(made, "Judgements of 475 or more")
    assert shares["acmelike"]["median"] == pytest.approx(2 / 3)
    assert shares["SBX"]["median"] == 0.5


def test_policies_are_judged_by_the_same_fresh_episodes():
    def always_left(observations):
        assert observations.shape == (NUM_EPISODES, 4)
        return np.zeros(NUM_EPISODES, np.int64)

    def by_the_angle(observations):
        return (observations[:, 2] + observations[:, 3] > 0).astype(np.int64)

    policies = [always_left, by_the_angle, always_left]
    means = mean_returns("CartPole-v1", policies, seed=0)
    assert means[0] < 15 < 150 < means[1]
    assert means[0] != means[2]  # Other episodes
    assert means == mean_returns("CartPole-v1", policies, seed=0)


# --- acmelike's own trials, very short --------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("launcher", dqn.LOCAL)
def test_throughput_of_a_short_run(launcher):
    arguments = {"first_step": 1_500, "last_step": 2_500, "seconds_alone": 0.2}
    result = run_trial(
        f"{dqn.OURS}:throughput", {**arguments, "launcher": launcher, "seed": 0}
    )
    steps = result["env_steps"][1] - result["env_steps"][0]
    rate = result["env_steps_per_second"]
    assert steps / result["seconds"] == pytest.approx(rate)
    assert result["updates_per_second"] == pytest.approx(rate / 2, rel=0.4)
    assert result["env_steps_per_second_of_actors_alone"] > rate
    assert result["updates_per_second_of_learner_alone"] > 0
    assert {"learner", "actor/0", "actor/1"} < result["nodes"].keys()


@pytest.mark.slow
def test_a_short_learning_curve():
    arguments = {"seed": 0, "env_steps": 2_000, "every": 500}
    result = run_trial(f"{dqn.OURS}:learning", arguments)
    assert len(result["mean_returns"]) == 4
    assert all(1 <= mean <= 500 for mean in result["mean_returns"])
    assert result["seconds"] == sorted(result["seconds"])
    assert [steps // 500 for steps in result["env_steps"]] == [1, 2, 3, 4]

"""What the benchmark of agents makes of its trials; without the peers."""

import pytest

from benchmarks import agents, agents_tables
from benchmarks.agents_settings import decay_of_learning_rate, make_config
from benchmarks.agents_trials import FLAGS, QUICK, rllib, sbx
from benchmarks.report import Report


def report():
    return Report(benchmark="agents", title="Agents", command="none", machine={})


def peer(*rates):
    return [{"env_steps_per_second": r, "updates_per_second": r / 2} for r in rates]


def ours(*rates, nodes=None):
    alone = {
        "env_steps_per_second_of_actors_alone": 1_000.0,
        "updates_per_second_of_learner_alone": 400.0,
    }
    return [{**rate, **alone, "nodes": nodes or {}} for rate in peer(*rates)]


def nodes(learner_waits, actors_wait):
    """Those of a run with two actors, of which one waits for the one or the other."""
    actor = {"works": 1 - actors_wait, "waits for learner.next_parameters": actors_wait}
    other = {"works": 1 - actors_wait, "waits for replay.write": actors_wait}
    return {
        "learner": {
            "works": 1 - learner_waits,
            "waits for replay.sample": learner_waits,
        },
        "actor/0": actor,
        "actor/1": other,
        "coordinator": {"waits for replay.past_env_steps": 1.0},
    }


def rows(made, title):
    (table,) = [t for t in made.tables if t["title"].startswith(title)]
    return {row["name"]: row["median"] for row in table["rows"]}


def bars(made):
    return {bar["name"]: (bar["value"], bar["holds"]) for bar in made.bars}


# --- Settings -------------------------------------------------------------------------


def test_peers_learn_at_our_rates_over_as_many_environment_steps():
    rate = {"start": 1e-3, "end": pytest.approx(1e-4)}
    # PPO makes 20 updates of 8 unrolls of 32 steps, IMPALA one of 8 of 20.
    assert decay_of_learning_rate(**FLAGS["ppo"]) == {
        **rate,
        "env_steps": 8_000 / 20 * 8 * 32,
    }
    assert decay_of_learning_rate(**FLAGS["impala"]) == {
        **rate,
        "env_steps": 2_000 * 8 * 20,
    }


def test_the_decay_is_that_of_the_flags():
    changed = {"learning_rate": 4e-3, "decay_updates": 4_000}
    decay = decay_of_learning_rate("ppo", num_actors=4, agent={"optimizer": changed})
    assert decay["start"] == 4e-3
    assert decay["env_steps"] == 102_400


def test_settings_of_the_agent_come_from_json():
    config = make_config("impala", num_actors=1, agent={"hidden_sizes": [128]})
    assert (config.num_actors, config.agent.hidden_sizes) == (1, (128,))
    assert config.environment == "CartPole-v1"


@pytest.mark.parametrize(
    ("agent", "peers"), [("ppo", (sbx, rllib)), ("impala", (rllib,)), ("sac", (sbx,))]
)
def test_peers_are_measured_in_our_window(agent, peers):
    (mine,) = {
        tuple(trial.args[1][end] for end in ("first_step", "last_step"))
        for trial in agents.ours(agent, QUICK).values()
    }
    for make in peers:
        trials = make(agent, QUICK)
        assert trials
        for trial in trials.values():
            _, arguments, *_ = trial.args
            assert (arguments["first_step"], arguments["last_step"]) == mine


# --- Throughput -----------------------------------------------------------------------


def test_the_faster_variant_of_a_peer_counts():
    results = {"RLlib": peer(2.0, 9.0, 2.0), "RLlib, in": peer(3.0, 1.0, 3.0)}
    assert agents_tables.fastest(results, "RLlib") == "RLlib, in"


def test_both_bars_of_sac_are_of_one_launcher():
    made = report()
    # The second is the quickest, though its own update alone was quicker still.
    results = {
        "serial": ours(400.0, nodes=nodes(0.0, 0.9)),
        "threads": ours(600.0, nodes=nodes(0.0, 0.9)),
        "processes": ours(500.0, nodes=nodes(0.0, 0.9)),
        "SBX": peer(500.0),
    }
    results["threads"][0]["updates_per_second_of_learner_alone"] = 600.0
    agents._report_sac(made, results)
    assert bars(made)["SAC, updates/s over SBX's"] == (1.2, True)
    assert bars(made)["SAC, updates/s over the update alone"] == (0.5, False)


def test_in_lock_step_both_efficiencies_make_up_that_of_turns():
    made = report()
    results = {launcher: ours(400.0) for launcher in ("serial", "threads", "processes")}
    agents_tables.report_efficiency(made, "PPO", results, lock_step=True)
    # 1,000 steps/s of acting and 400 updates/s in turns, half an update a step.
    in_turns = 1 / (1 / 1_000 + 0.5 / 400)
    over = rows(made, "PPO, full over acting, then learning")
    assert over["processes"] == pytest.approx(400 / in_turns)


def waits(learner_waits, actors_wait, **options):
    made = report()
    results = {
        launcher: ours(1.0, nodes=nodes(learner_waits, actors_wait))
        for launcher in agents_tables.FREE
    }
    agents_tables.report_waits(made, "DQN", results, **options)
    return made


def test_a_learner_may_not_wait_while_actors_do_for_whatever():
    name = "DQN, threads: the learner's wait, as actors wait too"
    assert bars(waits(0.04, 0.5))[name] == (0.04, True)
    made = waits(0.06, 0.5)
    assert bars(made)[name] == (0.06, False)
    assert rows(made, "DQN, share of time that actors waited")["threads"] == 0.5
    assert made.notes == []


def test_where_actors_have_no_time_to_spare_a_note_says_so():
    made = waits(0.6, 0.05)
    assert made.bars == []
    (note,) = made.notes
    assert note.startswith("DQN under threads and processes: actors wait at most 5%")
    assert "does not apply" in note


def test_in_lock_step_the_time_counts_in_which_nobody_works():
    made = waits(0.5, 0.6, lock_step=True)
    assert (made.bars, made.notes) == ([], [])
    idle = rows(made, "DQN, share of time in which neither")
    assert idle["processes"] == pytest.approx(0.1)
    overlapping = waits(0.3, 0.4, lock_step=True)
    assert rows(overlapping, "DQN, share of time in which neither")["threads"] == 0


# --- Learning -------------------------------------------------------------------------


def curve(*means, seconds=1.0):
    count = range(1, len(means) + 1)
    return {
        "env_steps": [1_000 * n for n in count],
        "seconds": [seconds * n for n in count],
        "mean_returns": list(means),
    }


GOOD, LUCKY = curve(20.0, 475.0, 475.0), curve(475.0, 20.0, 475.0)
SHARE = "PPO, share of seeds that reach 475, against SBX's"
FASTER = "PPO, median seconds to 475, against SBX's"


@pytest.mark.parametrize(
    ("mine", "theirs", "share", "faster"),
    [
        ([GOOD] * 5, [LUCKY] * 5, (1.0, True), (3.0, True)),
        ([GOOD] * 5, [GOOD] * 5, (1.0, True), (3.0, False)),
        ([GOOD] * 4 + [LUCKY], [GOOD] * 5, (0.8, False), (3.0, False)),
        ([GOOD] * 2 + [LUCKY], [GOOD] * 3 + [LUCKY] * 2, (2 / 3, True), (3.0, False)),
        # A seed that never reaches it is later than all.
        ([GOOD] * 2 + [LUCKY] * 3, [LUCKY] * 5, (0.4, True), (None, False)),
    ],
)
def test_ppo_reaches_its_target_twice_in_a_row(mine, theirs, share, faster):
    made = report()
    curves = {"acmelike": mine, "SBX": theirs, "RLlib": theirs}
    agents._report_learning_of_ppo(made, curves)
    assert bars(made)[SHARE] == share
    assert bars(made)[FASTER] == faster


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        (curve(20.0, 450.0, 460.0), "reaches 450 too, on its one seed after 3,000"),
        (curve(450.0, 20.0, 460.0), "does not reach 450 within 3,000 steps"),
    ],
)
def test_impala_keeps_its_target_and_what_rllib_reached_is_said(theirs, says):
    made = report()
    kept, lost = curve(450.0, 450.0, 470.0), curve(450.0, 450.0, 440.0)
    mine = [kept, kept, kept, lost, LUCKY]
    agents._report_learning_of_impala(made, {"acmelike": mine, "RLlib": [theirs]})
    (bar,) = made.bars
    assert (bar["value"], bar["bar"], bar["holds"]) == (3, ">= 4", False)
    assert says in made.notes[-1]

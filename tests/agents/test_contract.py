"""What every agent's builder keeps: its parts fit together, and it is a value."""

import copy
import functools
import re
import subprocess
import sys
from pathlib import Path

import optree
import pytest

from acmelike.environments import VectorEnvironment
from acmelike.errors import ConfigError
from acmelike.testing import AgentContract
from tests.agents.contract import AGENTS, NUM_ACTORS, NUM_ENVS, VARIANTS

NAMES = [
    pytest.param(name, marks=pytest.mark.slow if name in VARIANTS else [])
    for name in AGENTS
]
ROOT = Path(__file__).parents[2]
CHECKS = [name for name in dir(AgentContract) if name.startswith("check_")]


@functools.cache
def contract(name):
    agent = AGENTS[name]
    return AgentContract(
        agent.builder, agent.factory, num_envs=NUM_ENVS, num_actors=NUM_ACTORS
    )


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_contract(name, check):
    getattr(contract(name), check)()


def test_the_checks_are_those():
    names = [check.__name__ for check in contract("dqn").checks()]
    assert names == sorted(CHECKS) and len(names) == 11


@pytest.mark.parametrize(
    ("check", "change", "words"),
    [
        (
            "policy_outputs",
            lambda t: {"output": t.output._replace(action=t.output.action[:1])},
            "act returned actions of shape (1,); 4 environments take (4,)",
        ),
        (
            "batch_is_as_the_table_says",
            lambda t: {
                "sample": t.sample._replace(
                    data=optree.tree_map(lambda x: x[:1], t.sample.data)
                )
            },
            "items.o_tm1 of the batch is float32 [1, 5, 3], and the table says float32",
        ),
        (
            "update_changes_parameters_and_keeps_types",
            lambda t: {"after": t.before},
            "the first update changed no parameter",
        ),
        (
            "priorities_are_what_replay_takes",
            lambda t: {"outputs": t.outputs._replace(priorities=None)},
            "update returned no priorities, and table 'transitions' samples by them",
        ),
    ],
)
def test_a_check_can_fail(check, change, words):
    """Whole agents with faults are in `test_broken_agents.py`."""
    trial = contract("dqn").trial
    broken = copy.copy(contract("dqn"))
    broken.trial = trial._replace(**change(trial))
    with pytest.raises(AssertionError, match=re.escape(words)):
        getattr(broken, f"check_{check}")()


def test_an_agent_without_jax_is_checked_without_jax():
    code = """
import sys
sys.modules["jax"] = None  # It cannot be imported.
from tests.agents.plain import PlainBuilder, make_contract
for check in make_contract(PlainBuilder()).checks():
    check()
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", NAMES)
def test_its_policy_has_a_text(name):
    """So that actors do without JAX."""
    agent = contract(name)
    policy = agent.portable(agent.agent.parameters(agent.trial.before))
    assert policy.text is not None


@pytest.mark.parametrize("name", AGENTS)
def test_it_refuses_actions_that_it_cannot_choose(name):
    """Of the kind that the table of agents says."""
    builder, _, factory, refused = AGENTS[name]
    spec = VectorEnvironment(factory, num_envs=1, seed=0).spec
    with pytest.raises(ConfigError, match=f"^{builder.name} needs "):
        builder.check(spec._replace(actions=refused))

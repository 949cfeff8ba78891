"""The policy of a run: written whole, loaded without the run, acting as it acted."""

import json
import pickle
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
from dm_env import specs

from acmelike import load_policy
from acmelike.agents.dqn import DQNBuilder, DQNConfig
from acmelike.agents.impala import ImpalaBuilder, ImpalaConfig
from acmelike.agents.ppo import PPOBuilder, PPOConfig
from acmelike.environments import CatchFactory
from acmelike.errors import ConfigError
from acmelike.evaluation.policy_file import PolicyFile, read_policy
from acmelike.networks import Moments
from acmelike.policies import make_portable
from acmelike.types import EnvironmentSpec, OffsetDiscreteArray
from tests.counting_agent import CountingBuilder

ROOT = Path(__file__).parents[2]
RECORD = {"learner_steps": 7, "mean_return": 2.5}
BUILDERS = {
    "dqn": DQNBuilder(config=DQNConfig(hidden_sizes=(16,))),
    "ppo": PPOBuilder(
        config=PPOConfig(normalize_observations=True, hidden_sizes=(16,)), batch_size=2
    ),
    "impala": ImpalaBuilder(config=ImpalaConfig(hidden_sizes=(16,), lstm_size=8)),
}
VECTOR, IMAGE = (3,), (5, 4, 2)


def make_spec(shape):
    return EnvironmentSpec(
        observations=specs.Array(shape, np.float32),
        actions=specs.DiscreteArray(6, np.int64),
        rewards=specs.Array((), np.float32),
        discounts=specs.BoundedArray((), np.float32, 0, 1),
    )


def make_parameters(builder, spec):
    """Random ones; where observations are normalised, as if far from zero."""
    agent = builder.make_agent(spec)
    # Compiled, as JAX would otherwise compile each of many operations by itself.
    init = jax.jit(lambda key: agent.parameters(agent.init(key)))
    parameters = jax.device_get(init(jax.random.key(1)))
    # Logits are alike at first, so that rounding would decide.
    parameters = jax.tree.map(lambda x: 30 * x if x.ndim == 2 else x, parameters)
    if any(parameters.get("moments", ())):
        moments = Moments(np.float32(9), *np.float32([[2] * 3, [0.5] * 3]))
        parameters = {**parameters, "moments": (moments,)}
    return parameters


def make_policy(builder, parameters, spec):
    return make_portable(builder, spec, parameters)


def save(folder, builder, parameters, shape=VECTOR):
    spec = make_spec(shape)
    PolicyFile(
        path=str(folder / "policy.zip"),
        builder=builder,
        spec=spec,
        environment_factory=CatchFactory(),
    ).write(make_policy(builder, parameters, spec), parameters, RECORD)


def save_counting(folder, count=3):
    save(folder, CountingBuilder(), {"count": np.int32(count)})


def test_parameters_keep_a_type_that_numpy_does_not_have(tmp_path):
    count = np.asarray(3, ml_dtypes.bfloat16)
    save(tmp_path, CountingBuilder(), {"count": count})
    found = read_policy(tmp_path / "policy.zip").parameters["count"]
    assert found.dtype == ml_dtypes.bfloat16 and found == count


# --- Acting -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape"),
    [("dqn", VECTOR), ("ppo", VECTOR), ("impala", VECTOR), ("impala", IMAGE)],
)
def test_it_acts_as_the_agent_would_one_by_one_and_in_batches(tmp_path, name, shape):
    builder, spec = BUILDERS[name], make_spec(shape)
    parameters = make_parameters(builder, spec)
    save(tmp_path, builder, parameters, shape)
    one, many = load_policy(tmp_path), load_policy(tmp_path)
    # By the text, as such large weights make much of rounding.
    act = make_policy(builder, parameters, spec).load_text()(parameters)
    random = np.random.default_rng(0)
    inputs = builder.make_greedy_inputs(spec)
    chosen = set()
    for _ in range(2):
        state = tuple(jax.tree.leaves(inputs.init(4)))
        one.reset()
        many.reset()
        for _ in range(12):
            seen = random.normal(0, 2, (4, *shape)).astype(np.float32)
            noise = inputs.noise(random, 4)
            expected, state, _ = act(state, seen, noise)
            actions = many.act_batch(seen)
            assert actions.dtype == np.int64
            np.testing.assert_array_equal(actions, expected)
            action = one.act(seen[0])
            assert (action.shape, action.dtype) == ((), np.int64)
            assert action == expected[0]
            chosen.update(actions.tolist())
    assert len(chosen) >= 2


def test_reset_forgets_the_episode(tmp_path):
    builder = BUILDERS["impala"]
    save(tmp_path, builder, make_parameters(builder, make_spec(VECTOR)))
    policy = load_policy(tmp_path)
    seen = np.random.default_rng(3).normal(0, 3, (20, 3)).astype(np.float32)
    first = [policy.act(x) for x in seen]
    without_reset = [policy.act(x) for x in seen]
    policy.reset()
    assert [policy.act(x) for x in seen] == first != without_reset


def test_observations_may_be_lists_or_of_another_precision(tmp_path):
    save_counting(tmp_path)
    policy = load_policy(tmp_path)
    assert policy.act([0.5, 1, 2]) == policy.act(np.zeros(3, np.float64)) == 3


def test_observations_that_do_not_fit_are_refused(tmp_path):
    save_counting(tmp_path)
    policy = load_policy(tmp_path)
    with pytest.raises(ValueError, match=r"shape \(4,\), its spec.* says \(3,\)"):
        policy.act(np.zeros(4))
    with pytest.raises(ValueError, match=r"shape \(3,\), its spec.* says \(3, 3\)"):
        policy.act_batch(np.zeros(3))
    with pytest.raises(ValueError, match=r"dtype complex128, its spec.* says float32"):
        policy.act(np.zeros(3, complex))
    policy.act_batch(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="3 observations after 2: call `reset` before"):
        policy.act_batch(np.zeros((3, 3)))
    policy.reset()
    assert policy.act_batch(np.zeros((3, 3))).tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"place": [0.0, np.nan], "room": 1}, "has nan in 'place'; its numbers must"),
        ({"place": [0.0, np.inf], "room": 1}, "has inf in 'place'; its numbers must"),
        ({"place": [0.0, 1.0], "room": 3}, "has 3 in 'room'; its spec.* says 0 to 2"),
    ],
)
def test_observations_that_no_environment_may_return_are_refused(tmp_path, seen, words):
    rooms = {"place": specs.Array((2,), np.float32), "room": specs.DiscreteArray(3)}
    spec = make_spec(VECTOR)._replace(observations=rooms)
    builder, parameters = CountingBuilder(), {"count": np.int32(3)}
    PolicyFile(
        path=str(tmp_path / "policy.zip"),
        builder=builder,
        spec=spec,
        environment_factory=CatchFactory(),
    ).write(make_policy(builder, parameters, spec), parameters, RECORD)
    policy = load_policy(tmp_path)
    good = {"place": [0.0, 1.0], "room": 2}
    assert policy.act(good) == 3
    with pytest.raises(ValueError, match=f"observation 0 {words}"):
        policy.act(seen)
    policy.reset()
    both = {name: np.stack([good[name], seen[name]]) for name in good}
    with pytest.raises(ValueError, match=f"observation 1 {words}"):
        policy.act_batch(both)


def test_a_small_network_acts_without_jax(tmp_path):
    builder = BUILDERS["dqn"]
    save(tmp_path, builder, make_parameters(builder, make_spec(VECTOR)))
    script = (
        "import sys, acmelike\n"
        "print(acmelike.load_policy(sys.argv[1]).act([1.0, 2.0, 3.0]))\n"
        "assert 'jax' not in sys.modules\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) == load_policy(tmp_path).act([1.0, 2.0, 3.0])


# --- What is kept -----------------------------------------------------------------


def test_it_keeps_where_it_acted_and_how_well(tmp_path):
    save_counting(tmp_path)
    policy = load_policy(tmp_path)
    assert policy.record == RECORD
    assert policy.environment_factory == CatchFactory()
    assert policy.spec.observations == make_spec(VECTOR).observations


def test_the_parameters_can_be_read_without_pickle(tmp_path):
    builder = BUILDERS["dqn"]
    parameters = make_parameters(builder, make_spec(VECTOR))
    save(tmp_path, builder, parameters)
    with zipfile.ZipFile(tmp_path / "policy.zip") as archive:
        facts = json.loads(archive.read("policy.json"))
        assert (facts["agent"], facts["record"]) == ("dqn", RECORD)
        for number, name in enumerate(facts["parameters"]):
            with archive.open(f"parameters/{number}.npy") as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
            np.testing.assert_array_equal(array, eval(name, {"parameters": parameters}))


def test_a_newer_policy_takes_the_place_of_an_older(tmp_path):
    for count in (2, 5):
        save_counting(tmp_path, count)
    assert load_policy(tmp_path).act([0, 0, 0]) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["policy.zip"]


def test_one_that_cannot_be_written_leaves_the_older(tmp_path):
    save_counting(tmp_path, 2)
    (tmp_path / "policy.zip.tmp").mkdir()
    with pytest.raises(IsADirectoryError):
        save_counting(tmp_path, 5)
    assert load_policy(tmp_path).act([0, 0, 0]) == 2


def test_a_class_of_a_script_goes_along(tmp_path):
    script = """
import sys
from dataclasses import dataclass
from pathlib import Path
from tests.counting_agent import CountingBuilder
from tests.counting_learner import CountingAgent
from tests.evaluation.test_saved_policy import save
import numpy as np

class Mine(CountingAgent):
    pass

class MyBuilder(CountingBuilder):
    def make_agent(self, spec):
        return Mine(num_updates=1, num_actions=6)

save(Path(sys.argv[1]), MyBuilder(), {"count": np.int32(4)})
"""
    subprocess.run([sys.executable, "-c", script, tmp_path], cwd=ROOT, check=True)
    assert load_policy(tmp_path).act([0, 0, 0]) == 4


# --- What is refused --------------------------------------------------------------


def refusal(folder):
    with pytest.raises(ConfigError) as caught:
        load_policy(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_without_a_policy(tmp_path):
    assert refusal(tmp_path) == (
        f"there is no policy in {tmp_path}: it holds no policy.zip, which a run leaves "
        "after its first evaluation"
    )
    assert "there is no policy in" in refusal(tmp_path / "none")
    (tmp_path / "file").touch()
    assert "Not a directory" in refusal(tmp_path / "file")


def test_a_policy_that_is_cut_off_or_changed_anywhere_is_refused(tmp_path):
    save_counting(tmp_path)
    path = tmp_path / "policy.zip"
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        assert "policy.zip is damaged: " in refusal(tmp_path)
    random, found = np.random.default_rng(0), 0
    for place in random.integers(len(whole), size=200):
        changed = bytearray(whole)
        changed[place] ^= 1 << random.integers(8)
        path.write_bytes(changed)
        try:  # What the archive says of times and of itself may change unharmed.
            assert load_policy(tmp_path).act([0, 0, 0]) == 3
        except ConfigError as error:
            assert "policy.zip" in str(error)
            found += 1
    assert found > 100


def rewrite(path, name, change):
    """Changes one member of a policy, as a newer acmelike or a vandal might."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members[name] = change(members[name])
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)


@pytest.mark.parametrize(("number", "age"), [(1, "an older"), (3, "a newer")])
def test_a_policy_of_another_format_is_refused(tmp_path, number, age):
    save_counting(tmp_path)
    rewrite(
        tmp_path / "policy.zip",
        "policy.json",
        lambda content: content.replace(b'"format": 2', b'"format": %d' % number),
    )
    assert refusal(tmp_path).endswith(
        f"policy.zip has format {number} of {age} acmelike, this one reads format 2"
    )


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": "new"}', b"\xff"])
def test_facts_that_say_something_else_are_refused(tmp_path, content):
    save_counting(tmp_path)
    rewrite(tmp_path / "policy.zip", "policy.json", lambda _: content)
    assert "policy.zip is damaged: " in refusal(tmp_path)


@dataclass(frozen=True)
class Gone:
    """A value whose class will not be found."""


def test_a_policy_of_code_that_is_not_here_is_refused(tmp_path, monkeypatch):
    pickled = pickle.dumps((Gone(), None, None, {"count": 0}))
    save_counting(tmp_path)
    rewrite(tmp_path / "policy.zip", "agent.pkl", lambda _: pickled)
    monkeypatch.delattr(sys.modules[__name__], "Gone")
    assert "policy.zip needs code that is not here: AttributeError: " in refusal(
        tmp_path
    )


def test_actions_are_those_of_the_environment(tmp_path):
    """Agents count discrete actions from 0, and this environment from 5."""
    builder, spec = BUILDERS["dqn"], make_spec(VECTOR)
    kind = spec.actions.dtype
    offset = spec._replace(
        actions=OffsetDiscreteArray(5, spec.actions.num_values, kind, "action")
    )
    parameters = make_parameters(builder, spec)
    observations = np.random.default_rng(0).normal(size=(20, *VECTOR))
    found = []
    for number, of_env in enumerate((spec, offset)):
        folder = tmp_path / str(number)
        folder.mkdir()
        PolicyFile(
            path=f"{folder}/policy.zip",
            builder=builder,
            spec=of_env,
            environment_factory=CatchFactory(),
        ).write(make_policy(builder, parameters, of_env), parameters, RECORD)
        found.append(load_policy(folder).act_batch(observations))
    np.testing.assert_array_equal(found[1], found[0] + 5)

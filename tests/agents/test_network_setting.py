"""`network=`: a user's own network, ours by name, and what is refused."""

import json
import logging

import jax
import numpy as np
import pytest
from dm_env import specs

import acmelike as al
from acmelike.agents.dqn import DQNConfig
from acmelike.agents.dqn.agent import DQNBuilder
from acmelike.agents.ppo import PPOBuilder, PPOConfig
from acmelike.errors import ConfigError
from acmelike.policies import make_portable
from acmelike.policies.portable import PortablePolicy
from acmelike.types import MultiDiscreteArray
from tests.agents.compiled import first_parameters
from tests.agents.my_networks import Wavy
from tests.agents.settings import make_spec

VECTOR, IMAGE = (5,), (9, 7, 2)
HERE = "tests.agents.my_networks"


def make(agent, network):
    if agent == "dqn":
        return DQNBuilder(config=DQNConfig(network=network))
    return PPOBuilder(config=PPOConfig(network=network), batch_size=2)


def acts_alike(builder, shape) -> PortablePolicy:
    """Checks that text and JAX act alike on numbers; returns the policy."""
    observation = np.random.default_rng(0).normal(size=(6, *shape)).astype(np.float32)
    return acts_alike_on(observation, builder, make_spec(shape))


def acts_alike_on(observation, builder, spec) -> PortablePolicy:
    """Checks that text and JAX act alike on six observations; returns the policy."""
    agent, inputs = builder.make_agent(spec), builder.make_greedy_inputs(spec)
    parameters = first_parameters(agent)
    policy = make_portable(builder, spec, parameters)
    if policy.text is not None:
        noise = inputs.noise(np.random.default_rng(0), 6)
        expected = jax.jit(agent.act)(parameters, inputs.init(6), observation, noise)
        state = tuple(jax.tree.leaves(inputs.init(6)))
        found = policy.load_text()(parameters)(state, observation, noise)
        np.testing.assert_array_equal(found[0], expected.action)
        for name, value in expected.extras.items():
            np.testing.assert_allclose(found[2][name], value, rtol=1e-4, atol=1e-5)
    return policy


@pytest.mark.parametrize("agent", ["dqn", pytest.param("ppo", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (f"{HERE}:Wavy", VECTOR),
        (f"{HERE}:make_images", IMAGE),
        ("mlp", IMAGE),
        ("minatar", IMAGE),
        pytest.param("nature", (36, 36, 2), marks=pytest.mark.slow),
        pytest.param("impala_resnet", IMAGE, marks=pytest.mark.slow),
    ],
)
def test_a_network_by_its_name_acts_in_numpy_as_in_jax(agent, network, shape):
    builder = make(agent, network)
    builder.check(make_spec(shape))
    assert acts_alike(builder, shape).text is not None


CATEGORIES = {
    "cell": specs.BoundedArray((), np.int64, 5, 10),
    "levers": MultiDiscreteArray((2,), np.int64, [0, 4], [2, 5]),
}


def test_vectors_of_categories_are_looked_up_in_numpy_as_in_jax():
    config = DQNConfig(embedding_size=3, actor_priorities=True)
    spec = make_spec()._replace(observations=CATEGORIES)
    levers = np.array([[0, 4], [1, 5], [2, 4], [0, 5], [1, 4], [2, 5]])
    observation = {"cell": np.arange(5, 11), "levers": levers}
    policy = acts_alike_on(observation, DQNBuilder(config=config), spec)
    assert policy.text is not None


def test_what_a_convolution_multiplies_are_matrices():
    """As BLAS wants them: NumPy's own loops took 16 times as long."""
    text = acts_alike(make("dqn", "minatar"), IMAGE).text
    assert ".reshape((-1, 18)).dot(" in text


def test_in_python_it_may_be_a_class_a_function_or_an_instance():
    for network in (Wavy, Wavy(), lambda: Wavy()):
        assert acts_alike(make("dqn", network), VECTOR).text is not None


@pytest.mark.parametrize(
    ("name", "missing"), [("Sorting", "sort"), ("Dilated", "windows with dilation")]
)
def test_one_that_numpy_has_no_words_for_is_compiled_and_the_log_says_why(
    caplog, name, missing
):
    with caplog.at_level(logging.WARNING):
        policy = acts_alike(make("dqn", f"{HERE}:{name}"), VECTOR)
    assert policy.text is None
    assert f"actors use JAX, as NumPy text has no words for {missing}" in caplog.text


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("impala_resnt", "did you mean 'impala_resnet'?"),
        (f"{HERE}:Wavi", "my_networks has no 'Wavi'; did you mean 'Wavy'?"),
        (f"{HERE}:Inner", "my_networks has no 'Inner'"),
        ("no_such_module:Net", "there is no module 'no_such_module'"),
        (3, "must be a flax module or a name: 3"),
    ],
)
def test_a_wrong_network_is_refused_before_anything_starts(network, words):
    with pytest.raises(ConfigError) as caught:
        make("dqn", network).check(make_spec(VECTOR))
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("network", ["auto", "mlp", "minatar", f"{HERE}:Wavy"])
def test_the_channels_of_images_may_come_first(network):
    assert acts_alike(make("dqn", network), (4, 38, 38)).text is not None


def test_features_of_another_shape_are_refused():
    with pytest.raises(ConfigError, match=r"NotFeatures must return features \[B, F\]"):
        acts_alike(make("dqn", f"{HERE}:NotFeatures"), VECTOR)


@pytest.mark.slow
def test_ppo_trains_with_a_network_that_it_is_given(tmp_path):
    run = al.train(
        "ppo",
        "Catch",
        network=Wavy,
        out=tmp_path / "run",
        launch="serial",
        max_env_steps=96,
        evaluate_every=64,
        num_eval_episodes=2,
        num_actors=1,
        unroll_length=8,
        num_epochs=1,
        num_minibatches=1,
    )
    assert run.summary["status"] == "completed" and run.summary["learner_steps"] > 0
    config = json.loads((run.folder / "config.json").read_text())
    assert "Wavy" in config["agent"]["network"]
    assert run.policy.act(np.zeros((10, 5))) in (0, 1, 2)

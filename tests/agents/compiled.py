"""An agent's functions as tests call them: compiled, as by learners."""

import jax
import numpy as np
import pytest


def first_state(agent):
    """The training state before the first update; compiled as one, as by learners."""
    return jax.jit(agent.init)(jax.random.key(0))


def first_parameters(agent):
    """What a policy acts with before the first update, as NumPy's arrays."""
    return jax.device_get(agent.parameters(first_state(agent)))


def compiled_update(agent):
    """Its update, compiled, with a key if it is given one."""
    update = jax.jit(agent.update)

    def call(state, data, probabilities, key=None):
        return update(
            state, data, probabilities, jax.random.key(0) if key is None else key
        )

    return call


def check_what_is_drawn_often_counts_less(update, state, data):
    """Of four items, one that is hardly ever drawn counts whole, the others hardly."""

    def loss(probabilities):
        return float(update(state, data, probabilities)[1].loss)

    alone = [loss(np.where(np.arange(4) == k, 1e-12, 1.0)) for k in range(4)]
    assert sum(alone) == pytest.approx(loss(np.full(4, 0.05)), rel=1e-3)

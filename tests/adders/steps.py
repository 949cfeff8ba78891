"""Steps of environments in numbers, and transitions as numbers."""

import numpy as np

from acmelike.types import VectorStep

FIRST, MID, LAST = 0, 1, 2


def vector_step(kinds, rewards, discounts, observations):
    """A step of K environments from lists; an observation is one number in `[K, 1]`."""
    return VectorStep(
        step_type=np.array(kinds, np.int8),
        reward=np.array(rewards, np.float32),
        discount=np.array(discounts, np.float32),
        observation=np.array(observations, np.float32)[:, None],
    )


def first(*observations):
    zeros = [0] * len(observations)
    return vector_step(zeros, zeros, [1] * len(observations), observations)


def rows(transition):
    """`(o_tm1, a_tm1, r_t, discount_t, o_t, version)` of each; exact in binary."""
    if transition is None:
        return []
    return [
        (float(o_tm1[0]), int(a_tm1), float(r), float(discount), float(o_t[0]), int(v))
        for o_tm1, a_tm1, r, discount, o_t, v in zip(*transition[:6], strict=True)
    ]

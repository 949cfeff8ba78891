"""Every node's random stream comes from the program's seed and the node's label."""

from __future__ import annotations

import zlib

import numpy as np


def derive_seed(seed: int, label: str) -> int:
    """A seed in [0, 2**32) for one node, whatever the order in which nodes start."""
    entropy = [seed, zlib.crc32(label.encode())]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])

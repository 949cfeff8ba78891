"""Seeds of nodes: from the program's seed, the node's label, and its incarnation."""

from __future__ import annotations

import operator
import zlib
from typing import cast

from acmelike.errors import GraphError


class NodeSeed:
    """Stands for a node's own seed in its arguments; replaced when the node starts.

    Attributes:
      seed: of the program.
    """

    __slots__ = ("seed",)

    def __init__(self, seed: int):
        self.seed = seed

    def __repr__(self) -> str:
        return f"node_seed({self.seed})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeSeed) and other.seed == self.seed

    def __hash__(self) -> int:
        return hash((NodeSeed, self.seed))


def node_seed(seed: int) -> int:
    """An argument of a node that becomes its own seed when it starts.

        program.add_node(Node(Actor, seed=node_seed(0)), label="actor")

    Each node gets another seed, which follows from its label. A node that is started
    again gets another one than before: it would otherwise repeat what it did.

    Args:
      seed: of the program; a whole number of at least 0.

    Raises:
      GraphError: it is something else.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise GraphError(f"seed must be a whole number of at least 0: {seed!r}")
    return cast(int, NodeSeed(number))


def derive_seed(seed: int, label: str, incarnation: int = 0) -> int:
    """The seed of a node, in [0, 2**32).

    It does not depend on the order in which nodes are added or started.

    Args:
      seed: of the program.
      label: the node's.
      incarnation: how often the node was started before.
    """
    # Only here: a command line reads its flags before NumPy may start its threads.
    import numpy as np

    entropy = [seed, zlib.crc32(label.encode())]
    if incarnation:
        entropy.append(incarnation)
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])

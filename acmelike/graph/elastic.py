"""Elastic groups: which of a group's nodes run when not all of them do."""

from __future__ import annotations

from collections.abc import Sequence

from acmelike.errors import GraphError


def members(labels: Sequence[str], size: int) -> list[str]:
    """The nodes of a group that run if `size` of them do, in the group's order.

    They are spread over the group, whose nodes may differ by their places in it, as
    actors differ in how much they explore. A larger size keeps those of a smaller one.

        >>> members(["0", "1", "2", "3"], 2)
        ['0', '2']
    """
    ranks = start_ranks(len(labels))
    return [label for label, rank in zip(labels, ranks, strict=True) if rank < size]


def start_ranks(num_nodes: int) -> list[int]:
    """The place of each node in the order in which a group starts them as it grows.

    >>> start_ranks(4)
    [0, 2, 1, 3]
    """
    num_bits = max(num_nodes - 1, 0).bit_length()
    order = sorted(range(num_nodes), key=lambda index: _reversed(index, num_bits))
    ranks = [0] * num_nodes
    for rank, index in enumerate(order):
        ranks[index] = rank
    return ranks


def checked_size(group: str, size: int, num_nodes: int) -> int:
    """A size that a group can have.

    Raises:
      GraphError: it is below 1, or above the number of the group's nodes.
    """
    if 1 <= size <= num_nodes:
        return size
    raise GraphError(f"group '{group}' can have 1 to {num_nodes} nodes, not {size}")


def _reversed(index: int, num_bits: int) -> int:
    """The number with its bits in the opposite order, as of van der Corput."""
    return int(f"{index:0{num_bits}b}"[::-1], 2) if num_bits else 0

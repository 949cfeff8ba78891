"""Programs as data: nodes, handles, validation, drawing. Starts nothing."""

from acmelike.graph.handle import Handle, find_handles, replace_each
from acmelike.graph.node import Entry, Exposure, Node
from acmelike.graph.program import Program
from acmelike.graph.resources import Resources
from acmelike.graph.restart import RestartPolicy
from acmelike.graph.seed import NodeSeed, derive_seed, node_seed

__all__ = [
    "Entry",
    "Exposure",
    "Handle",
    "Node",
    "NodeSeed",
    "Program",
    "Resources",
    "RestartPolicy",
    "derive_seed",
    "find_handles",
    "node_seed",
    "replace_each",
]

"""Programs as data: nodes, handles, validation, drawing. Starts nothing."""

from acmelike.graph.handle import Handle, find_handles, replace_handles
from acmelike.graph.node import Entry, Exposure, Node
from acmelike.graph.program import Program

__all__ = [
    "Entry",
    "Exposure",
    "Handle",
    "Node",
    "Program",
    "find_handles",
    "replace_handles",
]

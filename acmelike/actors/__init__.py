"""Workers that act."""

from acmelike.actors.actor import Actor, LockStep

__all__ = ["Actor", "LockStep"]

"""Workers that act."""

from acmelike.actors.actor import Actor

__all__ = ["Actor"]

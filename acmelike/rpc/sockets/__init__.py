"""Calls between processes over Unix-domain sockets."""

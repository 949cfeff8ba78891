"""A service with calls of every kind, and the node that uses it."""

import threading
from dataclasses import dataclass

import numpy as np

from acmelike import concurrent, stop_run, when


@dataclass
class Item:
    name: str
    prices: np.ndarray


class Shop:
    may_go_on = threading.Event()  # For tests that end what hangs in their process.

    def __init__(self):
        self.num_sold = 0

    def echo(self, *args, **kwargs):
        return {"args": args, "kwargs": kwargs}

    def add(self, left, right):
        return left + right

    def scaled(self, image, *, by):
        """Of an image of bytes, as numbers."""
        assert image.dtype == np.uint8
        assert not image.flags.writeable
        return image.astype(np.float32) * by

    def item(self):
        return Item("apple", np.array([[1, 2], [3, 4]], np.float32))

    def fail(self):
        raise KeyError("sold out")

    def make_set(self):
        return {1, 2}

    def sell(self):
        self.num_sold += 1
        return self.num_sold

    def _blocks(self, num):
        return None if self.num_sold >= num else f"{self.num_sold} of {num} are sold"

    @when(_blocks)
    def wait_for(self, num):
        return f"{num} are sold"

    @concurrent
    def hang(self):
        self.may_go_on.wait()
        return "it went on"

    def hang_alone(self):
        self.may_go_on.wait()

    def close_shop(self):
        stop_run("the shop is closed")

    def _private(self):
        raise AssertionError


class Safe:
    """A node that is not exposed."""

    def open(self):
        raise AssertionError

"""The words of services and workers, outside a run."""

from __future__ import annotations

import pytest

from acmelike import future, sleep, stop_run, updating, when, within
from acmelike.core import concurrent, prefetch_depth
from acmelike.errors import NotReady, RunStopped


class Inbox:
    def __init__(self):
        self.items = []

    def _empty(self, num=1):
        held = len(self.items)
        return None if held >= num else f"{held} items of {num}"

    @when(_empty)
    def take(self, num=1):
        """Takes items."""
        taken, self.items = self.items[:num], self.items[num:]
        return taken

    def put(self, item):
        self.items.append(item)

    def _order(self, item):
        self.items.append(f"{item}, ordered")

    def _missing(self, item):
        return None if item in self.items else f"no {item}"

    @when(_missing, first=_order)
    def ordered(self, item):
        return item


def test_a_guarded_call_that_cannot_proceed_raises_with_the_reason():
    inbox = Inbox()
    with pytest.raises(NotReady, match=r"Inbox\.take: 0 items of 2"):
        inbox.take(num=2)
    inbox.put("a")
    assert inbox.take() == ["a"]
    assert inbox.take.__doc__ == "Takes items."


def test_a_call_that_cannot_proceed_has_done_what_it_does_first():
    inbox = Inbox()
    with pytest.raises(NotReady, match=r"Inbox\.ordered: no tea"):
        inbox.ordered("tea")
    assert inbox.items == ["tea, ordered"]


def test_a_future_of_a_plain_object_does_once_what_it_does_first():
    inbox = Inbox()
    call = future(inbox.ordered)("tea")
    assert not call.done()
    inbox.put("tea")
    assert call.result() == "tea"
    assert inbox.items == ["tea, ordered", "tea"]


def test_a_future_of_a_plain_object_proceeds_when_its_guard_lets_it():
    inbox = Inbox()
    call = future(inbox.take)(2)
    assert not call.done()
    with pytest.raises(NotReady, match="0 items of 2"):
        call.result()
    inbox.put("a")
    inbox.put("b")
    assert call.done()
    assert call.result() == call.result() == ["a", "b"]
    assert inbox.items == []


def test_a_cancelled_future_of_a_plain_object_takes_nothing():
    inbox = Inbox()
    call = future(inbox.take)()
    call.cancel()
    inbox.put("a")
    assert not call.done()
    with pytest.raises(NotReady, match="cancelled"):
        call.result()
    assert inbox.items == ["a"]


def test_a_future_of_a_plain_object_keeps_its_error():
    call = future({}.__getitem__)("nothing")
    assert call.done()
    with pytest.raises(KeyError, match="nothing"):
        call.result()


def test_a_deadline_on_a_plain_object_is_the_plain_call():
    inbox = Inbox()
    with pytest.raises(NotReady):
        within(1.0, inbox.take)()
    inbox.put("a")
    assert within(1.0, inbox.take)() == ["a"]
    assert future(within(1.0, inbox.put))("b").result() is None


def test_nothing_waits_outside_a_run():
    with pytest.raises(NotReady, match=r"sleep for 2\.0 s: a rest"):
        sleep(2.0, "a rest")
    with updating(Inbox()):
        pass
    assert prefetch_depth(3) == 0


def test_stop_run_unwinds_past_a_broad_except():
    with pytest.raises(RunStopped, match="done"):
        try:
            stop_run("done")
        except Exception as error:
            raise AssertionError from error


def test_a_method_cannot_be_both_guarded_and_concurrent():
    with pytest.raises(TypeError, match="take cannot be both"):
        concurrent(Inbox.take)

    with pytest.raises(TypeError, match="read cannot be both"):

        class _Both:
            @when(lambda self: None)
            @concurrent
            def read(self):
                raise AssertionError

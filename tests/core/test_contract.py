"""The words of services and workers, outside a run."""

from __future__ import annotations

import functools
import inspect
import re

import numpy as np
import pytest

from acmelike import (
    batched,
    deadline,
    idempotent,
    sleep,
    start,
    stop_run,
    updating,
    when,
)
from acmelike.core import concurrent, prefetch_depth
from acmelike.core.runtime import seconds_left
from acmelike.errors import ContractError, NotReady, RunStopped
from acmelike.rpc import interface_of


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


def test_a_guarded_call_that_cannot_proceed_raises_with_the_reason():
    inbox = Inbox()
    with pytest.raises(NotReady, match=r"Inbox\.take: 0 items of 2"):
        inbox.take(num=2)
    inbox.put("a")
    assert inbox.take() == ["a"]
    assert inbox.take.__doc__ == "Takes items."


def test_a_future_of_a_plain_object_proceeds_when_its_guard_lets_it():
    inbox = Inbox()
    call = start(inbox.take, 2)
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
    call = start(inbox.take)
    call.cancel()
    inbox.put("a")
    assert not call.done()
    with pytest.raises(NotReady, match="cancelled"):
        call.result()
    assert inbox.items == ["a"]


def test_a_future_of_a_plain_object_keeps_its_error():
    call = start({}.__getitem__, "nothing")
    assert call.done()
    with pytest.raises(KeyError, match="nothing"):
        call.result()


def test_a_deadline_has_no_effect_on_plain_objects():
    inbox = Inbox()
    with pytest.raises(NotReady), deadline(1.0):
        inbox.take()
    inbox.put("a")
    with deadline(0.0):
        assert inbox.take() == ["a"]


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_a_deadline_in_the_past_is_refused(seconds):
    with pytest.raises(ValueError, match="seconds must be at least 0"):
        deadline(seconds)


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_a_sleep_of_less_than_nothing_is_refused(seconds):
    with pytest.raises(ValueError, match="sleep: seconds must be at least 0"):
        sleep(seconds, "nothing")


def test_the_earliest_of_nested_deadlines_holds():
    assert seconds_left() is None
    with deadline(1.0):
        with deadline(9.0):
            assert seconds_left() <= 1.0
        with deadline(0.25):
            assert seconds_left() <= 0.25
        with deadline(None):
            assert seconds_left() <= 1.0
        assert 0.25 < seconds_left() <= 1.0
    assert seconds_left() is None


def test_a_deadline_may_be_entered_again_before_it_is_left():
    limit = deadline(1.0)
    with limit:
        with deadline(0.25), limit:
            assert seconds_left() <= 0.25
        assert 0.25 < seconds_left() <= 1.0
    assert seconds_left() is None


def test_a_scope_that_is_left_by_an_error_has_no_effect_afterwards():
    with pytest.raises(KeyError), deadline(1.0):
        raise KeyError
    assert seconds_left() is None


@pytest.mark.parametrize(
    "make",
    [
        lambda inbox: functools.partial(inbox.put, 1),
        lambda inbox: lambda: inbox.put(1),
        lambda inbox: len,
        lambda inbox: Inbox,
        lambda inbox: Inbox.put,
        lambda inbox: inbox.put(1),
    ],
)
def test_start_takes_methods_only(make):
    with pytest.raises(TypeError, match=r"start\(peer\.f, x\) calls a method"):
        start(make(Inbox()))


# --- Guards ------------------------------------------------------------------------


class Shelf:
    def __init__(self):
        self.free, self.seen = 1, []

    def _is_full(self, size):
        self.seen.append(size)
        return None if size <= self.free else f"{size} of {self.free}"

    @when(_is_full)
    def put(self, name, *, colour="red", size=1):
        return name, colour, size


@pytest.mark.parametrize(
    ("args", "kwargs", "size"),
    [(("a",), {}, 1), (("a",), {"size": 0}, 0), (("a",), {"colour": "blue"}, 1)],
)
def test_a_guard_gets_the_parameters_that_it_names(args, kwargs, size):
    shelf = Shelf()
    assert shelf.put(*args, **kwargs)[0] == "a"
    assert shelf.seen == [size]


def test_a_guard_gets_a_parameter_by_position_or_by_name():
    class Both:
        def _guard(self, second):
            return f"second is {second}"

        @when(_guard)
        def call(self, first, second, third=None):
            raise AssertionError

    for call in (lambda: Both().call(1, 2), lambda: Both().call(1, second=2)):
        with pytest.raises(NotReady, match=r"Both\.call: second is 2"):
            call()


@pytest.mark.parametrize("default", [inspect.Parameter.empty, 1])
def test_a_guard_has_the_defaults_of_the_method(default):
    def guard(self, num):
        return f"num is {num}"

    parameters = list(inspect.signature(guard).parameters.values())
    parameters[1] = parameters[1].replace(default=default)
    guard.__signature__ = inspect.Signature(parameters)

    class Takes:
        @when(guard)
        def take(self, num=2):
            raise AssertionError

    with pytest.raises(NotReady, match="num is 2"):
        Takes().take()


def test_a_guard_of_any_arguments_is_refused_unless_the_method_takes_the_same():
    def guard(self, *numbers):
        return f"numbers are {numbers}"

    class Same:
        @when(guard)
        def add(self, *numbers):
            raise AssertionError

    with pytest.raises(NotReady, match=r"numbers are \(1, 2\)"):
        Same().add(1, 2)
    with pytest.raises(
        TypeError, match=r"takes '\*numbers', .* name those that it uses"
    ):

        class _Other:
            @when(guard)
            def add(self, first, *numbers):
                raise AssertionError


def test_a_guard_gets_a_parameter_that_stands_behind_any_number_of_others():
    class Many:
        def _guard(self, last):
            return f"last is {last}"

        @when(_guard)
        def call(self, first, *others, last):
            raise AssertionError

    with pytest.raises(NotReady, match="last is 4"):
        Many().call(1, 2, 3, last=4)


def test_a_call_without_an_argument_that_the_guard_names_is_a_type_error():
    class Both:
        def _guard(self, second):
            raise AssertionError

        @when(_guard)
        def call(self, first, second):
            raise AssertionError

    with pytest.raises(TypeError, match="call is called without 'second'"):
        Both().call(1)


def test_a_guard_that_names_what_the_method_does_not_have_is_refused():
    def guard(self, sizes):
        raise AssertionError

    with pytest.raises(TypeError, match=r"names 'sizes', .*put; did you mean 'size'"):

        class _Wrong:
            @when(guard)
            def put(self, size):
                raise AssertionError


@pytest.mark.parametrize("reason", [True, False, "", 0, ["full"]])
def test_a_guard_that_returns_no_reason_and_not_none_is_an_error(reason):
    class Wrong:
        @when(lambda self: reason)
        def call(self):
            raise AssertionError

    message = re.escape(f"the guard of Wrong.call returned {reason!r}: a guard returns")
    with pytest.raises(ContractError, match=message):
        Wrong().call()


# --- The rest ----------------------------------------------------------------------


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


def test_static_and_class_methods_may_be_concurrent():
    class Snapshot:
        @concurrent
        @staticmethod
        def of_none():
            return 1

        @concurrent
        @classmethod
        def of_class(cls):
            return 2

    snapshot = Snapshot()
    assert (snapshot.of_none(), snapshot.of_class()) == (1, 2)
    assert snapshot.of_none.is_concurrent and snapshot.of_class.is_concurrent


class Reads:
    """Methods that are declared idempotent, together with every other word."""

    def _never(self):
        return "it never comes"

    @idempotent
    def plain(self):
        return 1

    @idempotent
    @when(_never)
    def before_when(self):
        raise AssertionError

    @when(_never)
    @idempotent
    def after_when(self):
        raise AssertionError

    @idempotent
    @concurrent
    def before_concurrent(self):
        return 2

    @concurrent
    @idempotent
    def after_concurrent(self):
        return 2

    @idempotent
    @batched(max_size=2)
    def before_batched(self, x):
        return x

    @batched(max_size=2)
    @idempotent
    def after_batched(self, x):
        return x

    @idempotent
    @staticmethod
    def before_static():
        return 3

    @staticmethod
    @idempotent
    def after_static():
        return 3

    def other(self):
        return 4


def test_a_method_is_idempotent_in_any_order_of_the_words():
    interface = interface_of(Reads)
    assert interface.idempotent == interface.methods - {"other"}
    reads = Reads()
    assert (reads.plain(), reads.after_concurrent(), reads.before_static()) == (1, 2, 3)
    assert reads.after_batched(np.float32(5)) == 5
    for method in (reads.before_when, reads.after_when):
        with pytest.raises(NotReady, match="it never comes"):
            method()


def test_a_method_that_replaces_an_idempotent_one_says_so_itself():
    class Changes(Reads):
        def plain(self):
            return 5

    assert "plain" not in interface_of(Changes).idempotent


def test_what_is_no_method_is_not_idempotent():
    with pytest.raises(TypeError, match="idempotent declares a method"):
        idempotent(property(lambda self: 1))

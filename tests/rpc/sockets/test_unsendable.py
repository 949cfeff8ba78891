"""What cannot be pickled: an error of its call, and of nothing else."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from acmelike import concurrent, start, when
from acmelike.errors import RpcFailed
from acmelike.rpc import Request
from acmelike.rpc.sockets.shared_memory import LARGE_BYTES
from tests.launchers.fakes import wait_until
from tests.rpc.sockets.serving import FAR, NEAR, serving


class Shop:
    """Has something that cannot be pickled, and gives it in calls of each kind."""

    def __init__(self):
        self.lock, self.is_open, self.num_calls = threading.Lock(), False, 0

    def echo(self, value):
        self.num_calls += 1
        return value

    def give(self):
        return self.lock

    def give_with_array(self):
        return [np.zeros(LARGE_BYTES, np.uint8), self.lock]

    @concurrent
    def give_aside(self):
        return self.lock

    def _is_shut(self):
        return None if self.is_open else "it is shut"

    @when(_is_shut)
    def give_late(self):
        return self.lock

    @when(_is_shut)
    def enter(self):
        return "welcome"

    def open_up(self):
        self.is_open = True


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture(params=[NEAR, FAR], ids=["near", "far"])
def served(request, shop, tmp_path):
    """Served to processes of this host, or as to those of others."""
    with serving(shop, tmp_path, request.param) as found:
        yield found


def check_goes_on(served, parked):
    """The connection is the same one: a call that was parked before has its outcome."""
    assert not parked.done()
    served.client.open_up()
    assert parked.result() == "welcome"


@pytest.mark.parametrize("has_array", [False, True])
def test_an_argument_that_cannot_be_pickled_is_an_error_of_its_call(
    served, shop, has_array
):
    value = [np.zeros(LARGE_BYTES, np.uint8), shop.lock] if has_array else shop.lock
    parked = start(served.client.enter)
    for call in (
        lambda: served.client.echo(value),
        lambda: served.client.echo(value=value),
        lambda: start(served.client.echo, value).result(),
    ):
        with pytest.raises(RpcFailed, match="pickle"):
            call()
    assert served.client.echo(1) == 1
    assert shop.num_calls == 1
    check_goes_on(served, parked)


@pytest.mark.parametrize("method", ["give", "give_with_array", "give_aside"])
def test_an_outcome_that_cannot_be_pickled_is_an_error_of_its_call(served, method):
    parked = start(served.client.enter)
    for _ in range(2):
        with pytest.raises(RpcFailed, match="pickle"):
            getattr(served.client, method)()
    assert served.client.echo(1) == 1
    check_goes_on(served, parked)


def test_who_lets_calls_proceed_has_no_error_of_their_outcomes(served):
    late = [start(served.client.give_late) for _ in range(2)]
    entering = start(served.client.enter)
    wait_until(lambda: len(served.server.parked()) == 3)
    call = served.server.submit(Request("open_up", (), {}, None, "outside"))
    assert call.result() is None
    for given in late:
        with pytest.raises(RpcFailed, match="pickle"):
            given.result()
    assert entering.result() == "welcome"
    assert served.client.echo(1) == 1


@pytest.mark.parametrize("method", ["echo", "give", "give_aside"])
def test_an_error_of_pickle_names_the_method_and_what_to_do(served, shop, method):
    arguments = (shop.lock,) if method == "echo" else ()
    what = "arguments cannot" if method == "echo" else "outcome cannot"
    words = rf"store\.{method}: its {what} be sent \(.*pickle.*\); (give|return) "
    with pytest.raises(RpcFailed, match=words):
        getattr(served.client, method)(*arguments)

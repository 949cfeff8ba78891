"""What is still running when the interpreter exits."""

from __future__ import annotations

import threading

from acmelike import when
from acmelike.errors import RpcClosed
from acmelike.launchers import run as run_module
from acmelike.launchers.scheduler import FreeScheduler
from acmelike.rpc import Request, Server
from tests.launchers.contract import LIMIT


def test_there_is_time_to_kill_what_has_not_ended_in_its_grace(monkeypatch):
    class Slow:
        """A run with a process that has to be killed after the grace."""

        _grace_seconds = 4.0

        def __init__(self):
            self._released, self.waited = self, 0.0

        def stop(self, reason):
            pass

        def wait(self, seconds):
            self.waited = seconds

    slow = Slow()
    monkeypatch.setattr(run_module, "_running", [slow])
    run_module._stop_all()
    assert slow.waited >= slow._grace_seconds + 2.0


class Gate:
    """Has a method that runs until it may end, and one that waits for ever."""

    def __init__(self):
        self.is_held, self.may_end = threading.Event(), threading.Event()

    def hold(self):
        self.is_held.set()
        self.may_end.wait(LIMIT)

    def _never(self):
        return "it never opens"

    @when(_never)
    def enter(self):
        raise AssertionError


def test_a_busy_service_is_closed_where_no_thread_can_be_started(monkeypatch):
    gate, scheduler = Gate(), FreeScheduler(threading.Event())
    server = Server("gate", scheduler, None)
    server.open(gate)
    parked = server.submit(Request("enter", (), {}, None, "outside"))
    hold = Request("hold", (), {}, None, "outside")
    holder = threading.Thread(target=server.submit, args=(hold,))
    holder.start()
    assert gate.is_held.wait(LIMIT)

    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    try:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            server.close("the interpreter exits")
        assert not parked.done()
    finally:
        gate.may_end.set()
        holder.join()
    # The thread that ran the method has tested what was parked.
    assert isinstance(parked.error, RpcClosed)

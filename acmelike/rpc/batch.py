"""The calls of a batched method that wait to be handled at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from acmelike.core.batched import Batched
from acmelike.errors import ContractError
from acmelike.rpc.call import Call
from acmelike.rpc.freeze import freeze

if TYPE_CHECKING:
    from acmelike.core.stacking import Form, Nest

Readable: TypeAlias = "list[tuple[Call, Nest]]"


class Batch:
    """The waiting calls of one batched method of a service, the oldest first.

    Any thread may add a call. All else is done under the service's lock.

    Args:
      method: what handles them.

    Attributes:
      method: what handles them.
      calls: that wait, in order of arrival.
      is_urgent: whether the next test of its calls handles them.
      has_run: whether some of its calls were handled since the lock was taken. Others
        have to wait until it is released, as only then these get their answers.
    """

    def __init__(self, method: Batched):
        self.method = method
        self.calls: list[Call] = []
        self.is_urgent = self.has_run = False
        # The form that most requests so far had, and how many more than others.
        self._usual: Form | None = None
        self._majority = 0

    def __str__(self) -> str:
        """Why its calls wait, as of now."""
        method = self.method
        if method.timeout == 0:
            return "the service to be free"
        missing = max(0, method.max_size - len(self.calls))
        until = f", or {method.timeout:g} s" if method.timeout < math.inf else ""
        return f"{missing} more of {method.max_size} requests{until}"

    @property
    def is_full(self) -> bool:
        """Whether it need not wait for more calls."""
        return len(self.calls) >= self.method.max_size

    def is_due(self, now: float) -> bool:
        """Whether its oldest calls are to be handled."""
        if not self.calls:
            return False
        return self.is_full or self.is_urgent or now >= self.due_at(self.calls[0])

    def due_at(self, call: Call) -> float:
        """When a call waits no longer for others."""
        return call.came + self.method.timeout

    def is_oldest(self, call: Call) -> bool:
        """Whether no call has waited longer."""
        return self.calls[:1] == [call]  # Another thread may take it meanwhile.

    def take(self) -> list[Call]:
        """Takes the oldest calls, as many as are handled at once."""
        taken = self.calls[: self.method.max_size]
        del self.calls[: len(taken)]
        self.is_urgent, self.has_run = False, True
        return taken

    def read(self, calls: Sequence[Call]) -> Readable:
        """The calls whose arguments can be stacked; the others fail."""
        readable: Readable = []
        for call in calls:
            try:
                nest = self.method.read(call.request.args, call.request.kwargs)
            except Exception as error:  # What was sent may be anything.
                kind = TypeError if isinstance(error, TypeError) else ContractError
                call.fail(kind(f"{call.target}: {error}"))
            else:
                readable.append((call, nest))
        if len({nest.form for _, nest in readable}) > 1:
            return self._of_usual_form(readable)
        return readable

    def _of_usual_form(self, readable: Readable) -> Readable:
        from acmelike.core.stacking import difference

        # Among equals the one that has come first, so that runs are reproducible.
        votes = Counter([nest.form for _, nest in readable])
        if self._usual is not None and self._usual in votes:
            votes[self._usual] += self._majority
        usual = max(votes, key=votes.__getitem__)
        for call, nest in readable:
            if nest.form != usual:
                words = difference(nest.form, usual)
                call.fail(ContractError(f"{call.target}: {words}"))
        return [entry for entry in readable if entry[1].form == usual]

    def handle(self, service: Any, readable: Readable) -> list[Any]:
        """Calls the method; returns an answer for each of the calls."""
        nests = [nest for _, nest in readable]
        answer = freeze(self.method.run(service, nests))
        rows = self.method.split(service, answer, len(nests))
        self._note_answered(nests[0].form, len(nests))
        return rows

    def _note_answered(self, form: Form, number: int) -> None:
        # The majority vote of Boyer and Moore: one form and one number are enough.
        self._majority += number if form == self._usual else -number
        if self._majority < 0:
            self._usual, self._majority = form, -self._majority

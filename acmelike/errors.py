"""Every error that acmelike raises, as one tree.

AcmelikeError
|-- ConfigError            the user's mistake: one line, exit status 2
|   `-- GraphError         a program that cannot be launched
|-- NotReady               outside a run: a guarded call that cannot proceed
|-- ContractError          code that breaks the contract of nodes
|-- RpcError               a call over an edge
|   |-- RpcTimeout         its deadline passed
|   |-- RpcClosed          it ended without an outcome, with the run above all
|   |   |-- ConnectionLost  the connection was lost; it may have run
|   |   `-- RefLost        the process that stored a value has ended
|   |-- RpcFailed          it raised an error that cannot be sent
|   `-- NoSuchMethod       the node's class has no such public method
|-- RunError               a launched program
|   |-- NodeFailed         a node raised
|   |-- ProcessDied        a node's process ended before the run
|   |-- Deadlock           every node waits and nothing can wake one
|   `-- RunTimeout         it did not end in time
|-- StoreFull              al.put: stored values would take too much memory
|-- CheckpointDamaged      a checkpoint with a missing or changed file
|-- EnvironmentFault       an environment that breaks its own specification
`-- NonFinite              learning that produced an infinity or a NaN

RunStopped stands apart: like SystemExit it is not an Exception. `stop_run` raises it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AcmelikeError(Exception):
    """The root of acmelike's errors."""


class ConfigError(AcmelikeError, ValueError):
    """A mistake of the user, told in one line before anything starts."""


class CheckpointDamaged(AcmelikeError):
    """A checkpoint with a missing, truncated or changed file; the message names it."""


class GraphError(ConfigError):
    """A program that cannot be launched; names the node and the argument's path."""


class NotReady(AcmelikeError):
    """Outside a run, a guarded call that cannot proceed yet; has the guard's reason."""


class ContractError(AcmelikeError):
    """Code that breaks the contract of nodes, such as a service that uses an edge."""


class RpcError(AcmelikeError):
    """A call over an edge that did not return."""


class RpcTimeout(RpcError, TimeoutError):
    """The deadline of a call or a wait passed; says what was waited for, and why."""


class RpcClosed(RpcError):
    """A call that ended without an outcome: its run did, or its connection was lost."""


class ConnectionLost(RpcClosed):
    """A call whose connection was lost; the message says whether it may have run."""


class RefLost(RpcClosed):
    """A stored value that is gone, because the process that stored it has ended."""


class RpcFailed(RpcError):
    """Between processes, something cannot be sent or read as it is.

    That is the arguments of a call, its outcome, or the error that its method raised.
    """


class NoSuchMethod(RpcError, AttributeError):
    """A call of a public method that the node's service does not have."""


class StoreFull(AcmelikeError, MemoryError):
    """A value that `put` has no room for; says what is stored, and the limit."""


class RunError(AcmelikeError):
    """A launched program that did not end as asked."""


class NodeFailed(RunError):
    """A node raised; the cause is chained.

    Attributes:
      label: the node's label.
      where: the part that failed: "constructor", "step", "run", "function", "guard of
        ...", "process" if its process died, or "start" if it could not be made there.
        What `close` raises is only logged.
    """

    def __init__(self, label: str, where: str, cause: BaseException):
        self.label, self.where = label, where
        self.__cause__ = cause
        super().__init__(label, where, cause)

    def __str__(self) -> str:
        cause = self.__cause__
        # Not notes of several lines, which are for the traceback, as JAX's about it.
        notes = "".join(
            f" ({note})" for note in getattr(cause, "__notes__", ()) if "\n" not in note
        )
        text = "" if cause is None else describe(cause)
        return f"node '{self.label}' failed in its {self.where}: {text}{notes}"


class ProcessDied(RunError):
    """A node's process ended, or was killed, before the run did."""


class Deadlock(RunError):
    """Every node waits and no timer is set; the message has every node's reason."""


class RunTimeout(RunError, TimeoutError):
    """The run did not end within the time that `Run.wait` was given."""


class RunStopped(BaseException):
    """Raised by `stop_run`. It is not an Exception: a broad `except` lets it pass."""


class EnvironmentFault(AcmelikeError):
    """An environment that returned what its own specification does not allow."""


class NonFinite(AcmelikeError):
    """A loss that became infinite or NaN, or parameters with NaN."""


def first_line(error: BaseException) -> str:
    """An error in one line: its message, and its type unless it is acmelike's own."""
    is_own = isinstance(error, AcmelikeError)
    text = str(error) if is_own else describe(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not is_own and len(lines) > 1 and lines[0] == f"{type(error).__name__}:":
        lines[0] += f" {lines[1]}"  # The message begins with an empty line.
    return lines[0].rstrip(": ") if lines else type(error).__name__


def describe(error: BaseException) -> str:
    """The type and message of an exception, even if its `__str__` raises."""
    try:
        message = str(error)
    except Exception as failure:
        message = f"its message cannot be shown: {type(failure).__name__}"
    return f"{type(error).__name__}: {message}".rstrip(": ")


def nearest(name: str, names: Iterable[str]) -> str:
    """The text "; did you mean '...'?" for the most similar name, or "" without one."""
    matches = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean '{matches[0]}'?" if matches else ""

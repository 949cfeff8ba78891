"""Values that are stored once, and travel as small refs: `put` and `Ref`."""

from __future__ import annotations

import itertools
import pickle
import threading
import weakref
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar, cast

import numpy as np
import optree

from acmelike.core.contract import idempotent
from acmelike.core.leaf import refuse_inside_leaf
from acmelike.errors import RefLost, RpcClosed
from acmelike.rpc.client import Client
from acmelike.rpc.freeze import freeze
from acmelike.rpc.sockets.codec import Payload
from acmelike.rpc.sockets.ledger import (
    NUMBERS_PER_INCARNATION,
    Key,
    Ledger,
    current,
)
from acmelike.rpc.sockets.pickle_codec import make_payload, reduce_in_messages
from acmelike.rpc.sockets.shared_memory import LARGE_BYTES, BlockPool, pool

T = TypeVar("T")

# The node that serves the stored values of a process; no program's node has this name.
VALUES = "(values)"
# Between two looks at connections on which nobody waits for an answer.
_LOOK_SECONDS = 1.0
_store: Store | None = None


def put(value: T) -> Ref[T]:
    """Stores a value once, for many readers, and returns a small ref of it.

    Between processes the value is copied once, into memory that all processes of this
    host can read. It is kept for as long as anybody has a ref of it.

    Args:
      value: anything that can be pickled; its arrays become read-only.

    Raises:
      StoreFull: the values that this process stores would take more than a quarter of
        the machine's memory.
    """
    frozen = freeze(value)
    return Ref(frozen) if _store is None else cast("Ref[T]", _store.put(frozen))


class Ref(Generic[T]):
    """Names a value that `put` has stored; it may travel inside any message.

    Attributes:
      num_bytes: size of the value, as far as it consists of arrays.
    """

    __slots__ = (
        "__weakref__",
        "_givers",
        "_has_value",
        "_payload",
        "_store",
        "_value",
        "key",
        "num_bytes",
    )

    def __init__(
        self,
        value: Any = None,
        *,
        store: Store | None = None,
        key: Key | None = None,
        num_bytes: int | None = None,
        payload: Payload | None = None,
    ):
        self._store, self.key, self._payload = store, key, payload
        self._has_value = store is None or payload is not None
        self._value = value
        # On which connections it came, and how often.
        self._givers: dict[Ledger, int] = {}
        self.num_bytes = _num_bytes(value) if num_bytes is None else num_bytes

    def get(self) -> T:
        """Returns the value, read-only.

        In another process of the same host nothing is copied. A process of another host
        fetches it once, for as long as it has a ref of it.

        Raises:
          RefLost: the process that stored it has ended.
          RpcTimeout: the deadline of the scope around it passed.
          ContractError: in a method, a guard or `updating`, where nothing may wait.
        """
        refuse_inside_leaf("ref.get()")
        if not self._has_value:
            assert self._store is not None and self.key is not None
            self._value = self._store.fetch(self.key)
            self._has_value = True
        return cast(T, self._value)

    def __repr__(self) -> str:
        owner = "" if self.key is None else f" of node '{self.key.owner}'"
        return f"<Ref to {self.num_bytes:,} bytes{owner}>"

    def __reduce__(self) -> Any:
        if self.key is None:
            return put, (self._value,)
        raise TypeError(
            f"{self!r} can only travel in the calls of its run: pickle what its get() "
            f"returns"
        )


def _reduce(ref: Ref[Any]) -> Any:
    """As `Ref.__reduce__`, in a message."""
    if ref.key is None:
        return ref.__reduce__()
    current.refs = [*(current.refs or ()), ref]
    return _arrived, (ref.key, ref.num_bytes)


reduce_in_messages(Ref, _reduce)


def _arrived(key: Key, num_bytes: int) -> Ref[Any]:
    """The ref that came with the message that is unpickled."""
    ledger = current.ledger
    if ledger is None or ledger.holder is None:
        raise TypeError("a Ref can only travel in the calls of its run")
    return cast("Ref[Any]", ledger.holder.arrive(key, num_bytes, ledger))


class Store:
    """The values that a process has stored, and the refs that it has of others.

    Args:
      client: makes a client of the values of the process that stored one.

    Attributes:
      owner: the label of a node of this process; None in a process that stores nothing
        for others.
    """

    def __init__(self, client: Callable[[Key], Client], blocks: BlockPool = pool):
        self._client, self._blocks = client, blocks
        self.owner: str | None = None
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._refs: weakref.WeakValueDictionary[Key, Ref[Any]] = (
            weakref.WeakValueDictionary()
        )
        # What a thread for it does, as refs end in any thread and at any moment.
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._watched: set[Ledger] = set()
        self._is_closed = False

    # --- Values of this process

    def serve(self, owner: str, incarnation: int = 0) -> None:
        """From now on values can be stored.

        Args:
          owner: a node of this process.
          incarnation: of this process.
        """
        self.owner = owner
        self._numbers = itertools.count(incarnation * NUMBERS_PER_INCARNATION)
        self._blocks.on_end = partial(self.later, self._blocks.trim)

    def put(self, value: Any) -> Ref[Any]:
        """Stores a value; see the function `put`."""
        assert self.owner is not None
        payload = make_payload(value)
        key = Key(self.owner, next(self._numbers))
        num_array_bytes = payload.num_bytes - len(payload.body)
        is_large = num_array_bytes >= LARGE_BYTES
        # Refs in it are not read back: they would count as refs that have arrived.
        if is_large and not payload.refs and self._blocks.store(payload):
            value = pickle.loads(payload.body, buffers=payload.views)
        num_bytes = payload.num_bytes
        ref: Ref[Any] = Ref(
            value, store=self, key=key, num_bytes=num_bytes, payload=payload
        )
        self._refs[key] = ref
        self._start_thread()
        return ref

    def payload(self, number: int) -> Payload:
        """What `fetch` of another process reads.

        Raises:
          RefLost: it is not stored any more.
        """
        assert self.owner is not None
        ref = self._refs.get(Key(self.owner, number))
        if ref is None or ref._payload is None:
            raise RefLost(f"node '{self.owner}' has dropped the value")
        return ref._payload

    # --- Values of other processes

    def arrive(self, key: Key, num_bytes: int, ledger: Ledger) -> Ref[Any]:
        """The ref that came with a message; there is one for each value."""
        with self._lock:
            ref = self._refs.get(key)
            if ref is None:
                ref = Ref(store=self, key=key, num_bytes=num_bytes)
                self._refs[key] = ref
                end = partial(_give_back, ref._givers, key)
                weakref.finalize(ref, self.later, end).atexit = False
            is_home = ref._payload is not None
            if not is_home:
                ref._givers[ledger] = ref._givers.get(ledger, 0) + 1
        if ledger.poll is not None:
            self.watch(ledger)
        self._start_thread()
        if is_home:  # The value is here, so nobody needs to keep it for this process.
            self.later(partial(ledger.give_back, key, 1))
        return ref

    def fetch(self, key: Key) -> Any:
        """The value of a ref of another process; see `Ref.get`."""
        values = self._client(key)
        try:
            # First the memory is mapped, and then there is nothing to copy.
            values.prepare(key.number)
            return values.fetch(key.number)
        except RefLost:
            raise
        except RpcClosed as error:
            raise RefLost(f"the value is lost: {error}") from error

    # --- The thread

    def watch(self, ledger: Ledger) -> None:
        """From now on calls `poll` of a ledger now and then, until it is closed."""
        if ledger not in self._watched:
            self._watched.add(ledger)
            self._start_thread()
            self.later(self._look)

    def later(self, call: Callable[[], None]) -> None:
        """Calls a function soon, in a thread that holds no lock; at any moment."""
        self._calls.put(call)

    def close(self) -> None:
        """Ends the thread; nothing is given back any more."""
        with self._lock:
            self._is_closed = True
        if self._thread is not None:
            self._calls.put(None)
            self._thread.join()

    def _start_thread(self) -> None:
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(
                    target=self._run, name="keeper of refs", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        call: Callable[[], None] | None = self._look
        while call is not None:
            call()
            call = None  # Or what it is about would be kept until there is another one.
            try:
                is_needed = self._watched or self._blocks.has_surplus()
                call = self._calls.get(timeout=_LOOK_SECONDS if is_needed else None)
            except Empty:
                call = self._look

    def _look(self) -> None:
        """Reads what was said of refs where no call waits, and lets go of memory."""
        if self._blocks.has_surplus():
            self._blocks.trim()
        for ledger in list(self._watched):
            if ledger.is_closed or ledger.poll is None:
                self._watched.discard(ledger)
            else:
                ledger.poll()


def _give_back(givers: dict[Ledger, int], key: Key) -> None:
    """Tells those who sent a ref that it was dropped; they may let go of the value."""
    for ledger, count in givers.items():
        ledger.give_back(key, count)


class Values:
    """The service that a store is for other processes.

    Args:
      store: of this process.
    """

    def __init__(self, store: Store):
        self._store = store

    @idempotent
    def prepare(self, number: int) -> Any:
        """Offers the memory of a value to the caller's process."""
        answer = make_payload(None)
        answer.offers = self._store.payload(number)
        return answer

    @idempotent
    def fetch(self, number: int) -> Any:
        """Returns a value."""
        return self._store.payload(number)


def serve_values(store: Store, owner: str, incarnation: int = 0) -> Values:
    """Makes `put` store values for other processes, in the store of this process.

    Args:
      store: of this process.
      owner: the label of one of its nodes.
      incarnation: of this process.

    Returns:
      The service that the others call.
    """
    global _store
    store.serve(owner, incarnation)
    _store = store
    return Values(store)


def _num_bytes(value: Any) -> int:
    leaves = optree.tree_leaves(value, none_is_leaf=True)
    return sum(leaf.nbytes for leaf in leaves if isinstance(leaf, np.ndarray))

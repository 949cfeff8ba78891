"""Programs: nodes, joined by the handles in their arguments."""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, cast

from acmelike.errors import GraphError, nearest
from acmelike.graph.drawing.mermaid import to_mermaid
from acmelike.graph.elastic import checked_size, members
from acmelike.graph.handle import Handle, find_handles
from acmelike.graph.node import COMPRESSIONS, Entry, Exposure, Node
from acmelike.graph.resources import Resources
from acmelike.graph.restart import RestartPolicy
from acmelike.graph.validation import validate

T = TypeVar("T")

_program_ids = itertools.count()


class Program:
    """A directed graph of nodes joined by edges. Building one starts nothing.

    Args:
      name: of the program, in pictures and messages.
    """

    def __init__(self, name: str):
        self.name = name
        self._id = next(_program_ids)
        self._keys = itertools.count()
        self._entries: dict[Handle, Entry] = {}
        # Of all entries, so that a program of thousands of nodes is made quickly.
        self._labels: set[str] = set()
        self._num_in_group = Counter[str | None]()
        self._promises: dict[Handle, str] = {}
        self._exposures: dict[Handle, Exposure] = {}
        self._sizes: dict[str, int] = {}
        self._group: str | None = None
        self._process: str | None = None

    def add_node(
        self,
        node: Node[T],
        *,
        label: str | None = None,
        fulfils: T | None = None,
        resources: Resources | None = None,
        variables: Mapping[str, str] | None = None,
        compression: str | None = None,
        restart: RestartPolicy | None = None,
    ) -> T:
        """Adds a node and returns its handle, which the type checker takes for a `T`.

        Args:
          node: the node to add.
          label: the node's name. Inside `group("actor")`, "x" becomes "actor/x" and
            None becomes "actor/0", "actor/1", and so on.
          fulfils: the handle that `promise` returned for this node, if there is one.
          resources: what the node needs of its host; None for one core.
          variables: environment variables of the node's process.
          compression: "zstd" to compress what is sent to the node and what it answers,
            where the other end is on another host; that needs `acmelike[cluster]`. It
            pays for images and other arrays that repeat themselves, on slow networks.
          restart: when the node is restarted after a failure; None for never, so
            that its first failure ends the run.

        Raises:
          GraphError: an empty or taken label, another program's promise, not a Node,
            a variable that is no text, or a compression that there is not.
        """
        if not isinstance(node, Node):
            name = getattr(node, "__name__", type(node).__name__)
            raise GraphError(
                f"add_node takes Node({name}, ...), got {node!r} in program "
                f"'{self.name}'"
            )
        label = self._full_label(label)
        if label in self._labels:
            raise GraphError(f"program '{self.name}' already has a node '{label}'")
        if fulfils is None:
            handle = self._new_handle()
        else:
            handle = cast(Handle, fulfils)
            if not isinstance(handle, Handle) or handle not in self._promises:
                raise GraphError(f"node '{label}' fulfils no open promise: {fulfils!r}")
        if compression is not None and compression not in COMPRESSIONS:
            raise GraphError(
                f"node '{label}': there is no compression {compression!r}, only "
                f"{', '.join(COMPRESSIONS)}{nearest(str(compression), COMPRESSIONS)}"
            )
        for variable, value in (variables or {}).items():
            if not (isinstance(variable, str) and isinstance(value, str)):
                raise GraphError(
                    f"node '{label}': names and values of variables are texts, such as "
                    f"{str(variable)!r}: {str(value)!r}, not {variable!r}: {value!r}"
                )
        self._promises.pop(handle, None)
        self._labels.add(label)
        self._num_in_group[self._group] += 1
        self._entries[handle] = Entry(
            label=label,
            node=node,
            group=self._group,
            process=self._process,
            resources=resources or Resources(),
            variables=dict(variables or {}),
            compression=compression,
            restart=restart,
        )
        return cast(T, handle)

    def promise(self, constructor: Callable[..., T]) -> T:
        """A handle of a node that is added later, for programs with cycles."""
        handle = self._new_handle()
        name = getattr(constructor, "__name__", repr(constructor))
        self._promises[handle] = name
        return cast(T, handle)

    @contextmanager
    def group(self, name: str, *, size: int | None = None) -> Iterator[None]:
        """Labels the nodes that are added inside `name/0`, `name/1`, and so on.

        Args:
          name: of the group.
          size: how many of its nodes are started; None for all of them. `Run.scale`
            starts and ends nodes later. It is for nodes that no other node calls.

        Raises:
          GraphError: a group in a group, no name, or a size that the group cannot have.
        """
        if self._group is not None:
            raise GraphError(f"group '{name}' inside group '{self._group}'")
        if not name or "/" in name:
            raise GraphError(f"a group needs a name without '/', not {name!r}")
        self._group = name
        try:
            yield
        finally:
            self._group = None
        if size is not None:
            self._sizes[name] = checked_size(name, size, len(self.labels_of(name)))

    @contextmanager
    def colocate(self, process: str) -> Iterator[None]:
        """Lets the nodes that are added inside share one process."""
        if self._process is not None:
            raise GraphError(f"process '{process}' inside process '{self._process}'")
        self._process = process
        try:
            yield
        finally:
            self._process = None

    def set_resources(self, name: str, **changes: Any) -> None:
        """Changes what the nodes of a group need of their hosts, or what one node does.

            program.set_resources("actor", num_cpus=0.5, place="spread")

        Args:
          name: a group, or the label of a node.
          **changes: fields of `Resources`; the others stay as they are.

        Raises:
          GraphError: there is no such group or node.
          ConfigError: a value is out of range.
        """
        chosen = {
            handle: entry
            for handle, entry in self._entries.items()
            if name in (entry.label, entry.group)
        }
        if not chosen:
            entries = self._entries.values()
            names = {each for e in entries for each in (e.label, e.group) if each}
            groups = sorted({e.group or e.label for e in entries})
            raise GraphError(
                f"program '{self.name}' has no group or node '{name}'"
                f"{nearest(name, names)} (there are: {', '.join(groups)})"
            )
        for handle, entry in chosen.items():
            resources = dataclasses.replace(entry.resources, **changes)
            self._entries[handle] = dataclasses.replace(entry, resources=resources)

    def expose(
        self,
        handle: object,
        *,
        port: int = 0,
        ip: str = "127.0.0.1",
        tls: bool | None = None,
    ) -> None:
        """Lets programs that are not of the run, in any language, call a node.

        Its process listens on a TCP port for that node alone. `Run.endpoint` has what
        a caller needs. Calls are data, and nothing that a caller sends is unpickled.

        Args:
          handle: the node's.
          port: where to listen; 0 for one that is free.
          ip: likewise; the default is for callers on the same host. "0.0.0.0" is every
            network of the host.
          tls: whether callers speak TLS 1.3, which needs `acmelike[cluster]`; None to
            do so where callers may be on other hosts.

        Raises:
          GraphError: not a node of this program, one that serves nothing, the same node
            or port twice, no ip or port, or no TLS where other hosts may call.
        """
        entry = self.entry(handle)
        where = f"node '{entry.label}' cannot be exposed"
        if entry.node.is_function:
            raise GraphError(f"{where}: it is a function, which has no methods to call")
        if handle in self._exposures:
            raise GraphError(f"{where} twice: remove one of the two calls of expose")
        if not 0 <= port < 2**16:
            raise GraphError(f"{where} at port {port}: ports are 0 to 65535")
        try:
            is_loopback = ipaddress.ip_address(ip).is_loopback
        except ValueError:
            raise GraphError(
                f"{where} at {ip!r}: pass an ip of this host, such as '127.0.0.1', or "
                f"'0.0.0.0' for all of them"
            ) from None
        if tls is False and not is_loopback:
            raise GraphError(
                f"{where} at {ip} without TLS: others could read and change its calls; "
                f"leave tls out, or listen at 127.0.0.1"
            )
        has_tls = not is_loopback if tls is None else tls
        exposure = Exposure(ip=ip, port=port, tls=has_tls)
        for other, taken in self._exposures.items():
            if port and (taken.ip, taken.port) == (ip, port):
                raise GraphError(
                    f"{where} at {exposure}: node '{self.entry(other).label}' is there"
                )
        self._exposures[cast(Handle, handle)] = exposure

    def labels_of(self, group: str) -> list[str]:
        """The labels of a group's nodes, in the order in which they were added."""
        return [e.label for e in self._entries.values() if e.group == group]

    @property
    def elastic_groups(self) -> dict[str, list[str]]:
        """The groups that have a size, with the labels of all their nodes."""
        return {name: self.labels_of(name) for name in self._sizes}

    @property
    def absent(self) -> set[str]:
        """The labels of the nodes that are not started with the program."""
        found: set[str] = set()
        for name, size in self._sizes.items():
            labels = self.labels_of(name)
            found.update(set(labels) - set(members(labels, size)))
        return found

    @property
    def exposures(self) -> dict[Handle, Exposure]:
        """Where nodes are exposed, by handle."""
        return dict(self._exposures)

    @property
    def entries(self) -> dict[Handle, Entry]:
        """The nodes by handle, in the order in which they were added."""
        return dict(self._entries)

    @property
    def promises(self) -> dict[Handle, str]:
        """The promises that no node has fulfilled, with their constructors' names."""
        return dict(self._promises)

    def entry(self, handle: object) -> Entry:
        """The node that a handle stands for.

        Raises:
          GraphError: it is not a handle of this program.
        """
        if isinstance(handle, Handle) and handle in self._entries:
            return self._entries[handle]
        raise GraphError(f"{handle!r} is not a node of program '{self.name}'")

    def edges(self) -> list[tuple[str, str]]:
        """Every edge once, as (label of the caller, label of the callee)."""
        found: dict[tuple[str, str], None] = {}
        for entry in self._entries.values():
            node = entry.node
            for _, handle in find_handles([node.constructor, node.args, node.kwargs]):
                found[entry.label, self.entry(handle).label] = None
        return list(found)

    def validate(self) -> None:
        """Checks all that can be checked before a launch.

        Raises:
          GraphError: the first fault found, with the node and the argument's path.
        """
        validate(self.name, self._entries, self._promises)
        called = {callee for _, callee in self.edges()}
        exposed = {self.entry(handle).label for handle in self._exposures}
        for entry in self._entries.values():
            if entry.group not in self._sizes:
                continue
            if entry.label in called:
                why = "others call it"
            elif entry.label in exposed:
                why = "it is exposed"
            elif entry.process is not None:
                why = "it shares one"
            else:
                continue
            raise GraphError(
                f"program '{self.name}': group '{entry.group}' has a size, so that "
                f"'{entry.label}' needs a process of its own and no callers: {why}"
            )

    def draw(self, format: Literal["mermaid", "svg"] = "mermaid") -> str:
        """The program as a picture.

        Args:
          format: "mermaid" for a flowchart that Markdown viewers draw, "svg" for a
            drawing that stands alone.

        Raises:
          GraphError: another format, or a promise that no node has fulfilled.
        """
        if format == "mermaid":
            return to_mermaid(list(self._entries.values()), self.edges())
        if format == "svg":
            # Imported only here: the layout library takes long to import.
            from acmelike.graph.drawing.svg import to_svg

            return to_svg(self.name, list(self._entries.values()), self.edges())
        raise GraphError(f"a program is drawn as 'mermaid' or 'svg', not {format!r}")

    def _repr_svg_(self) -> str | None:
        """The picture that notebooks show; None while a promise is open."""
        return None if self._promises else self.draw("svg")

    def _new_handle(self) -> Handle:
        return Handle(self.name, self._id, next(self._keys))

    def _full_label(self, label: str | None) -> str:
        if self._group is None:
            if not label or not label.strip():
                raise GraphError(f"a node of program '{self.name}' has an empty label")
            return label
        if label is None:
            label = str(self._num_in_group[self._group])
        if not label.strip():
            raise GraphError(f"a node of group '{self._group}' has an empty label")
        return f"{self._group}/{label}"

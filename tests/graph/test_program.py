"""Programs: building, validation, drawing."""

from __future__ import annotations

import functools
import threading
from collections import defaultdict
from dataclasses import dataclass

import pytest

from acmelike import Node, Program, launch
from acmelike.errors import ConfigError, GraphError
from acmelike.graph import Handle, find_handles, replace_each


class Queue:
    def __init__(self, size=1):
        self.size = size


class Worker:
    def __init__(self, queue, *, extra=None):
        self.queue, self.extra = queue, extra

    def step(self):
        raise AssertionError("never launched")


@dataclass(frozen=True)
class Settings:
    queue: object
    sizes: tuple = ()


@pytest.fixture
def program():
    return Program("test")


def test_labels_are_made_from_groups(program):
    queue = program.add_node(Node(Queue), label="queue")
    with program.group("worker"):
        first = program.add_node(Node(Worker, queue))
        named = program.add_node(Node(Worker, queue), label="named")
        third = program.add_node(Node(Worker, queue))
    labels = [program.entry(h).label for h in (queue, first, named, third)]
    assert labels == ["queue", "worker/0", "worker/named", "worker/2"]
    assert program.entry(first).group == "worker"


@pytest.mark.parametrize("label", ["", "  ", None])
def test_an_empty_label_is_refused(program, label):
    with pytest.raises(GraphError, match="program 'test' has an empty label"):
        program.add_node(Node(Queue), label=label)


def test_a_duplicate_label_is_refused(program):
    program.add_node(Node(Queue), label="queue")
    with pytest.raises(GraphError, match="already has a node 'queue'"):
        program.add_node(Node(Queue), label="queue")


def test_colocated_nodes_share_a_process(program):
    with program.colocate("trainer"):
        one = program.add_node(Node(Queue), label="one")
        two = program.add_node(Node(Queue), label="two")
    three = program.add_node(Node(Queue), label="three")
    processes = [program.entry(h).process for h in (one, two, three)]
    assert processes == ["trainer", "trainer", None]
    assert "one</b><br/>Queue<br/>in process trainer" in program.draw()


def test_variables_are_texts_and_one_for_a_process(program):
    with pytest.raises(GraphError, match=r"such as 'OMP_NUM_THREADS': '4', not .*: 4$"):
        program.add_node(Node(Queue), label="no", variables={"OMP_NUM_THREADS": 4})
    with program.colocate("trainer"):
        program.add_node(Node(Queue), label="first")
        for label in ("one", "two"):
            program.add_node(Node(Queue), label=label, variables={"WHO": label})
    with pytest.raises(GraphError, match=r"'one' and 'two' share .* the same WHO"):
        program.validate()


def test_groups_and_processes_do_not_nest(program):
    with program.group("a"), pytest.raises(GraphError, match="'b' inside group 'a'"):
        with program.group("b"):
            raise AssertionError
    with program.colocate("a"), pytest.raises(GraphError, match="inside process 'a'"):
        with program.colocate("b"):
            raise AssertionError


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (lambda h: h, "extra"),
        (lambda h: [1, (2, h)], "extra[1][1]"),
        (lambda h: {"key": h}, "extra['key']"),
        (lambda h: Settings(queue=h), "extra.queue"),
        (lambda h: functools.partial(max, h, key=len), "extra.args[0]"),
        (lambda h: functools.partial(max, key=h), "extra.keywords['key']"),
    ],
)
def test_a_handle_of_another_program_is_named_with_its_path(program, value, path):
    other = Program("other").add_node(Node(Queue), label="queue")
    program.add_node(Node(Worker, None, extra=value(other)), label="worker/7")
    with pytest.raises(GraphError) as caught:
        program.validate()
    assert "node 'worker/7'" in str(caught.value)
    assert f"argument {path} is a handle of another program" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (lambda node: node, "extra"),
        (lambda node: [1, {"key": node}], "extra[1]['key']"),
        (lambda node: Settings(queue=node), "extra.queue"),
    ],
)
def test_a_node_in_the_place_of_a_handle_is_named_with_its_path(program, value, path):
    extra = value(Node(Queue))
    program.add_node(Node(Worker, None, extra=extra), label="worker/7")
    with pytest.raises(GraphError) as caught:
        program.validate()
    assert str(caught.value) == (
        f"node 'worker/7': argument {path} is a Node: pass the handle that add_node "
        f"returned"
    )


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda queue: queue, "Handle"),
        (lambda queue: functools.partial(queue, 1), "Handle"),
        (lambda queue: Node(Queue), "Node"),
    ],
)
def test_what_cannot_be_called_is_no_constructor(program, make, kind):
    queue = program.add_node(Node(Queue), label="queue")
    program.add_node(Node(make(queue)), label="worker")
    message = f"node 'worker': its constructor is a {kind}: pass a class or a function"
    with pytest.raises(GraphError, match=message):
        program.validate()


def test_a_partial_of_a_handle_is_named_with_its_path(program):
    queue = program.add_node(Node(Queue), label="queue")
    extra = [functools.partial(queue, 1)]
    program.add_node(Node(Worker, None, extra=extra), label="worker")
    message = r"argument extra\[0\] is a partial of <handle 0 .*>, which cannot be call"
    with pytest.raises(GraphError, match=message):
        program.validate()


def test_an_unpicklable_value_is_named_with_its_path(program):
    extra = Settings(queue=None, sizes=(1, threading.Lock()))
    program.add_node(Node(Worker, None, extra=extra), label="worker")
    message = r"node 'worker': argument extra\.sizes\[1\] cannot be pickled: .*lock"
    with pytest.raises(GraphError, match=message):
        program.validate()


def test_an_unpicklable_constructor_is_named(program):
    lock = threading.Lock()
    program.add_node(Node(lambda: lock), label="worker")
    with pytest.raises(GraphError, match="'worker': its constructor cannot be pickled"):
        program.validate()


@pytest.mark.parametrize("visible", [False, True])
def test_a_hidden_handle_is_named_with_its_path(program, visible):
    queue = program.add_node(Node(Queue), label="queue")
    hidden = [lambda: queue, queue] if visible else [lambda: queue]
    program.add_node(Node(Worker, None, extra=hidden), label="worker")
    message = r"node 'worker': argument extra\[0\] hides <handle 0 of program 'test'>"
    with pytest.raises(GraphError, match=message):
        program.validate()


def test_an_unfulfilled_promise_is_named(program):
    program.add_node(Node(Worker, program.promise(Queue)), label="worker")
    with pytest.raises(GraphError, match="the promise of a Queue was never fulfilled"):
        program.validate()


def test_a_promise_is_fulfilled_once_and_by_its_own_program(program):
    promise = program.promise(Queue)
    with pytest.raises(GraphError, match="'b' fulfils no open promise"):
        Program("other").add_node(Node(Queue), label="b", fulfils=promise)
    program.add_node(Node(Queue), label="a", fulfils=promise)
    with pytest.raises(GraphError, match="'b' fulfils no open promise"):
        program.add_node(Node(Queue), label="b", fulfils=promise)


def test_a_node_that_is_refused_leaves_its_promise_open(program):
    promise = program.promise(Queue)
    with pytest.raises(GraphError, match="no compression 'zst'"):
        program.add_node(Node(Queue), label="a", fulfils=promise, compression="zst")
    assert program.add_node(Node(Queue), label="a", fulfils=promise) is promise


def test_arguments_that_do_not_fit_the_constructor_are_told(program):
    program.add_node(Node(Worker), label="worker")
    message = "node 'worker': Worker: missing a required argument: 'queue'"
    with pytest.raises(GraphError, match=message):
        program.validate()


@pytest.mark.parametrize("launcher", ["serial", "threads", "processes"])
def test_every_launch_validates_first(program, launcher):
    program.add_node(Node(Worker), label="worker")
    with pytest.raises(GraphError, match="missing a required argument"):
        launch(program, launcher)


def test_an_unknown_launcher_is_refused_with_the_nearest_name(program):
    with pytest.raises(ConfigError, match="launcher 'thread'; did you mean 'threads'"):
        launch(program, "thread")


def test_a_handle_says_what_it_is_when_it_is_used_too_early(program):
    queue = program.add_node(Node(Queue), label="queue")
    with pytest.raises(AttributeError, match=r"has no 'size'.*run\.client\(handle\)"):
        _ = queue.size


def test_a_handle_is_neither_called_nor_iterated_over(program):
    queue = program.add_node(Node(Queue), label="queue")
    with pytest.raises(TypeError, match=r"cannot be called: .*run\.client\(handle\)"):
        queue()
    with pytest.raises(TypeError, match=r"be iterated over: .*run\.client\(handle\)"):
        list(queue)


def test_what_holds_no_handle_is_not_rebuilt(program):
    queue = program.add_node(Node(Queue), label="queue")
    plain, holder = Settings(queue=1), Settings(queue=[queue])
    value = {"plain": plain, "holder": holder}
    new = replace_each(value, Handle, lambda handle: "client")
    assert new["plain"] is plain
    assert new["holder"] == Settings(queue=["client"])
    assert holder.queue == [queue]
    assert [path for path, _ in find_handles(value)] == ["['holder'].queue[0]"]
    assert isinstance(queue, Handle)


def test_a_handle_in_a_dict_of_another_class_becomes_a_client(program):
    queue = program.add_node(Node(Queue), label="queue")
    value = defaultdict(list, one=[queue])
    new = replace_each(value, Handle, lambda handle: "client")
    assert new == {"one": ["client"]} and new["two"] == []
    assert value == {"one": [queue]}


def test_a_process_may_not_have_the_name_of_a_node_elsewhere(program):
    program.add_node(Node(Queue), label="queue")
    with program.colocate("queue"):
        program.add_node(Node(Queue), label="other")
    with pytest.raises(GraphError, match="process 'queue' has the name of a node"):
        program.validate()


def test_drawing_shows_nodes_groups_and_edges(program):
    queue = program.add_node(Node(Queue), label="queue")
    with program.group("worker"):
        program.add_node(Node(Worker, queue))
        program.add_node(Node(Worker, queue, extra=[queue]))
    assert program.draw() == (
        "flowchart LR\n"
        '  n0["<b>queue</b><br/>Queue"]\n'
        '  subgraph g1["worker"]\n'
        '    n1["<b>worker/0</b><br/>Worker"]\n'
        '    n2["<b>worker/1</b><br/>Worker"]\n'
        "  end\n"
        "  n1 --> n0\n"
        "  n2 --> n0\n"
    )

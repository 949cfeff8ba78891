"""What may be exposed to other programs is checked when the program is built."""

import pytest

from acmelike import ConfigError, Node, Program, launch
from acmelike.errors import GraphError


class Service:
    def call(self):
        return 1


def work():
    pass


@pytest.fixture
def program():
    return Program("test")


@pytest.fixture
def service(program):
    return program.add_node(Node(Service), label="service")


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"port": -1}, "at port -1: ports are 0 to 65535"),
        ({"port": 65536}, "at port 65536"),
        ({"ip": "localhost"}, "at 'localhost': pass an ip of this host, such as '127"),
        ({"ip": ""}, "at '': pass an ip"),
        ({"ip": "0.0.0.0", "tls": False}, "at 0.0.0.0 without TLS: others could read"),
        ({"ip": "::", "tls": False}, "at :: without TLS"),
    ],
)
def test_a_place_that_cannot_be_is_refused(program, service, where, words):
    with pytest.raises(GraphError, match=f"node 'service' cannot be exposed.*{words}"):
        program.expose(service, **where)
    assert program.exposures == {}


def test_a_node_is_exposed_once_and_a_port_is_for_one(program, service):
    program.expose(service, port=5000)
    with pytest.raises(GraphError, match="node 'service' cannot be exposed twice"):
        program.expose(service)
    other = program.add_node(Node(Service), label="other")
    with pytest.raises(GraphError, match=r":5000: node 'service' is there"):
        program.expose(other, port=5000)
    program.expose(other, port=5000, ip="127.0.0.2")


def test_only_services_of_the_program_are_exposed(program):
    function = program.add_node(Node(work), label="work")
    with pytest.raises(GraphError, match="it is a function, which has no methods"):
        program.expose(function)
    foreign = Program("other").add_node(Node(Service), label="service")
    for handle in (foreign, Service(), program.promise(Service)):
        with pytest.raises(GraphError, match="is not a node of program 'test'"):
            program.expose(handle)


@pytest.mark.parametrize(
    ("ip", "tls", "has_tls"),
    [
        ("127.0.0.1", None, False),
        ("127.0.0.1", True, True),
        ("127.9.9.9", False, False),
        ("::1", None, False),
        ("0.0.0.0", None, True),
        ("10.1.2.3", None, True),
        ("::", True, True),
    ],
)
def test_where_other_hosts_may_call_there_is_tls(program, service, ip, tls, has_tls):
    program.expose(service, ip=ip, tls=tls)
    assert program.exposures[service].tls is has_tls


def test_serial_has_no_time_for_other_programs(program, service):
    program.expose(service)
    with pytest.raises(ConfigError, match=r"'service' is exposed .* 'serial' .* use"):
        launch(program, "serial")

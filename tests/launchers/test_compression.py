"""The setting `compression` of a node, under every launcher."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from acmelike import Node, Program, launch, put, stop_run
from acmelike.errors import ConfigError, GraphError
from tests.launchers.conftest import OTHERS, RAY
from tests.launchers.contract import LIMIT, Once, run_to_end

IMAGES = np.zeros((64, 84, 84), np.uint8)


class Mirror:
    """Gives back what it is sent, as it is and as a stored value."""

    def echo(self, images):
        return images

    def store(self, images):
        return put(images)


def make_program(worker, compression="zstd"):
    program = Program("packed")
    mirror = program.add_node(Node(Mirror), label="mirror", compression=compression)
    program.add_node(Node(Once, worker, mirror), label="worker")
    return program


def test_values_are_the_same_with_compression(launcher):
    def work(mirror):
        images = IMAGES + np.arange(84, dtype=np.uint8)
        assert (mirror.echo(images) == images).all()
        assert (mirror.store(images).get() == images).all()
        stop_run("the same")

    assert run_to_end(make_program(work), launcher) == "the same"


@pytest.mark.slow
def test_bytes_are_saved_between_hosts_only(launcher):
    def work(mirror):
        mirror.echo(IMAGES)
        for _ in range(2):
            mirror.echo(1)
        stop_run("sent")

    with launch(make_program(work), launcher) as run:
        assert run.wait(LIMIT) == "sent"
        edge = run.status()["worker"].edges["mirror.echo"]
    if launcher in OTHERS:
        assert edge.num_bytes < 0.1 * IMAGES.nbytes + 500 * edge.num_calls
    elif launcher in ("processes", RAY):  # All hosts of that cluster are one.
        assert edge.num_bytes > IMAGES.nbytes
    else:
        assert edge.num_bytes == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("zst", "there is no compression 'zst', only zstd; did you mean 'zstd'?"),
        ("gzip", "there is no compression 'gzip', only zstd"),
        (True, "there is no compression True, only zstd"),
    ],
)
def test_an_unknown_compression_is_refused_at_once(name, words):
    with pytest.raises(GraphError) as caught:
        make_program(print, compression=name)
    assert str(caught.value) == f"node 'mirror': {words}"


def test_without_its_package_compression_is_refused_before_anything_starts(
    launcher, monkeypatch
):
    monkeypatch.setitem(sys.modules, "zstandard", None)

    def work(mirror):
        stop_run("not needed on one host")

    if launcher in (*OTHERS, RAY):
        with pytest.raises(
            ConfigError, match=r"node 'mirror' has .*'acmelike\[cluster\]'"
        ):
            launch(make_program(work), launcher)
    else:
        assert run_to_end(make_program(work), launcher) == "not needed on one host"

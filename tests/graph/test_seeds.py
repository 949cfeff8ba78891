"""Seeds of nodes: from the program's seed, the label and the incarnation."""

from dataclasses import dataclass

import pytest

from acmelike import Node, Program, launch, node_seed
from acmelike.errors import GraphError
from acmelike.graph import derive_seed


def test_they_are_the_same_in_every_version():
    # Whoever changes these numbers changes every run that was ever recorded.
    assert derive_seed(0, "actor/0") == 2715993
    assert derive_seed(7, "learner") == 3070920202


def test_they_differ_between_labels_programs_and_incarnations():
    labels = ["learner", "replay", "actor/0", "actor/1", "actor/10", "0/actor"]
    seeds = {
        derive_seed(seed, label, incarnation)
        for seed in range(20)
        for label in labels
        for incarnation in range(3)
    }
    assert len(seeds) == 20 * len(labels) * 3
    assert all(0 <= seed < 2**32 for seed in seeds)


@dataclass(frozen=True)
class Settings:
    seed: int


class Seeded:
    def __init__(self, seed, settings):
        self.seeds = [seed, settings.seed]

    def found(self):
        return self.seeds


def test_a_node_gets_its_own_when_it_starts():
    program = Program("seeds")
    settings = Settings(node_seed(3))
    one = program.add_node(Node(Seeded, node_seed(3), settings), label="one")
    two = program.add_node(Node(Seeded, node_seed(3), settings), label="two")
    with launch(program, "threads") as run:
        assert run.client(one).found() == [derive_seed(3, "one")] * 2
        assert run.client(two).found() == [derive_seed(3, "two")] * 2


def test_one_that_cannot_be_replaced_is_refused():
    class Opaque:
        def __init__(self, seed):
            self.seed = seed

    program = Program("seeds")
    program.add_node(Node(Seeded, 0, Opaque(node_seed(3))), label="one")
    with pytest.raises(GraphError, match=r"settings hides node_seed\(3\) where it can"):
        program.validate()


@pytest.mark.parametrize("seed", [-1, 1.5, None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(GraphError, match="seed must be a whole number of at least 0"):
        node_seed(seed)

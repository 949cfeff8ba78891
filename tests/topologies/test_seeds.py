"""Seeds of nodes: from the program's seed and the label, and nothing else."""

from acmelike.topologies.system import derive_seed


def test_they_are_the_same_in_every_version():
    # Whoever changes these numbers changes every run that was ever recorded.
    assert derive_seed(0, "actor/0") == 2715993
    assert derive_seed(7, "learner") == 3070920202


def test_they_differ_between_labels_and_between_programs():
    labels = ["learner", "replay", "actor/0", "actor/1", "actor/10", "0/actor"]
    seeds = {derive_seed(seed, label) for seed in range(20) for label in labels}
    assert len(seeds) == 20 * len(labels)
    assert all(0 <= seed < 2**32 for seed in seeds)

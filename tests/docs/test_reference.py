"""The page of reference says what the docstrings say."""

from tests.docs.reference import PAGE, reference


def test_it_is_what_the_docstrings_say():
    assert PAGE.read_text() == reference(), "run: python -m tests.docs.reference"

"""The words of errors."""

from acmelike.errors import ConfigError, NodeFailed, first_line


def test_the_first_line_of_an_error():
    assert first_line(ConfigError("first \nsecond")) == "first"
    assert first_line(ConfigError("\n")) == "ConfigError"
    # The message of another's error says little without its type.
    assert first_line(KeyError("size")) == "KeyError: 'size'"
    assert first_line(ValueError("\n")) == "ValueError"
    assert first_line(ValueError("\n bad shape\n")) == "ValueError: bad shape"


def test_a_failure_has_the_short_notes_of_its_cause():
    cause = ValueError("no wheel")
    # The second one is as JAX's about its traceback.
    cause.__notes__ = ["in call 3", "--------------------\nFor simplicity, ..."]
    words = "node 'car' failed in its step: ValueError: no wheel (in call 3)"
    assert str(NodeFailed("car", "step", cause)) == words

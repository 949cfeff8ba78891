"""Figures as people read them."""

import pytest

from acmelike.telemetry.figures import return_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.847, "0.85"),
        (-0.3, "-0.30"),
        (9.994, "9.99"),
        (13.84, "13.8"),
        (500, "500.0"),
    ],
)
def test_a_return_below_ten_has_two_digits_after_the_point(value, text):
    assert return_text(value) == text

"""The launchers, for tests that every one of them passes."""

import pytest

from acmelike.launchers import LAUNCHERS


@pytest.fixture(params=LAUNCHERS)
def launcher(request):
    return request.param

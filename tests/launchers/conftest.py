"""The launchers, for tests that every one of them passes."""

from functools import partial

import pytest

from acmelike.launchers import LAUNCHERS
from acmelike.launchers.processes.launcher import ProcessNodes

# Processes as on hosts of their own: what they say to each other goes over TLS.
FAR = "processes-far"


@pytest.fixture(params=[*LAUNCHERS, pytest.param(FAR, marks=pytest.mark.slow)])
def launcher(request, monkeypatch):
    if request.param == FAR:
        monkeypatch.setitem(LAUNCHERS, FAR, partial(ProcessNodes, far_ip="127.0.0.1"))
    return request.param

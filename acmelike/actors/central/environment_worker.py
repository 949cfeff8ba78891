"""An actor without a policy: the inference server chooses its actions."""

from __future__ import annotations

import secrets

from acmelike.actors.central.inference_queue import InferenceQueue, RequestId
from acmelike.core import start
from acmelike.environments import EnvironmentFactory, make_vector_environment
from acmelike.errors import ContractError
from acmelike.types import VectorStep


class EnvironmentWorker:
    """A worker; each step requests actions and takes them in its K environments.

    Args:
      environment_factory: makes the environments.
      num_envs: K.
      index: which of the program's actors it is.
      requests: the queue that it sends its requests to.
      seed: of its environments.
    """

    def __init__(
        self,
        *,
        environment_factory: EnvironmentFactory,
        num_envs: int,
        index: int,
        requests: InferenceQueue,
        seed: int,
    ):
        self._environment = make_vector_environment(
            environment_factory, num_envs=num_envs, seed=seed
        )
        self._requests = requests
        self._request_id = RequestId(index, secrets.randbits(62), 0)
        self._now: VectorStep | None = None

    def step(self) -> None:
        """Acts once in every environment."""
        if self._now is None:
            self._now = self._environment.reset()
        # Both messages are sent before either is answered.
        observed = start(self._requests.observe, self._request_id, self._now)
        try:
            action = self._requests.actions(self._request_id)
        except ContractError:
            # The connection was lost with both messages. `actions` was sent again;
            # `observe` is sent again when its result is requested.
            observed.result()
            action = self._requests.actions(self._request_id)
        observed.result()
        self._now = self._environment.step(action)
        self._request_id = self._request_id._replace(number=self._request_id.number + 1)

    def close(self) -> None:
        """Closes the environments."""
        self._environment.close()

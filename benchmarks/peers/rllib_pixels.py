"""The network of acmelike's IMPALA for images, for RLlib."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule


class ConvModule(TorchRLModule, ValueFunctionAPI):
    """A convolution and a dense layer, which the policy and the value share."""

    def setup(self) -> None:
        height, width, num_channels = self.observation_space.shape
        num_outputs = (height - 2) * (width - 2) * 16
        self.torso = torch.nn.Sequential(
            torch.nn.Conv2d(num_channels, 16, 3),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(num_outputs, 128),
            torch.nn.ReLU(),
        )
        self.logits = torch.nn.Linear(128, self.action_space.n)
        self.values = torch.nn.Linear(128, 1)

    def _forward(self, batch: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        features = self._features(batch)
        return {
            Columns.EMBEDDINGS: features,
            Columns.ACTION_DIST_INPUTS: self.logits(features),
        }

    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Any:
        features = self._features(batch) if embeddings is None else embeddings
        return self.values(features).squeeze(-1)

    def _features(self, batch: Mapping[str, Any]) -> Any:
        return self.torso(batch[Columns.OBS].permute(0, 3, 1, 2).float())

"""The learner, the cacher, and functions for several updates in one `update` call."""

from acmelike.learners.cacher import Cacher, ParameterSource
from acmelike.learners.functions import mean_outputs, scan_minibatches
from acmelike.learners.learner import Learner, LearnerProgress

__all__ = [
    "Cacher",
    "Learner",
    "LearnerProgress",
    "ParameterSource",
    "mean_outputs",
    "scan_minibatches",
]

"""Workers that learn."""

from acmelike.learners.cacher import Cacher, ParameterSource
from acmelike.learners.learner import Learner, LearnerProgress

__all__ = ["Cacher", "Learner", "LearnerProgress", "ParameterSource"]

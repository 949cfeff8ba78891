"""Workers that learn."""

from acmelike.learners.learner import Learner, LearnerProgress

__all__ = ["Learner", "LearnerProgress"]

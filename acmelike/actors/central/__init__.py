"""Central inference: environment workers, and one node that acts for all of them."""

from acmelike.actors.central.environment_worker import EnvironmentWorker
from acmelike.actors.central.inference_queue import BatchStatistics, InferenceQueue
from acmelike.actors.central.inference_server import InferenceServer

__all__ = ["BatchStatistics", "EnvironmentWorker", "InferenceQueue", "InferenceServer"]

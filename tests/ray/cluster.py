"""Three hosts of a Ray cluster, as processes of this one; ends when its stdin does.

Says its address in a line, and then waits.
"""

import sys

import ray
from ray.cluster_utils import Cluster

cluster = Cluster(
    initialize_head=True,
    head_node_args={"num_cpus": 3, "labels": {"zone": "a"}, "include_dashboard": False},
)
for zone in ("b", "c"):
    cluster.add_node(num_cpus=3, labels={"zone": zone})
print(cluster.address, flush=True)
for line in sys.stdin:
    if line.strip() == "nodes":
        print(len([node for node in ray.nodes() if node["Alive"]]), flush=True)
cluster.shutdown()

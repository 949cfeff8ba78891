"""Three hosts of a Ray cluster, as processes of this one; ends when its stdin does.

Its argument is the number of cores that each of them is to have, in name. Says its
address in a line, and then waits.
"""

import sys

from ray.cluster_utils import Cluster

num_cpus = int(sys.argv[1])
head = {"num_cpus": num_cpus, "labels": {"zone": "a"}, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=head)
for zone in ("b", "c"):
    cluster.add_node(num_cpus=num_cpus, labels={"zone": zone})
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()

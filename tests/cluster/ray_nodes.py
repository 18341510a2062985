"""The nodes of a Ray cluster on this machine, as a process of their own: ``python -m tests.cluster.ray_nodes``.

Prints the address; then ``kill <n>`` on standard input takes the nth node away and lets another join, ``end`` ends it.
Ray's threads would not survive in the copies of this process that the tests' commands are.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

NODE = {"num_cpus": 2, "object_store_memory": 80_000_000, "include_dashboard": False}
WORKERS = 2


def main() -> None:
    cluster: Any = import_module("ray.cluster_utils").Cluster(
        initialize_head=True, head_node_args={**NODE, "num_cpus": 0}
    )
    nodes = [cluster.add_node(**NODE) for _ in range(WORKERS)]
    sys.stdout.write(f"{cluster.address}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        word, *number = line.split()
        if word == "end":
            break
        node = nodes.pop(int(number[0]))
        cluster.remove_node(node, allow_graceful=False)
        nodes.append(cluster.add_node(**NODE))
        sys.stdout.write("done\n")
        sys.stdout.flush()
    cluster.shutdown()


if __name__ == "__main__":
    main()

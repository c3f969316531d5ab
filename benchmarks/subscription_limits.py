"""How many spokes an hour one subscription allows: recorded ARM calls against Azure's published limits.

The limits are those that the local Azure holds its clients to (local/azure/throttle.py). The rates count, not the buckets'
sizes: what may be drawn all at once is gone after the first minutes.
"""

import argparse
import sys

from benchmarks.measuring.deployments import bench
from benchmarks.measuring.journal import Journal, Request
from benchmarks.measuring.load import Load
from benchmarks.measuring.paths import durations
from benchmarks.measuring.table import Table
from local.azure.throttle import DEFAULTS

SPOKES = 20
TIME_SCALE = 0.2

NAMES = {
    "reads": "reads of one principal in a region",
    "writes": "writes of one principal in a region",
    "network_reads": "reads of the network provider",
    "network_writes": "writes of the network provider",
    "vm_puts": "PUTs of virtual machines",
}


def counted(request: Request, bucket: str) -> bool:
    """Whether a call is drawn from a bucket."""
    network = "/providers/microsoft.network/" in request.path
    match bucket:
        case "reads":
            return not request.writes
        case "writes":
            return request.writes
        case "network_reads":
            return network and not request.writes
        case "network_writes":
            return network and request.writes
        case _:
            return request.method == "PUT" and "/virtualmachines/" in request.path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spokes", type=int, default=SPOKES)
    given = parser.parse_args()
    with bench(time_scale=TIME_SCALE) as stack:
        stack.deploy([255])
        before = len(Journal(stack.stack.state).requests)
        with Load(stack.stack) as load:
            stack.deploy(range(1, given.spokes + 1))
        calls = Journal(stack.stack.state).requests[before:]
    table = Table(f"Spokes an hour that a subscription allows, from {given.spokes} deployed at once")
    allowed = {}
    for bucket, name in NAMES.items():
        a_spoke = sum(1 for each in calls if counted(each, bucket)) / given.spokes
        allowed[name] = DEFAULTS[bucket][1] * 3600 / a_spoke
        table.figure(f"{name}: {a_spoke:.2f} a spoke, {DEFAULTS[bucket][1] * 3600:,.0f} an hour", allowed[name])
    writes_only = min(value for name, value in allowed.items() if "reads" not in name)
    table.plain.insert(0, ("spokes an hour, by the writes alone", f"{writes_only:,.0f}"))
    table.plain.insert(0, ("spokes an hour, by the scarcest of all", f"{min(allowed.values()):,.0f}"))
    table.figure("for comparison: the hub's VNet, one peering side at a time", 3600 / durations().peering_side)
    table.figure("refused calls a spoke", sum(1 for each in calls if each.refused) / given.spokes)
    table.figure("cores busy with everything", load.machine, "%")
    return table.show()


if __name__ == "__main__":
    sys.exit(main())

"""One spoke: how much longer than its critical path it takes, and how much shorter than one operation after the other.

The stack's first deployment, which also imports the SDKs, is told apart: the others are what a running app needs.
"""

import statistics
import sys

from benchmarks.measuring.deployments import bench
from benchmarks.measuring.journal import Journal
from benchmarks.measuring.load import Load
from benchmarks.measuring.paths import durations
from benchmarks.measuring.table import Table

TIME_SCALE = 0.1
MEASURED = 5


def main() -> int:
    known = durations()
    shortest, longest = known.critical_path() * TIME_SCALE, known.all_in_turn() * TIME_SCALE
    with bench(time_scale=TIME_SCALE) as stack:
        stack.arm.post("/_local/limits", json={"nic_operations": "always"}).raise_for_status()
        [first] = stack.deploy([1])
        before = Journal(stack.stack.state)
        with Load(stack.stack) as load:
            found = [stack.deploy([number])[0].seconds for number in range(2, 2 + MEASURED)]
        journal = Journal(stack.stack.state)
    makespan = statistics.median(found)
    table = Table(f"One spoke at time scale {TIME_SCALE}, median of {MEASURED}")
    table.ratio("makespan / critical path", makespan / shortest, 1.10)
    table.ratio("makespan / all operations one after the other", makespan / longest, 0.60)
    table.figure("makespan", makespan, "s")
    table.figure("slowest of them / critical path", max(found) / shortest)
    table.figure("first after the start / critical path", first.seconds / shortest)
    table.figure("critical path", shortest, "s")
    table.figure("all operations one after the other", longest, "s")
    table.figure("ARM calls a spoke", (journal.calls() - before.calls()) / MEASURED)
    table.figure("widest window between the gateway's GET and its PUT", max(journal.gateway_windows()) * 1000, "ms")
    table.figure("cores busy with the stack", load.stack, "%")
    table.figure("cores busy with everything", load.machine, "%")
    return table.show()


if __name__ == "__main__":
    sys.exit(main())

"""99 spokes at once on one gateway, then 198 on one that takes so many.

`--spokes N`, `--time-scale X`, `--once` (the first part only) for a look at something else.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence

from benchmarks.measuring.deployments import Bench, Deployed, bench
from benchmarks.measuring.journal import GATEWAY, PEERING, Journal, Operation
from benchmarks.measuring.load import Load
from benchmarks.measuring.paths import durations
from benchmarks.measuring.table import Table

SPOKES = 99
TIME_SCALE = 0.2
# So many of the spokes are looked at closely, for the comparison with other ways of working.
MEASURED = 10
# For twice as many: a gateway that takes them, beside its default site.
GATEWAY_LIMIT = 250
PEAK_BUSY = 0.70


class Run:
    """What was seen of many deployments at once."""

    def __init__(self, stack: Bench, spoke_ids: range, time_scale: float) -> None:
        with Load(stack.stack) as self.load:
            self.deployed: list[Deployed] = stack.deploy(spoke_ids)
        self.journal = Journal(stack.stack.state, since=min(each.posted for each in self.deployed))
        self.count = len(self.deployed)
        self.time_scale = time_scale
        self.makespan = max(each.completed for each in self.deployed) - min(each.posted for each in self.deployed)

    def bound(self) -> float:
        return durations().lower_bound(self.count) * self.time_scale

    def seen(self, operations: Sequence[Operation]) -> float:
        """The mean of how long they took as the app saw them."""
        return statistics.fmean(self.journal.seen_after(each) for each in operations)


def run(count: int, time_scale: float, gateway_limit: int | None) -> Run:
    options = {"gateway_limit": gateway_limit, "settings": {"AGW_LIMIT": str(gateway_limit)}} if gateway_limit else {}
    with bench(time_scale=time_scale, **options) as stack:
        # A running app has imported the SDKs, and has seen how many places the gateway has.
        stack.deploy([255])
        if not gateway_limit:
            stack.remove(255)
        return Run(stack, range(1, count + 1), time_scale)


def other_ways(many: Run) -> tuple[float, float]:
    """The same spokes with one gateway PUT each, one after the other; and with everything one after the other.

    Computed from the operations of the first few spokes, as the app saw them here.
    """
    first = [many.journal.of_spoke(number) for number in range(1, MEASURED + 1)]
    gateway = many.seen(many.journal.of(GATEWAY))
    in_turn = statistics.fmean(sum(many.journal.seen_after(each) for each in own) for own in first) + gateway
    path = durations().critical_path() * many.time_scale
    return path + (many.count - 1) * gateway, many.count * in_turn


def report(many: Run) -> Table:
    journal, count = many.journal, many.count
    table = Table(f"{count} spokes at once at time scale {many.time_scale}")
    table.ratio("makespan / lower bound", many.makespan / many.bound(), 1.25)
    table.ratio("hub idle while spokes wait for it", journal.hub_idle_share(), 0.20, "%")
    table.ratio("refused writes a peering", journal.refusals(PEERING) / count, 0.2)
    table.ratio("PUTs of the gateway", len(journal.of(GATEWAY)), 8)
    table.ratio("operations superseded or cancelled", journal.superseded(), 0)
    table.ratio("cores busy with everything", many.load.machine, PEAK_BUSY, "%")
    one_each, in_turn = other_ways(many)
    table.figure("makespan / one gateway PUT a spoke, in turn", many.makespan / one_each)
    table.figure("makespan / one operation after the other", many.makespan / in_turn)
    table.figure("makespan", many.makespan, "s")
    table.figure("lower bound", many.bound(), "s")
    table.figure("a deployment's own time, median", statistics.median(each.seconds for each in many.deployed), "s")
    table.figure("slowest answer to a POST", max(each.accepted - each.posted for each in many.deployed), "s")
    table.figure("ARM calls a spoke", journal.calls() / count)
    table.figure("hub between two sides, median", statistics.median(journal.hub_gaps()) * 1000, "ms")
    table.figure("widest window between the gateway's GET and its PUT", max(journal.gateway_windows()) * 1000, "ms")
    table.figure("cores busy with the stack", many.load.stack, "%")
    for name, seconds in many.load.cpu_seconds.items():
        table.figure(f"CPU a spoke, {name}", seconds / count, "s")
    table.figure("the host's memory at its peak", many.load.host_megabytes, "MiB")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spokes", type=int, default=SPOKES)
    parser.add_argument("--time-scale", type=float, default=TIME_SCALE)
    parser.add_argument("--once", action="store_true", help="not twice as many")
    given = parser.parse_args()
    many = run(given.spokes, given.time_scale, None)
    missed = report(many).show()
    if not given.once:
        twice = run(2 * given.spokes, given.time_scale, GATEWAY_LIMIT)
        table = report(twice)
        table.lift_limits()
        table.ratio(f"makespan / that of {given.spokes}", twice.makespan / many.makespan, 2.1)
        missed = max(missed, table.show())
    return missed


if __name__ == "__main__":
    sys.exit(main())

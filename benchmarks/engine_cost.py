"""What a deployment costs the Durable engine: one alone, 40 at once, 98 at once, at two time scales.

Counted is all that the engine does between the POSTs and the last `completed`, the writers' share and the records included.
Counts hardly depend on how fast the machine is. `--spokes N` and `--time-scale X`, each as often as wanted, choose others.
"""

import argparse
import sys

from benchmarks.measuring.deployments import Bench, bench
from benchmarks.measuring.engine_bill import engine_bill, floor, per_spoke
from benchmarks.measuring.journal import GATEWAY, Journal
from benchmarks.measuring.paths import durations
from benchmarks.measuring.table import Table, shown
from local.functions.durable.bill import CALLS, COUNTS, EPISODES, MESSAGES

SPOKES = (1, 40, 98)
TIME_SCALES = (1.0, 0.2)
# Of many at once; one alone has writers to itself that others share.
LIMITS = {CALLS: 20, EPISODES: 45, MESSAGES: 80}
MOST_CALLS_ALONE = 25
MAKESPAN_ALONE, MAKESPAN = 1.08, 1.15
# Where the floor is higher than the limit, so much above the floor.
ABOVE_FLOOR = 1.15
WARM_UP = 255


def limits_of(spokes: int, puts: int) -> dict[str, float]:
    lowest = floor(spokes, puts)
    wanted = LIMITS | ({CALLS: MOST_CALLS_ALONE} if spokes == 1 else {})
    return {what: limit if lowest[what] <= limit else ABOVE_FLOOR * lowest[what] for what, limit in wanted.items()}


def measure(stack: Bench, spoke_ids: range, time_scale: float) -> Table:
    spokes = len(spoke_ids)
    before = engine_bill(stack.stack)
    deployed = stack.deploy(spoke_ids, seconds=1800)
    total, functions = per_spoke(before, engine_bill(stack.stack), spokes)
    began, ended = min(each.posted for each in deployed), max(each.completed for each in deployed)
    puts = len(Journal(stack.stack.state, since=began).of(GATEWAY))
    table = Table(f"{spokes} at once at time scale {time_scale:g}, per spoke")
    lowest, limits = floor(spokes, puts), limits_of(spokes, puts)
    for what, limit in limits.items():
        table.ratio(what, total[what], limit)
    known = durations()
    bound = (known.critical_path() if spokes == 1 else known.lower_bound(spokes)) * time_scale
    table.ratio("makespan / bound", (ended - began) / bound, MAKESPAN_ALONE if spokes == 1 else MAKESPAN)
    for what, number in lowest.items():
        table.figure(f"{what}, the floor", number)
    table.figure("appends", total["appends"])
    table.figure("PUTs of the gateway", puts)
    for name, counts in sorted(functions.items(), key=lambda item: -sum(item[1].values())):
        text = ", ".join(f"{shown(counts[what], '')} {what}" for what in COUNTS if counts.get(what))
        if text:
            table.note(f"  {name}", text)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spokes", type=int, action="append")
    parser.add_argument("--time-scale", type=float, action="append")
    given = parser.parse_args()
    missed = 0
    for time_scale in given.time_scale or TIME_SCALES:
        for spokes in given.spokes or SPOKES:
            with bench(time_scale=time_scale) as stack:
                # A running app has imported the SDKs, has run its writers, and has seen how long things take.
                stack.deploy([WARM_UP])
                stack.remove(WARM_UP)
                missed |= measure(stack, range(1, spokes + 1), time_scale).show()
    return missed


if __name__ == "__main__":
    sys.exit(main())

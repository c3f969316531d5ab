"""How much of a deployment's time is spent inside functions: what a plan that bills by execution would bill.

Durations are those that the host writes down for every function, stories and writers included; the API's own functions
and the timers' are not counted. One spoke is deployed at Azure's own pace. Many at once are deployed faster: how often
each function is called depends on Azure's operations and on the waits between polls, and both shrink together with the
time scale, while the functions take what they take. So their durations are compared with the deployments' time at scale 1.
"""

import argparse
import re
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring.deployments import Bench, bench
from benchmarks.measuring.load import Load
from benchmarks.measuring.table import Table

SPOKES = 99
TIME_SCALE = 0.2
NOT_DEPLOYING = frozenset(
    {"create_spoke", "list_spokes", "get_spoke", "get_progress", "remove_spoke", "sweep_terminated_runs"}
    | {"start_accepted_runs", "report_orphans", "repair_gateway"}
)
ENDED = re.compile(r"Executed 'Functions\.(\w+)' \(\w+, Id=[^,]+, Duration=([\d.]+)ms\)")


@dataclass(frozen=True)
class Active:
    """What was seen of some deployments at once. seconds: each one's own, at scale 1."""

    inside: float
    calls: int
    seconds: list[float]
    load: Load

    @property
    def share(self) -> float:
        """Of a deployment's time, on average."""
        return self.inside / len(self.seconds) / statistics.fmean(self.seconds)


def functions_in(log: Path, begin: int) -> Iterator[tuple[str, float]]:
    """Names and seconds of the functions that have ended since the log was so long."""
    with log.open(encoding="utf-8") as lines:
        lines.seek(begin)
        for line in lines:
            if (found := ENDED.search(line)) and found.group(1) not in NOT_DEPLOYING:
                yield found.group(1), float(found.group(2)) / 1000


def active(stack: Bench, spoke_ids: range, time_scale: float) -> Active:
    log = stack.stack.logs / "functions.log"
    begin = log.stat().st_size
    with Load(stack.stack) as load:
        deployed = stack.deploy(spoke_ids)
    durations = [seconds for _, seconds in functions_in(log, begin)]
    return Active(sum(durations), len(durations), [each.seconds / time_scale for each in deployed], load)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spokes", type=int, default=SPOKES)
    parser.add_argument("--time-scale", type=float, default=TIME_SCALE)
    given = parser.parse_args()
    with bench(time_scale=1) as stack:
        first = active(stack, range(1, 2), 1)
        one = active(stack, range(2, 3), 1)
    with bench(time_scale=given.time_scale) as stack:
        stack.deploy([255])
        stack.remove(255)
        many = active(stack, range(1, given.spokes + 1), given.time_scale)
    table = Table("Time inside functions / time of a deployment")
    table.ratio("one spoke, at time scale 1", one.share, 0.04, "%")
    table.ratio(f"a spoke of {given.spokes} at once, measured at {given.time_scale}", many.share, 0.02, "%")
    table.figure("the first one after the start", first.share, "%")
    table.figure("one spoke: inside functions", one.inside, "s")
    table.figure("one spoke: functions called", one.calls)
    table.figure("one spoke: makespan", statistics.fmean(one.seconds), "s")
    table.figure(f"a spoke of {given.spokes}: inside functions", many.inside / given.spokes, "s")
    table.figure(f"a spoke of {given.spokes}: functions called", many.calls / given.spokes)
    table.figure(f"a spoke of {given.spokes}: mean makespan at scale 1", statistics.fmean(many.seconds), "s")
    table.figure("cores busy with the stack, one", one.load.stack, "%")
    table.figure("cores busy with the stack, many", many.load.stack, "%")
    table.figure("cores busy with everything, many", many.load.machine, "%")
    return table.show()


if __name__ == "__main__":
    sys.exit(main())

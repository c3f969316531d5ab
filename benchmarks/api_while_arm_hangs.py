"""What the API takes while Azure Resource Manager takes requests and doesn't answer: reads, creates, and what gives up.

Probes of /health and plans keep asking ARM, as a load balancer and impatient callers do; reads and creates are timed
beside them.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from benchmarks.measuring.deployments import Bench, bench, request_for
from benchmarks.measuring.table import Table

PROBES = 4
PLANS = 4
SECONDS = 25
READS = ("/spokes", "/spokes/1", "/spokes/1/progress", "/spokes/1/deployments")
READ_LIMIT_SECONDS = 0.5
# Its own: five seconds, and what the machine adds.
HEALTH_LIMIT_SECONDS = 6.0


def timed(stack: Bench, method: str, path: str, expected: int, body: object = None) -> float:
    begun = time.perf_counter()
    answer = stack.http.request(method, path, json=body)
    took = time.perf_counter() - begun
    if answer.status_code != expected:
        raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
    return took


def repeat(stack: Bench, ended: Event, method: str, path: str, body: object = None) -> list[float]:
    took = []
    while not ended.is_set():
        took.append(timed(stack, method, path, 503, body))
    return took


def main() -> int:
    report = Table("The API while ARM hangs")
    with bench(time_scale=0.02) as stack, ThreadPoolExecutor(PROBES + PLANS) as callers:
        stack.deploy([1])
        hold = {"mode": "hold", "path": "^/subscriptions", "times": None}
        stack.arm.post("/_local/faults", json=hold).raise_for_status()
        ended, until = Event(), time.monotonic() + SECONDS
        probes = [callers.submit(repeat, stack, ended, "GET", "/health") for _ in range(PROBES)]
        plan = request_for(2)
        plans = [callers.submit(repeat, stack, ended, "POST", "/spokes?mode=plan", plan) for _ in range(PLANS)]
        reads, creates, spoke_id = [], [], 2
        while time.monotonic() < until:
            reads += [timed(stack, "GET", path, 200) for path in READS]
            creates.append(timed(stack, "POST", "/spokes", 202, request_for(spoke_id := spoke_id + 1)))
            time.sleep(0.25)
        ended.set()
        took_probes = [each for probe in probes for each in probe.result()]
        took_plans = [each for plan_ in plans for each in plan_.result()]
        deleted = timed(stack, "DELETE", "/spokes/1", 503)
        stack.arm.delete("/_local/faults").raise_for_status()
    report.ratio("the slowest read", max(reads), READ_LIMIT_SECONDS, "s")
    report.ratio("the slowest POST", max(creates), 2.0, "s")
    report.ratio("the slowest probe of /health", max(took_probes), HEALTH_LIMIT_SECONDS, "s")
    report.figure("median read", sorted(reads)[len(reads) // 2] * 1000, "ms")
    report.figure("reads, creates", len(reads) + len(creates))
    report.figure("the slowest plan (ARM_LOOK_SECONDS is 20)", max(took_plans), "s")
    report.figure("DELETE", deleted, "s")
    return report.show()


if __name__ == "__main__":
    sys.exit(main())

"""What the API adds to the table: GET /api/spokes with 1,000 records, and POST /api/spokes under 50 parallel clients.

The records are those of one deployed spoke, copied under other ids. The POSTs start real deployments at Azure's pace.
"""

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from azure.data.tables import TableClient

from benchmarks.measuring.deployments import Bench, bench, request_for
from benchmarks.measuring.load import Load
from benchmarks.measuring.table import Table
from shared.spoke.records import SPOKES_TABLE, RunRow, SpokeRow, run_key, spoke_key
from shared.tables.codec import as_entity, from_entity

RECORDS = 1000
ROUNDS = 15
CLIENTS = 50
# As many as the gateway has places.
POSTS = 99


def records_table(stack: Bench) -> TableClient:
    return TableClient.from_connection_string(stack.stack.endpoints["tables"], SPOKES_TABLE)


def fill(table: TableClient, spoke_id: int) -> str:
    """Copies a spoke and its run until there are 1,000; the partition that they are in."""
    [entity] = table.query_entities("RowKey eq @key", parameters={"key": spoke_key(spoke_id)})
    partition = entity["PartitionKey"]
    spoke = from_entity(SpokeRow, entity)
    run = from_entity(RunRow, table.get_entity(partition, run_key(spoke.deployment_id)))
    rows: list[dict[str, Any]] = []
    for number in range(spoke_id + 1, spoke_id + RECORDS):
        name = f"{spoke.deployment_id}-{number}"
        mine: Any = {"spoke_id": number, "deployment_id": name, "plan": replace(spoke.plan, made_by=name)}
        rows.append(as_entity(replace(spoke, **mine), partition))
        rows.append(as_entity(replace(run, **mine), partition))
    for start in range(0, len(rows), 100):
        table.submit_transaction([("create", row) for row in rows[start : start + 100]])
    return str(partition)


def seconds(call: Callable[[], int]) -> float:
    """The median of some rounds; each must find all records."""
    found = []
    for _ in range(ROUNDS + 1):
        begun = time.perf_counter()
        if (count := call()) != RECORDS:
            raise RuntimeError(f"{count} records instead of {RECORDS}")
        found.append(time.perf_counter() - begun)
    return statistics.median(found[1:])


def lists(report: Table) -> None:
    with bench(time_scale=0.01) as stack, records_table(stack) as table:
        stack.deploy([1])
        partition = fill(table, 1)
        query = "PartitionKey eq @partition and RowKey ge 'spoke:' and RowKey lt 'spoke;'"

        def bare() -> int:
            return sum(1 for _ in table.query_entities(query, parameters={"partition": partition}))

        with Load(stack.stack) as load:
            of_table = seconds(bare)
            of_api = seconds(lambda: len(stack.spokes()))
    report.ratio(f"GET /api/spokes with {RECORDS:,} records / the bare table query", of_api / of_table, 3)
    report.figure("GET /api/spokes", of_api * 1000, "ms")
    report.figure("the bare table query", of_table * 1000, "ms")
    report.figure("cores busy with everything, lists", load.machine, "%")


def creates(report: Table) -> None:
    with bench(time_scale=1) as stack:

        def post(spoke_id: int) -> float:
            begun = time.perf_counter()
            answer = stack.http.post("/spokes", json=request_for(spoke_id))
            took = time.perf_counter() - begun
            if answer.status_code != 202:
                raise RuntimeError(f"POST of spoke {spoke_id}: {answer.status_code} {answer.text}")
            return took

        alone = post(1)
        with Load(stack.stack) as load, ThreadPoolExecutor(CLIENTS) as clients:
            took = sorted(clients.map(post, range(2, POSTS + 1)))
    report.figure(f"POST /api/spokes under {CLIENTS} clients, 95th percentile", percentile(took, 0.95) * 1000, "ms")
    report.figure("50th percentile", percentile(took, 0.50) * 1000, "ms")
    report.figure("the first POST, alone", alone * 1000, "ms")
    report.figure("POSTs a second", len(took) / load.seconds)
    report.figure("cores busy with everything, creates", load.machine, "%")


def percentile(ascending: list[float], share: float) -> float:
    return ascending[min(int(len(ascending) * share), len(ascending) - 1)]


def main() -> int:
    report = Table("The API beside the table")
    lists(report)
    creates(report)
    return report.show()


if __name__ == "__main__":
    sys.exit(main())

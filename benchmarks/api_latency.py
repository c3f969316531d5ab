"""What the API adds to the table: GET /api/spokes with 1,000 records, and POST /api/spokes under 50 parallel clients.

The records are those of one deployed spoke, copied under other ids. The POSTs start real deployments at Azure's pace.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from azure.data.tables import TableClient

from benchmarks.measuring.deployments import Bench, bench, request_for
from benchmarks.measuring.load import Load
from benchmarks.measuring.records import copies_of, median_seconds
from benchmarks.measuring.table import Table
from shared.spoke.records import SPOKES_TABLE

RECORDS = 1000
CLIENTS = 50
# As many as the gateway has places.
POSTS = 99


def _records(stack: Bench) -> TableClient:
    return TableClient.from_connection_string(stack.stack.endpoints["tables"], SPOKES_TABLE)


def lists(report: Table) -> None:
    with bench(time_scale=0.01) as stack, _records(stack) as table:
        stack.deploy([1])
        partition = copies_of(table, 1, RECORDS)
        query = "PartitionKey eq @partition and RowKey ge 'spoke:' and RowKey lt 'spoke;'"

        def bare() -> int:
            return sum(1 for _ in table.query_entities(query, parameters={"partition": partition}))

        with Load(stack.stack) as load:
            of_table = median_seconds(bare, RECORDS)
            of_api = median_seconds(lambda: len(stack.spokes()), RECORDS)
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

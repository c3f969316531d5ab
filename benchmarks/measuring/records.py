"""Many records from one, and how long it takes to read them."""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from azure.data.tables import TableClient

from shared.spoke.records import RunRow, SpokeRow, run_key, spoke_key
from shared.tables.codec import as_entity, from_entity

ROUNDS = 15


def copies_of(table: TableClient, spoke_id: int, records: int) -> str:
    """Copies a spoke and its run under the next ids until there are so many; the partition that they are in."""
    [entity] = table.query_entities("RowKey eq @key", parameters={"key": spoke_key(spoke_id)})
    partition = str(entity["PartitionKey"])
    spoke = from_entity(SpokeRow, entity)
    run = from_entity(RunRow, table.get_entity(partition, run_key(spoke.deployment_id)))
    rows: list[dict[str, Any]] = []
    for number in range(spoke_id + 1, spoke_id + records):
        name = f"{spoke.deployment_id}-{number}"
        mine: Any = {"spoke_id": number, "deployment_id": name, "plan": replace(spoke.plan, made_by=name)}
        rows.append(as_entity(replace(spoke, **mine), partition))
        rows.append(as_entity(replace(run, **mine), partition))
    for start in range(0, len(rows), 100):
        table.submit_transaction([("create", row) for row in rows[start : start + 100]])
    return partition


def median_seconds(call: Callable[[], int], records: int) -> float:
    """The median of some rounds; each must find all records."""
    found = []
    for _ in range(ROUNDS + 1):
        begun = time.perf_counter()
        if (count := call()) != records:
            raise RuntimeError(f"{count} records instead of {records}")
        found.append(time.perf_counter() - begun)
    return statistics.median(found[1:])

"""Forgets runs that ended long ago, and takes secrets out of rows that older versions wrote.

The history of a run lies in the task hub that began it: runs of another one are left to its own timer. Every tick does a
bounded part and can be repeated: a run's rows go last, after its history in Durable Functions, so that a tick which was
cut off is resumed by the next one.
"""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.clock import utc_now
from shared.process import logs
from shared.process.blocking import in_tables_thread
from shared.settings import current_settings
from shared.spoke.records import TERMINAL, RunRow, SpokeRow
from shared.tables.client import ConcurrentUpdate
from shared.tables.records import Records
from shared.timestamps import parse_timestamp
from shared.writers.instances import UNFINISHED

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationClient

log = logging.getLogger(__name__)

RUNS_A_TICK = 200
ROWS_A_TICK = 500
RUNS_AT_ONCE = 8
# A page of the list of instances; a run has about twenty.
_PAGES = 5


def runs_to_forget(runs: Iterable[RunRow], spokes: Iterable[SpokeRow], before: datetime) -> list[RunRow]:
    """Runs that ended before this, oldest first, but for the newest run of each spoke and the one that made it. Pure."""
    kept = {run_id for spoke in spokes for run_id in (spoke.deployment_id, spoke.plan.made_by)}
    ended = [
        run
        for run in runs
        if run.status in TERMINAL
        and run.deployment_id not in kept
        and parse_timestamp(run.completed_at or run.created_at) < before
    ]
    return sorted(ended, key=lambda run: (run.completed_at or run.created_at, run.deployment_id))


async def forget_ended_runs(client: "DurableOrchestrationClient", now: datetime | None = None) -> list[str]:
    """One tick. Answers the runs that are forgotten."""
    before = (now or utc_now()) - timedelta(days=current_settings().keep_runs_days)
    old = (await in_tables_thread(_clean_and_choose, before))[:RUNS_A_TICK]
    places = asyncio.Semaphore(RUNS_AT_ONCE)

    async def forget(run: RunRow) -> str | None:
        async with places:
            return run.deployment_id if await _forgotten(client, run) else None

    forgotten = [run_id for run_id in await asyncio.gather(*map(forget, old)) if run_id]
    if forgotten:
        log.info("%d runs that ended before %s are forgotten", len(forgotten), before.date())
    return forgotten


def _clean_and_choose(before: datetime) -> list[RunRow]:
    records = Records()
    runs, spokes = records.runs(), records.spokes()
    rows: list[RunRow | SpokeRow] = [*runs, *spokes]
    stale = [row for row in rows if row.has_idle_secrets][:ROWS_A_TICK]
    for row in stale:
        try:
            records.rewrite(row)
        except ConcurrentUpdate:
            log.info("A row of spoke %d was changed just now; the next tick cleans it", row.spoke_id)
    if stale:
        log.info("Secrets were taken out of %d rows", len(stale))
        runs = records.runs()  # with their new ETags
    ours = [run for run in runs if current_settings().looks_after(run.task_hub)]
    return runs_to_forget(ours, spokes, before)


async def _forgotten(client: "DurableOrchestrationClient", run: RunRow) -> bool:
    """Whether nothing of a run is left: first in Durable Functions, then in the table."""
    with logs.context(deployment_id=run.deployment_id, spoke_id=run.spoke_id):
        try:
            if not await _purged(client, run.deployment_id):
                return False
            await in_tables_thread(Records().forget_run, run)
        except ConcurrentUpdate:
            log.info("The run was changed just now; the next tick looks again")
            return False
        except Exception as error:  # noqa: BLE001 - the SDK raises bare Exceptions; the other runs don't wait for this one
            log.warning("The run could not be forgotten; the next tick tries again: %s", error)
            return False
    return True


async def _purged(client: "DurableOrchestrationClient", run_id: str) -> bool:
    """Purges the run's orchestration and its children. False while one of them runs: it is terminated first."""
    for _ in range(_PAGES):
        instances = await _instances_of(client, run_id)
        if not instances:
            return True
        for instance_id, status in instances:
            if status in UNFINISHED:
                await client.terminate(instance_id, "Its run ended long ago")
            else:
                await client.purge_instance_history(instance_id)
        if any(status in UNFINISHED for _, status in instances):
            return False
    return False


async def _instances_of(client: "DurableOrchestrationClient", run_id: str) -> list[tuple[str, str]]:
    """`(id, status)` of the run's orchestration and its children, whose ids begin with its own and a colon."""
    found: list[Any] = await client.get_status_by(instance_id_prefix=run_id)
    return [
        (each.instance_id, each.runtime_status.name if each.runtime_status else "")
        for each in found
        if each.instance_id == run_id or each.instance_id.startswith(f"{run_id}:")
    ]

"""What runs on a schedule: starts forgotten runs, has the writers repair, looks after dead runs, orphans, old rows."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df

from shared.clock import utc_now
from shared.process import logs
from shared.process.blocking import in_arm_thread, in_tables_thread
from shared.process.deadline import ACTIVITY_SECONDS
from shared.recovery import rule_repair
from shared.recovery.lost_rows import remake_lost_rows
from shared.recovery.orphans import sweep_orphans
from shared.recovery.runs.dead_runs import sweep
from shared.recovery.runs.retention import forget_ended_runs
from shared.settings import Settings, current_settings, process_settings
from shared.spoke.records import GATEWAY_SITES_TABLE, HUB_TURNS_TABLE, WRITER_KEY, RunRow
from shared.tables.client import table
from shared.tables.idempotency import forget_expired_claims, forget_expired_keys
from shared.tables.places import hubs
from shared.tables.records import Records
from shared.timestamps import parse_timestamp
from shared.writers.instances import NOT_THERE, ensure_writer_runs, status_of
from shared.writers.writer_tables import gateway_sites
from triggers.deployments import start_run
from triggers.http.answers import Count
from triggers.http.wiring import timer_function
from triggers.status import ask_at, capacity_now, health_now

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationClient

log = logging.getLogger(__name__)
blueprint = df.Blueprint()

# A POST that is still at work starts its own run within this time.
STARTED_BY_THEN = timedelta(seconds=60)

# Schedules: seconds, minutes, hours, days, months, days of the week. By their seconds not all begin at the same moment.


@timer_function(blueprint, "0 * * * * *")
async def start_accepted_runs(client: "DurableOrchestrationClient") -> None:
    """Starts the runs that a POST or DELETE recorded and whose orchestration never began.

    Can be repeated: an instance of that id is looked for first, and Durable refuses a second one while it runs.
    """
    await _for_each(hubs(), partial(_start_forgotten_runs, client))


async def _start_forgotten_runs(client: "DurableOrchestrationClient") -> None:
    for run in await in_tables_thread(_forgotten_runs):
        if await status_of(client, run.deployment_id) != NOT_THERE:
            continue
        waited = (utc_now() - parse_timestamp(run.created_at)).total_seconds()
        with logs.context(deployment_id=run.deployment_id, spoke_id=run.spoke_id):
            log.warning("event=not_started waited_seconds=%d The run has no instance; it is started now", waited)
        await start_run(client, deployment_id=run.deployment_id, spoke_id=run.spoke_id, kind=run.kind)


def _forgotten_runs() -> list[RunRow]:
    latest = utc_now() - STARTED_BY_THEN
    return [
        run
        for run in Records().runs_looked_after()
        if run.status == "accepted" and not run.restart and parse_timestamp(run.created_at) <= latest
    ]


@timer_function(blueprint, "30 */5 * * * *")
async def repair_gateway(client: "DurableOrchestrationClient") -> None:
    """Lets the gateway's writer compare the gateway with all rows: a stale PUT may have undone what was applied.

    Rows that were lost, of sites and of peerings, are made anew before.
    """

    async def repair() -> None:
        await in_arm_thread(current_settings().arm_timeout_seconds, remake_lost_rows)
        if await in_tables_thread(_knows_sites):
            await ensure_writer_runs(client, "gateway")

    await _for_each(process_settings().places, repair)


@timer_function(blueprint, "30 */5 * * * *")
async def repair_hub(client: "DurableOrchestrationClient") -> None:
    """Lets the hub's writer compare all peerings with the hub: it repairs those that are gone, `Disconnected`, out of sync
    with a VNet that has grown, or without the gateway flags that the hub's gateway asks for."""

    async def repair() -> None:
        if await in_tables_thread(_has_rows, HUB_TURNS_TABLE, current_settings().hub_key, "turn"):
            await ensure_writer_runs(client, "hub")

    await _for_each(hubs(), repair)


@timer_function(blueprint, "10 */5 * * * *")
async def repair_security_rules(client: "DurableOrchestrationClient") -> None:
    """Brings the security groups of finished spokes to the rules of this version, these settings and the hub as it is."""
    await _for_each(
        process_settings().places, partial(in_arm_thread, ACTIVITY_SECONDS, rule_repair.repair_security_rules)
    )


def _knows_sites() -> bool:
    """Sites that are there or asked for, or that were removed and could come back."""
    key = current_settings().gateway_key
    return _has_rows(GATEWAY_SITES_TABLE, key, "site") or bool(gateway_sites().read(WRITER_KEY)[1].removed)


def _has_rows(name: str, partition: str, kind: str) -> bool:
    query = f"PartitionKey eq @partition and RowKey ge '{kind}:' and RowKey lt '{kind};'"
    return table(name).has_any(query, {"partition": partition})


@timer_function(blueprint, "15 7 * * * *")
async def forget_old_keys(client: "DurableOrchestrationClient") -> None:
    """Removes the rows of Idempotency-Keys that are older than 24 hours."""
    await _for_each(hubs(), partial(in_tables_thread, forget_expired_keys))
    await in_tables_thread(forget_expired_claims)


@timer_function(blueprint, "45 7 * * * *")
async def report_capacity(client: "DurableOrchestrationClient") -> None:
    """Logs what is used of everything that a spoke takes: the alert on capacity stands on these lines."""
    await _for_each(process_settings().places, _log_capacity)


async def _log_capacity() -> None:
    here = current_settings()
    where = f"@{here.hub_name}/{here.hub_agw_name}" if here.several else ""
    for what, count in vars(await capacity_now()).items():
        if isinstance(count, Count):
            log.info("event=capacity what=%s used=%d limit=%d", what + where, count.used, count.limit)


@timer_function(blueprint, "40 */5 * * * *")
async def watch_health(client: "DurableOrchestrationClient") -> None:
    """Asks what /health asks, whether or not anybody calls it: the alert `unhealthy` stands on the line that this logs."""
    await health_now()


@timer_function(blueprint, "40 */10 3 * * *")
async def forget_old_runs(client: "DurableOrchestrationClient") -> None:
    """Deletes runs that ended more than `KEEP_RUNS_DAYS` days ago, with their Durable history, and idle secrets."""
    await _for_each(hubs(), partial(forget_ended_runs, client))


@timer_function(blueprint, "20 * * * * *")
async def sweep_terminated_runs(client: "DurableOrchestrationClient") -> None:
    """Stops the children of dead orchestrations and has another run undo what they left."""
    await _for_each(hubs(), partial(sweep, client))


@timer_function(blueprint, "50 */5 * * * *")
async def report_orphans(client: "DurableOrchestrationClient") -> None:
    """Reports resources of ours that no record knows; removes them when `SWEEP_DELETE_ORPHANS` says so."""
    await _for_each(hubs(), partial(in_arm_thread, ACTIVITY_SECONDS, sweep_orphans))


async def _for_each(places: Iterable[Settings], work: Callable[[], Awaitable[Any]]) -> None:
    """Does the work for each hub or gateway, side by side: one that is slow or fails keeps no other from it. The first
    failure is raised when all have ended."""
    ended = await asyncio.gather(*(ask_at(place, work) for place in places), return_exceptions=True)
    if failed := [error for error in ended if isinstance(error, BaseException)]:
        raise failed[0]

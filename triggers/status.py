"""What the installation says of itself: /health, /capacity and /openapi.json."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import azure.durable_functions as df

from shared.arm.client import arm
from shared.checks.findings import in_order
from shared.checks.snapshot import gateway_limits, read_rights
from shared.checks.subjects.hub import PEERINGS_PER_VNET, flaw_of_hub, hub_not_found
from shared.checks.subjects.rights import rights_findings
from shared.data import taken_from
from shared.errors import AzureResourceException, ConfigurationException, Failure, how_to_grant
from shared.process.blocking import in_arm_thread, in_tables_thread
from shared.process.logs import failure_of
from shared.process.once import importing
from shared.recovery.orphans import doubt_about_records
from shared.recovery.record_loss import raise_for_lost_rows
from shared.settings import Settings, at, current_settings, has_several_hubs, process_settings
from shared.spoke.addresses import highest_spoke_id
from shared.spoke.documents.raw import provisioning_state
from shared.spoke.records import GATEWAY_SITES_TABLE, HUB_TURNS_TABLE
from shared.tables.client import Partition
from shared.tables.places import (
    at_each_gateway,
    at_each_hub,
    former_hubs,
    gateway_of,
    gateways_of,
    hubs,
    places,
    used_slots,
)
from shared.tables.records import Records
from shared.writers.gateway.capacity import capacity_of, gateway_not_found, unsuitable
from shared.writers.gateway.site_rows import Site, site_key
from shared.writers.gateway.sites import Frontend, frontend_of
from shared.writers.instances import writer_state
from shared.writers.peering.peering_rows import peering_key
from shared.writers.writer_tables import gateway_sites, hub_peerings
from triggers.http import answers
from triggers.http.responses import Answer
from triggers.http.wiring import Call, http_function

T = TypeVar("T")

log = logging.getLogger(__name__)
blueprint = df.Blueprint()

SECONDS_FOR_EACH = 5.0
# Until the settings can be read, and say something else.
FRESH_SECONDS = 10.0


@http_function(blueprint, "GET", "health/live", {200: answers.Liveness}, (), anonymous=True)
async def get_liveness(call: Call) -> Answer:
    """Does the app answer?"""
    return Answer(200, answers.Liveness())


@http_function(blueprint, "GET", "health", {200: answers.Health, 503: answers.Health}, ())
async def get_health(call: Call) -> Answer:
    """Does the app reach what it needs?

    Probes that come together, and within `HEALTH_FRESH_SECONDS`, share one answer. Runs and writers that stand still make
    it `degraded`, with 200: they are started again or replaced, and the app itself works.
    """
    return await health_now()


async def health_now() -> Answer:
    """What /health answers. The line `event=unhealthy`, on which an alert stands, is written when it is 503."""
    return await _SHARED.get(_asked)


async def _asked() -> Answer:
    checks = _all_checks()
    looking = asyncio.ensure_future(_stalled_runs())
    found = await asyncio.gather(*map(_checked, checks.values()))
    stalled = await looking
    dependencies = dict(zip(checks, found, strict=True))
    if failing := [f"{name}: {each.message}" for name, each in dependencies.items() if each.status == "failing"]:
        log.warning("event=unhealthy %s", " ".join(failing))
        return Answer(503, answers.Health("unhealthy", dependencies, stalled), {"Retry-After": "5"})
    is_degraded = stalled or any(each.status == "degraded" for each in found)
    return Answer(200, answers.Health("degraded" if is_degraded else "ok", dependencies, stalled))


class DegradedError(Exception):
    """Something doesn't work as it should, and is being helped. The text is the finding."""


class SharedAnswer:
    """One answer for all who ask while it is being found, and for some time after that began."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._answer: asyncio.Future[Answer] | None = None

    async def get(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Runs on one event loop, as all async functions of a process do."""
        shared, now = self._answer, time.monotonic()
        if shared is None or (shared.done() and (now - self._begun >= fresh_seconds() or shared.cancelled())):
            self._begun = now
            shared = self._answer = asyncio.ensure_future(ask())
        return await asyncio.shield(shared)  # one probe's end is not the others'


_SHARED = SharedAnswer()


def fresh_seconds() -> float:
    try:
        return current_settings().health_fresh_seconds
    except ConfigurationException:
        return FRESH_SECONDS


async def _checked(check: Callable[[], Awaitable[str]]) -> answers.Dependency:
    begun = time.monotonic()
    status: Literal["ok", "degraded", "failing"] = "failing"
    details = None
    try:
        message = await check()
        status = "ok"
    except DegradedError as degraded:
        status, message = "degraded", str(degraded)
    except TimeoutError:
        message = f"No answer within {SECONDS_FOR_EACH:g} seconds."
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a dependency is the answer
        failure = failure_of(error)
        message, details = failure.message, failure.public()["details"]
    latency = round(1000 * (time.monotonic() - begun), 1)
    return answers.Dependency(status=status, message=message, details=details, latency_ms=latency)


async def _stalled_runs() -> list[answers.StalledRun]:
    """The runs of this app's task hub that were found standing still. When the tables don't answer, their check says so."""
    try:
        looked = in_tables_thread(at_each_hub, lambda: Records().runs_looked_after())
        runs = await asyncio.wait_for(looked, SECONDS_FOR_EACH)
    except Exception as error:  # noqa: BLE001 - whatever keeps the tables from answering is told by their own check
        log.debug("The runs can't be read: %s", failure_of(error).message)
        return []
    return [
        answers.StalledRun(run.deployment_id, run.spoke_id, run.stalled.since, run.stalled.step)
        for run in runs
        if run.stalled
    ]


def _tables() -> str:
    """Reads every table. A completed spoke that has no row there is said, too: its site or peering is not repaired."""
    # The spokes first: a row is there before its spoke is completed.
    here = current_settings()
    served = [(spoke, gateway_of(spoke.plan, here)) for spoke in Records().spokes()]
    # What a gateway has that the settings no longer have, nothing looks after.
    completed = [spoke for spoke, gateway in served if spoke.status == "completed" and gateway.is_configured]
    sites = set(at_each_gateway(lambda: list(gateway_sites().keys())))
    turns = hub_peerings().keys()
    raise_for_lost_rows(
        GATEWAY_SITES_TABLE, [spoke.client_name for spoke in completed if site_key(spoke.plan.client) not in sites]
    )
    raise_for_lost_rows(
        HUB_TURNS_TABLE, [spoke.client_name for spoke in completed if peering_key(spoke.spoke_id) not in turns]
    )
    unknown = sorted({f"gateway {gateway.hub_agw_name}" for _, gateway in served if not gateway.is_configured})
    if here.hub_key == hubs()[0].hub_key:  # once for all hubs
        unknown += [f"hub {hub.hub_name}" for hub in former_hubs() if Partition(hub.hub_key).has_any("spoke:")]
    if unknown:
        raise DegradedError(
            f"The records can be read; they name the {', '.join(unknown)}, no longer in the settings: such spokes are shown, "
            "and left as they are."
        )
    return "The records can be read."


def _records() -> str:
    """Asks Azure only as long as the records are new: from then on their marker tells."""
    if (in_doubt := doubt_about_records()) is not None:
        raise in_doubt.as_exception()
    return "The records know everything with our tags."


def _writers() -> str:
    """Who writes the gateway and the hub's peerings, and whether one of them stands still."""
    states = [writer_state(which) for which in ("gateway", "hub")]
    if late := [state.sentence for state in states if state.stands_still]:
        raise DegradedError(" ".join(late))
    return " ".join(state.sentence for state in states)


def _credential() -> str:
    arm().check_credential()
    return "The app's identity gets tokens."


def _read(resource_id: str, not_found: Callable[[str], Failure]) -> dict[str, Any]:
    """A resource that has to be there."""
    found = arm().get(resource_id)
    if found is None:
        raise not_found(resource_id).as_exception()
    return found


def _arm() -> str:
    _read(arm().ids.hub_group, hub_not_found)
    return "Azure Resource Manager answers."


def _hub() -> str:
    hub = _read(arm().ids.hub_vnet, hub_not_found)
    if flaw := flaw_of_hub(arm().ids, hub):
        raise flaw.as_exception()
    return f"The hub's VNet is {provisioning_state(hub)}."


def _gateway() -> str:
    gateway = _read(arm().ids.gateway, gateway_not_found)
    if flaw := unsuitable(gateway):
        raise flaw.as_exception()
    return f"The Application Gateway is {provisioning_state(gateway)}."


def _permissions() -> str:
    """Whether the app's identity may do all that deployments and deletes need, before one of them is refused."""
    found = in_order(rights_findings(*read_rights(arm())))
    said = ". ".join(finding.message.rstrip(".") for finding in found) + "."
    if any(finding.stops for finding in found):
        missing = [each for finding in found for each in finding.details.get("missing", ())]
        raise ConfigurationException(said, code=found[0].code, hint=how_to_grant(missing), missing=missing)
    if found:
        raise DegradedError(said)
    return "The app's identity has all its rights."


def _settings() -> str:
    current_settings()
    return "All settings are there."


async def _of_tables(check: Callable[[], str]) -> str:
    async with asyncio.timeout(SECONDS_FOR_EACH):
        return await in_tables_thread(check)


async def _of_arm(check: Callable[[], str]) -> str:
    return await in_arm_thread(SECONDS_FOR_EACH, check)


CHECKS: dict[str, Callable[[], Awaitable[str]]] = {
    "settings": partial(_of_tables, _settings),
    "tables": partial(_of_tables, _tables),
    "records": partial(_of_arm, _records),
    "writers": partial(_of_tables, _writers),
    "credential": partial(_of_arm, _credential),
    "arm": partial(_of_arm, _arm),
    "hub": partial(_of_arm, _hub),
    "gateway": partial(_of_arm, _gateway),
    "permissions": partial(_of_arm, _permissions),
}

# Asked for each hub, and for each gateway, where there are several; the others once.
_OF_HUB = ("tables", "records", "arm", "hub")
_OF_GATEWAY = ("writers", "gateway", "permissions")


def _all_checks() -> dict[str, Callable[[], Awaitable[str]]]:
    """Every check by its name; where there are several hubs or gateways, with theirs."""
    try:
        places = process_settings().places
    except ConfigurationException:  # the check of the settings says why
        return CHECKS
    if len(places) == 1:
        return CHECKS
    checks = {name: check for name, check in CHECKS.items() if name not in _OF_HUB + _OF_GATEWAY}
    for name in _OF_HUB:
        checks |= {f"{name} {hub.hub_name}": partial(ask_at, hub, CHECKS[name]) for hub in hubs()}
    for name in _OF_GATEWAY:
        checks |= {
            f"{name} {each.hub_name}/{each.hub_agw_name}": partial(ask_at, each, CHECKS[name]) for each in places
        }
    return checks


async def ask_at(place: Settings, ask: Callable[[], Awaitable[T]]) -> T:
    """What is answered at this hub or gateway."""
    with at(place):
        return await ask()


@http_function(blueprint, "GET", "capacity", {200: answers.Capacity}, (500, 503))
async def get_capacity(call: Call) -> Answer:
    """Show how many more spokes there is room for."""
    if len(process_settings().places) == 1:
        return Answer(200, await capacity_now())
    of_hubs = await asyncio.gather(*(_hub_capacity(hub) for hub in hubs()))
    return Answer(200, answers.Capacity(hubs=of_hubs, unknown=[each for hub in of_hubs for each in hub.unknown]))


async def _hub_capacity(hub: Settings) -> answers.HubCapacity:
    """What there is of a hub, and of each of its gateways."""
    gateways = gateways_of(hub)
    found = await asyncio.gather(*(ask_at(gateway, capacity_now) for gateway in gateways))
    return answers.HubCapacity(
        name=hub.hub_name,
        location=hub.hub_location,
        address_blocks=found[0].address_blocks,
        peerings=found[0].peerings,
        gateways=[
            taken_from(one, answers.GatewayCapacity, name=gateway.hub_agw_name, open=gateway.gateway_is_open)
            for gateway, one in zip(gateways, found, strict=True)
        ],
        unknown=[
            replace(each, hub=hub.hub_name, gateway=gateway.hub_agw_name)
            for gateway, one in zip(gateways, found, strict=True)
            for each in one.unknown
        ],
    )


async def capacity_now() -> answers.Capacity:
    """That of the present hub and gateway. What Azure doesn't tell just now is named in `unknown`."""
    ours, hub, gateway = await asyncio.gather(
        in_tables_thread(_capacity_by_records), _answered(_peering_capacity), _answered(_gateway_capacity)
    )
    unknown = [answers.Unread(of=of, **failure) for of, _, failure in (("hub", *hub), ("gateway", *gateway)) if failure]
    return answers.Capacity(**ours, **hub[0], **gateway[0], unknown=unknown)


def _count(used: int, limit: int) -> answers.Count:
    return answers.Count(used, limit, max(limit - used, 0))


def _capacity_by_records() -> dict[str, answers.Count]:
    """What the records alone tell."""
    settings = current_settings()
    rows = Partition(settings.hub_key)
    blocks = len(rows.range("block:", select=("RowKey",)))
    slots = len(used_slots(rows, settings)[settings.hub_agw_name.lower()])
    highest = highest_spoke_id(settings.spoke_address_pool, settings.spoke_prefix_length)
    return {"address_blocks": _count(blocks, highest), "gateway_places": _count(slots, places(settings))}


def _peering_capacity() -> dict[str, answers.Count]:
    hub = _read(arm().ids.hub_vnet, hub_not_found)
    peerings = hub.get("properties", {}).get("virtualNetworkPeerings", [])
    return {"peerings": _count(len(peerings), PEERINGS_PER_VNET)}


def _gateway_capacity() -> dict[str, answers.Count]:
    """Counted on the live document; priorities are those below the ceiling of a host name of ours."""
    settings = current_settings()
    gateway = _read(arm().ids.gateway, gateway_not_found)
    # Of the site only the frontend matters.
    site = Site(
        f"any-client.{settings.spoke_domain}",
        "",
        settings.agw_frontend_ip,
        settings.agw_frontend_port,
        settings.agw_ssl_certificate,
    )
    frontend = frontend_of(gateway, site)
    rows = gateway_sites().present().rows
    known = frontend if isinstance(frontend, Frontend) else None
    counted = capacity_of(gateway, rows, known, site.host_name, limits=gateway_limits(arm(), gateway))
    return {kind: answers.Count(**count) for kind, count in counted.items()}


async def _answered(
    ask: Callable[[], dict[str, answers.Count]],
) -> tuple[dict[str, answers.Count], dict[str, Any] | None]:
    """What Azure says, or why it says nothing. One of several hubs doesn't keep the others' answer for long."""
    longest = current_settings().arm_look_seconds
    try:
        return await in_arm_thread(min(longest, SECONDS_FOR_EACH) if has_several_hubs() else longest, ask), None
    except (AzureResourceException, ConfigurationException) as error:
        return {}, error.failure.public()


@http_function(blueprint, "GET", "openapi.json", {200: None}, ())
async def get_openapi(call: Call) -> Answer:
    """Show this document."""
    document = await in_tables_thread(_generated)
    return Answer(200, {**document, "servers": [{"url": urlsplit(call.base).path or "/"}]})


def _generated() -> dict[str, object]:
    with importing:
        from triggers.http.openapi import openapi_document

    return openapi_document()

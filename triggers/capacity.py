"""/capacity: how many more spokes there is room for."""

import asyncio
from collections.abc import Callable
from typing import Any

import azure.durable_functions as df

from shared.arm.client import arm
from shared.blocking import in_arm_thread, in_tables_thread
from shared.checks.hub import PEERINGS_PER_VNET
from shared.errors import AzureResourceException
from shared.settings import current_settings
from shared.spoke.addresses import highest_spoke_id
from shared.tables.partition import SpokesPartition
from shared.tables.reservations import places
from shared.writers.gateway.capacity import capacity_of
from shared.writers.gateway.firewall import gateway_limits
from shared.writers.gateway.rows import Site
from shared.writers.gateway.sites import Frontend, frontend_of
from shared.writers.gateway.table import gateway_sites
from triggers.http.responses import Answer
from triggers.http.wiring import Call, http_function

blueprint = df.Blueprint()


@http_function(blueprint, "GET", "capacity")
async def get_capacity(call: Call) -> Answer:
    """Used, limit and free of everything that a spoke takes. What Azure doesn't tell just now is named in `unknown`."""
    ours, hub, gateway = await asyncio.gather(in_tables_thread(_ours), _told(_peerings), _told(_gateway))
    unknown = [{"of": of, **failure} for of, _, failure in (("hub", *hub), ("gateway", *gateway)) if failure]
    return Answer(200, {**ours, **hub[0], **gateway[0], "unknown": unknown})


def counted(used: int, limit: int) -> dict[str, int]:
    return {"used": used, "limit": limit, "free": max(limit - used, 0)}


def _ours() -> dict[str, Any]:
    """What the records alone tell."""
    settings = current_settings()
    rows = SpokesPartition(settings)
    blocks = len(rows.range("block:", select=("RowKey",)))
    slots = len(rows.range("slot:", select=("RowKey",)))
    highest = highest_spoke_id(settings.spoke_address_pool, settings.spoke_prefix_length)
    return {"address_blocks": counted(blocks, highest), "gateway_places": counted(slots, places(settings))}


def _peerings() -> dict[str, Any]:
    hub = arm().get(arm().ids.hub_vnet)
    if hub is None:
        return {}
    peerings = hub.get("properties", {}).get("virtualNetworkPeerings", [])
    return {"peerings": counted(len(peerings), PEERINGS_PER_VNET)}


def _gateway() -> dict[str, Any]:
    """Counted on the live document; priorities are those below the ceiling of a host name of ours."""
    settings = current_settings()
    gateway = arm().get(arm().ids.gateway)
    if gateway is None:
        return {}
    host_name = f"any-client.{settings.spoke_domain}"
    site = Site(
        host_name=host_name,
        private_ip="0.0.0.0",  # noqa: S104 - nobody listens: only the frontend of the site matters here
        frontend_ip=settings.agw_frontend_ip,
        frontend_port=settings.agw_frontend_port,
        ssl_certificate=settings.agw_ssl_certificate,
        probe_path=settings.probe_path,
    )
    frontend = frontend_of(gateway, site)
    rows = gateway_sites().present().rows
    known = frontend if isinstance(frontend, Frontend) else None
    return capacity_of(gateway, rows, known, host_name, limits=gateway_limits(arm(), gateway))


async def _told(ask: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What Azure says, or why it says nothing."""
    try:
        return await in_arm_thread(current_settings().arm_look_seconds, ask), None
    except AzureResourceException as error:
        return {}, error.failure.public()

"""Makes rows of `GatewaySites` and `HubTurns` anew, after a loss of these tables, for spokes whose site or peering is there.

Without its row a site is unmanaged: it is neither repaired nor removed with its spoke. The spoke's own row says what
it was; Azure has to hold just that, else it stays unmanaged.
"""

import logging
from typing import Any

from shared.arm.client import arm
from shared.clock import timestamp
from shared.recovery.orphans import doubt_about_records
from shared.settings import current_settings
from shared.spoke.documents.raw import Document, properties_of
from shared.spoke.plan import SpokePlan
from shared.spoke.records import RunRow, SpokeRow
from shared.tables.client import ConcurrentUpdate
from shared.tables.places import serves
from shared.tables.records import Records
from shared.writers.gateway.document import element_named
from shared.writers.gateway.site_rows import SiteRow, site_key
from shared.writers.gateway.sites import site_of
from shared.writers.peering.documents import leads_to
from shared.writers.peering.peering_rows import PeeringRow, peering_key, request_peering
from shared.writers.writer_tables import gateway_sites, hub_peerings

log = logging.getLogger(__name__)


def remake_lost_rows() -> list[str]:
    """The keys of the rows that were made anew, of spokes that the present gateway serves. Asks Azure only when rows are missing."""
    completed = [spoke for spoke in Records().spokes() if spoke.status == "completed" and serves(spoke.plan)]
    sites, peerings = gateway_sites(), hub_peerings()
    site_keys, peering_keys = sites.keys(), peerings.keys()
    without_site = [spoke for spoke in completed if site_key(spoke.plan.client) not in site_keys]
    without_peering = [spoke for spoke in completed if peering_key(spoke.spoke_id) not in peering_keys]
    if not (without_site or without_peering) or doubt_about_records() is not None:
        return []
    made = []
    gateway = arm().get(arm().ids.gateway) if without_site else None
    for spoke in without_site:
        if gateway and (site := lost_site(spoke, gateway)):
            made += _made(sites, site)
    for spoke in without_peering:
        if peering := lost_peering(spoke.plan, spoke.deployment_id):
            made += _made(peerings, peering)
    return made


def lost_site(owner: RunRow | SpokeRow, gateway: Document) -> SiteRow | None:
    """The row of a site that the gateway holds; None when it doesn't, or holds something else of these names. owner:
    its spoke, or the present run."""
    plan, names, private_ip = owner.plan, owner.plan.site_names, owner.result.get("private_ip")
    pool, listener, rule = (
        properties_of(element_named(gateway, collection, name))
        for collection, name in (
            ("backendAddressPools", names.pool),
            ("httpListeners", names.listener),
            ("requestRoutingRules", names.rule),
        )
    )
    addresses = [each.get("ipAddress") for each in pool.get("backendAddresses") or []]
    if not private_ip or addresses != [private_ip] or listener.get("hostName") != plan.host_name or not rule:
        return None
    return SiteRow(
        plan.client,
        plan.made_by,
        owner.deployment_id,
        names,
        site_of(plan, private_ip, current_settings()),
        desired_version=1,
        since=timestamp(),
        owned=True,
        priority=rule.get("priority"),
    )


def lost_peering(plan: SpokePlan, deployment_id: str) -> PeeringRow | None:
    """The row of a spoke's peering of which the hub has its side; None when it has none that leads to the spoke's VNet."""
    ids = arm().ids.of(plan)
    vnet_id = ids.vnet(plan.vnet_name)
    hub_side = arm().get(ids.hub_peering(plan.hub_peering_name))
    if hub_side is None or not leads_to(hub_side, vnet_id):
        return None
    forwarded = current_settings().peering_allow_forwarded_traffic
    return request_peering(
        None, plan, deployment_id=deployment_id, vnet_id=vnet_id, forwarded=forwarded, now=timestamp()
    )


def _made(rows: Any, row: SiteRow | PeeringRow) -> list[str]:
    try:
        rows.request(row)
    except ConcurrentUpdate:
        return []
    log.warning("The row %s was lost; it was made anew from the spoke's, as Azure holds it", row.row_key)
    return [row.row_key]

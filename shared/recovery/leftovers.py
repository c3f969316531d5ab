"""What is left of a spoke whose undos did not all work: looked up in Azure and in the tables, one undo at a time."""

from functools import partial

from shared.arm.client import Arm
from shared.arm.failures import ArmError
from shared.spoke.inventory import Owner, made_by, named_by, parts
from shared.spoke.plan import SpokePlan
from shared.spoke.records import GATEWAY_SITES_TABLE, HUB_TURNS_TABLE
from shared.tables.reservations import holds_reservations
from shared.writers.gateway.document import element_id, element_named
from shared.writers.gateway.site_rows import site_key
from shared.writers.peering.documents import leads_to
from shared.writers.peering.peering_rows import peering_key
from shared.writers.writer_tables import gateway_sites, hub_peerings


def leftovers(azure: Arm, plan: SpokePlan, undo: str, *, in_doubt: bool = False) -> list[str]:
    """What this undo should have removed and is still there: ids of resources, or what else it is called.

    What is not this spoke's own is not left behind by it, whatever its name. in_doubt: what ARM doesn't tell about may be
    there, and is named; otherwise it raises. When the tables don't answer it always does.
    """
    ids = azure.ids.of(plan)
    owned_by = {part.owned_by for part in parts(plan, ids) if part.undo == undo}
    if "site_row" in owned_by:
        return _of_the_site(azure, plan, in_doubt)
    if "peering_row" in owned_by:
        return _of_the_peering(azure, plan, in_doubt)
    named, owned = named_by(undo, plan, ids), made_by(plan.made_by)
    if "reservations" in owned_by:
        return named if holds_reservations(plan) else []
    return [each for each in named if _is_there(azure, each, owned, in_doubt)]


def _is_there(azure: Arm, resource_id: str, owned: Owner, in_doubt: bool) -> bool:
    try:
        resource = azure.get(resource_id)
    except ArmError:
        if not in_doubt:
            raise
        return True
    return resource is not None and owned(resource)


def _of_the_site(azure: Arm, plan: SpokePlan, in_doubt: bool) -> list[str]:
    """The elements of the site that the gateway holds; without any, the row that still asks for something."""
    key = site_key(plan.client)
    row, _ = gateway_sites().read(key)
    if row is None or row.made_by != plan.made_by:
        return []
    try:
        gateway = azure.get(azure.ids.gateway) if row.owned else None
    except ArmError:
        if not in_doubt:
            raise
        return named_by("remove_from_agw", plan, azure.ids.of(plan))
    elements = [
        element_id(gateway, collection, name)
        for collection, name in row.names.by_collection().items()
        if gateway is not None and element_named(gateway, collection, name) is not None
    ]
    return elements or [f"{key} in the table {GATEWAY_SITES_TABLE}"]


def _of_the_peering(azure: Arm, plan: SpokePlan, in_doubt: bool) -> list[str]:
    """The sides that are there; without any, the row that still asks for something."""
    ids, key = azure.ids.of(plan), peering_key(plan.spoke_id)
    row, _ = hub_peerings().read(key)
    if row is None or row.made_by != plan.made_by:
        return []
    hub_side = ids.hub_peering(row.hub_peering)
    spoke_side = f"{row.vnet_id}/virtualNetworkPeerings/{row.spoke_peering}"
    there = [
        side
        for side, other in ((hub_side, row.vnet_id), (spoke_side, ids.hub_vnet))
        if _is_there(azure, side, partial(leads_to, vnet_id=other), in_doubt)
    ]
    return there or [f"{key} in the table {HUB_TURNS_TABLE}"]

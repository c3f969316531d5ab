"""Resources of ours whose record is gone: found by their tags, reported, and removed only when told to."""

import logging
from collections.abc import Iterable
from typing import Any

from shared.arm.client import Arm, arm, describe
from shared.arm.failures import ArmError
from shared.arm.ids import type_of
from shared.settings import current_settings
from shared.tables.rows import SPOKES_TABLE, TERMINAL, unpacked
from shared.tables.store import table

log = logging.getLogger(__name__)

Document = dict[str, Any]

# What has to go before what: a VM holds its disk and NIC, these hold the VNet, whose subnets hold the NSG.
_ORDER = ("virtualmachines", "disks", "networkinterfaces", "virtualnetworks", "networksecuritygroups")


def orphans_among(resources: Iterable[Document], made_by: set[str]) -> list[Document]:
    """Tagged resources whose `deployment_id` no record has, in the order in which they can go. Pure."""
    found = []
    for resource in resources:
        tags = {str(key).lower(): value for key, value in (resource.get("tags") or {}).items()}
        if tags.get("managed_by") == "hub-spoke-automation" and tags.get("deployment_id") not in made_by:
            found.append(
                {
                    "resource": str(resource["id"]),
                    "deployment_id": tags.get("deployment_id"),
                    "spoke_id": tags.get("spoke_id"),
                    "client_name": tags.get("client_name"),
                }
            )
    return sorted(found, key=lambda orphan: (_rank(str(orphan["resource"])), str(orphan["resource"]).lower()))


def _rank(resource_id: str) -> int:
    kind = type_of(resource_id).rsplit("/", 1)[-1].lower()
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def orphans() -> list[Document]:
    """Resources in the spoke group that carry our tags and that no spoke's record knows. Changes nothing.

    What a `failed` spoke made is gone: if something of it turns up all the same, it is an orphan.
    """
    azure = arm()
    # Azure first, the records then: a spoke's record is there before anything of it, and goes after everything of it.
    listed = azure.get_all(
        f"{azure.ids.subscription}/resources",
        params={"$filter": f"resourceGroup eq '{azure.ids.spoke_resource_group}'"},
    )
    known = _made_by()
    # The list can show for minutes what is gone already, or what has been made anew since under the same name.
    found = [azure.get(orphan["resource"]) for orphan in orphans_among(listed, known)]
    return orphans_among((document for document in found if document is not None), known)


def _made_by() -> set[str]:
    """The runs that made the spokes there are, and those that still go on, of every hub with records in this table."""
    known: set[str] = set()
    ended = " and ".join(f"status ne '{status}'" for status in sorted(TERMINAL))
    for prefix, further in (("spoke:", " and status ne 'failed'"), ("run:", f" and {ended}")):
        query = f"RowKey ge @low and RowKey lt @high{further}"
        parameters = {"low": prefix, "high": prefix[:-1] + ";"}
        for row in table(SPOKES_TABLE).query_entities(query, parameters=parameters):
            known.add(str(unpacked(dict(row), "plan", {}).get("made_by", "")))
            known.add(str(row["deployment_id"]))
    return known


def sweep_orphans() -> list[Document]:
    """Reports each orphan at WARNING; with `SWEEP_DELETE_ORPHANS` has them deleted, as far as nothing holds them: what
    is refused or still held goes at a later tick."""
    found = orphans()
    azure, delete = arm(), current_settings().sweep_delete_orphans
    for orphan in found:
        log.warning(
            "%s has our tags, but no record knows its deployment %s%s",
            orphan["resource"],
            orphan["deployment_id"],
            "" if delete else "; it was left alone (SWEEP_DELETE_ORPHANS is false)",
        )
        if delete:
            _delete(azure, orphan["resource"])
    return found


def _delete(azure: Arm, resource_id: str) -> None:
    try:
        azure.delete(resource_id)
    except ArmError as error:
        log.warning("%s could not be removed now: %s", describe(resource_id), error.failure.message)
    else:
        log.warning("%s is being removed", describe(resource_id))

"""What is left of spokes whose record is gone: resources, found by their tags, sites, peerings and reservations, found by
their rows. Reported, and removed only when told to.
"""

import logging
import re
from collections.abc import Iterable
from typing import Any

from shared.arm.client import Arm, arm, describe
from shared.arm.failures import ArmError
from shared.arm.reconcile import only_over
from shared.clock import timestamp
from shared.errors import Failure
from shared.recovery.record_loss import doubt
from shared.settings import Settings, current_settings
from shared.spoke.documents.raw import Document
from shared.spoke.inventory import TAGGED
from shared.spoke.records import SPOKES_TABLE, TERMINAL
from shared.spoke.resource_ids import name_of, type_of
from shared.tables.client import ConcurrentUpdate, hub_rows, table
from shared.tables.codec import from_json_columns
from shared.tables.places import at_each_gateway, hubs
from shared.tables.reservations import reservations_by_deployment
from shared.writers.desired_table import DesiredTable
from shared.writers.writer_tables import gateway_sites, hub_peerings

log = logging.getLogger(__name__)

_OUR_TAGS = {"deployment_id": r"deploy-.+-\d+-[0-9a-f]{4}", "spoke_id": r"\d+", "client_name": r"(?s).+"}


def orphans_among(resources: Iterable[Document], made_by: set[str]) -> list[Document]:
    """Tagged resources whose `deployment_id` no record has, in the order in which they can go. Pure."""
    found = []
    for resource in resources:
        tags = {str(key).lower(): value for key, value in (resource.get("tags") or {}).items()}
        if tags.get("managed_by") == "hub-spoke-automation" and tags.get("deployment_id") not in made_by:
            found.append(
                {
                    "resource": str(resource["id"]),
                    **{tag: tags.get(tag) for tag in _OUR_TAGS},
                    "etag": resource.get("etag"),
                    "is_part_of_a_spoke": is_part_of_a_spoke(str(resource["id"]), tags),
                }
            )
    return sorted(found, key=lambda orphan: (_rank(str(orphan["resource"])), str(orphan["resource"]).lower()))


def is_part_of_a_spoke(resource_id: str, tags: Document) -> bool:
    """Whether a resource is one that a spoke is made of, with all its tags. Pure.

    Others can come by our tags, too: a snapshot, or the disk that was restored from it, has those of its source.
    """
    form = TAGGED.get(_kind(resource_id))
    return (
        form is not None
        and re.fullmatch(form, name_of(resource_id), re.IGNORECASE) is not None
        and all(re.fullmatch(form, str(tags.get(tag) or "")) for tag, form in _OUR_TAGS.items())
    )


def _rank(resource_id: str) -> int:
    return [*TAGGED, _kind(resource_id)].index(_kind(resource_id))


def _kind(resource_id: str) -> str:
    return type_of(resource_id).rsplit("/", 1)[-1].lower()


def orphans() -> list[Document]:
    """Resources in the spoke group that carry our tags and that no spoke's record knows. Changes nothing.

    What a `failed` spoke made is gone: if something of it turns up all the same, it is an orphan.
    """
    azure = arm()
    # Azure first, the records then: a spoke's record is there before anything of it, and goes after everything of it.
    listed = azure.get_all(
        f"{azure.ids.spoke_subscription}/resources",
        params={"$filter": f"resourceGroup eq '{azure.ids.spoke_resource_group}'"},
    )
    known = _made_by()
    # The list can show for minutes what is gone already, or what has been made anew since under the same name.
    found = [azure.get(orphan["resource"]) for orphan in orphans_among(listed, known)]
    return orphans_among((document for document in found if document is not None), known)


def doubt_about_records() -> Failure | None:
    """Why no timer may delete anything on the word of the records, None when it may. Raises when Azure can't be asked."""
    return doubt(lambda: _unknown(orphans()))


def confirm_new_records(resources: Iterable[Document]) -> None:
    """Has a new installation rely on its records from its first deployment on. resources: those of the spoke group."""
    doubt(lambda: _unknown(orphans_among(resources, _made_by())))


def _unknown(found: list[Document]) -> list[str]:
    """What is there and no record knows: resources, and rows of sites and peerings."""
    known = _made_by()
    rows = [row.row_key for _, row in _desired_rows() if row.made_by not in known]
    return [str(orphan["resource"]) for orphan in found] + rows


def _made_by() -> set[str]:
    """The runs that made the spokes there are, and those that still go on, of every hub with records in this table."""
    known: set[str] = set()
    ended = " and ".join(f"status ne '{status}'" for status in sorted(TERMINAL))
    for prefix, further in (("spoke:", " and status ne 'failed'"), ("run:", f" and {ended}")):
        query = f"RowKey ge @low and RowKey lt @high{further}"
        parameters = {"low": prefix, "high": prefix[:-1] + ";"}
        for row in table(SPOKES_TABLE).query(query, parameters):
            known.add(str((from_json_columns(row, "plan") or {}).get("made_by", "")))
            known.add(str(row["deployment_id"]))
    return known


def sweep_orphans() -> list[Document]:
    """Reports each orphan at WARNING; with `SWEEP_DELETE_ORPHANS` has them deleted, as far as they are parts of a spoke
    and nothing holds them: what is refused or still held goes at a later tick."""
    found = orphans()
    azure, delete = arm(), current_settings().sweep_delete_orphans
    in_doubt = doubt(lambda: _unknown(found))
    if in_doubt is not None:
        log.warning("%s", in_doubt.message)
        delete = False
    for orphan in found if _is_first_of_its_group() else []:
        removed = delete and orphan["is_part_of_a_spoke"]
        why = "SWEEP_DELETE_ORPHANS is false" if not delete else "it is no part of a spoke"
        why = "the records may have been lost" if in_doubt else why
        log.warning(
            "event=orphan %s has our tags, but no record knows its deployment %s%s",
            orphan["resource"],
            orphan["deployment_id"],
            "" if removed else f"; it was left alone ({why})",
        )
        if removed:
            _delete(azure, orphan)
    _sweep_rows(delete, {orphan["deployment_id"] for orphan in found})
    return found


def _is_first_of_its_group() -> bool:
    """Whether no hub before the present one has its spokes in the same group: what that group holds is reported once."""
    here = current_settings()
    return next((hub for hub in hubs() if _group_of(hub) == _group_of(here)), here).hub_key == here.hub_key


def _group_of(hub: Settings) -> tuple[str, str]:
    return hub.spoke_subscription_id.lower(), hub.spoke_resource_group.lower()


def _sweep_rows(delete: bool, still_there: set[str | None]) -> None:
    """Sites and peerings that no run asks for any more, which their writers take away; and names and addresses that are
    kept for no run, which are freed when nothing of their spoke is there any more."""
    desired, held, known = _desired_rows(), reservations_by_deployment(), _made_by()
    since = f"report_orphans {timestamp()}"  # a removal that failed at an earlier tick is asked for anew
    for rows, row in desired:
        if row.made_by not in known:
            _report_row(row.row_key, row.made_by, delete)
            still_there.add(row.made_by)
            if delete:
                _request_removal(rows, row, since)
    for deployment_id, reserved in held.items():
        if deployment_id not in known:
            _report_row(", ".join(row["RowKey"] for row in reserved), deployment_id, delete)
            if delete and deployment_id not in still_there:
                _free(reserved)


def _desired_rows() -> list[tuple[DesiredTable[Any, Any], Any]]:
    """The sites of every gateway of the present hub and its peerings, each with its table."""

    def rows_of(rows: DesiredTable[Any, Any]) -> list[tuple[DesiredTable[Any, Any], Any]]:
        return [(rows, row) for row in rows.present().rows]

    return at_each_gateway(lambda: rows_of(gateway_sites())) + rows_of(hub_peerings())


def _report_row(what: str, deployment_id: str, delete: bool) -> None:
    left = "" if delete else "; left alone (SWEEP_DELETE_ORPHANS is false)"
    log.warning("event=orphan %s in the tables: no record knows its deployment %s%s", what, deployment_id, left)


def _request_removal(rows: DesiredTable[Any, Any], row: Any, since: str) -> None:
    gone = row.request_removal(deployment_id=since, now=timestamp())
    if gone is not row:
        try:
            rows.request(gone)
        except ConcurrentUpdate:
            log.info("%s was changed just now; the next tick looks again", row.row_key)


def _free(reserved: list[Any]) -> None:
    try:
        hub_rows().delete_together(reserved)
    except ConcurrentUpdate:
        log.info("Reservations were changed just now; the next tick looks again")


def _delete(azure: Arm, orphan: Document) -> None:
    resource_id = orphan["resource"]
    try:
        azure.delete(resource_id, headers=only_over(orphan))
    except ArmError as error:
        log.warning("%s could not be removed now: %s", describe(resource_id), error.failure.message)
    else:
        log.warning("%s is being removed", describe(resource_id))

"""Brings one resource to where a step wants it, one call at a time: look, then write at most once, then report.

Level-triggered: every call decides from what ARM holds now, so that a lost reply, a second call or a killed host
changes nothing. Writes only what is absent or ours.
"""

import logging
from collections.abc import Callable
from typing import Any

from shared.arm.cancellation import check_cancelled
from shared.arm.client import Accepted, Arm, describe
from shared.arm.failures import ArmError
from shared.errors import AzureResourceException, Failure
from shared.saga.outcomes import Call, Done, Failed, Operation, Outcome, Pending
from shared.spoke.documents.raw import Document, id_in, provisioning_state
from shared.spoke.inventory import Owner
from shared.spoke.resource_ids import type_of

log = logging.getLogger(__name__)


def follow(
    arm: Arm, operation: Operation | None, what: str, *, note_seconds: Callable[[float], None] = lambda _: None
) -> Outcome | None:
    """Asks after the operation that an earlier call started. None when it is over and well, or can't be asked after: then
    the resource itself tells the rest.

    note_seconds: is told how long an operation took that has succeeded, when its provider says so.
    """
    if operation is None:
        return None
    try:
        progress = arm.poll(operation)
    except ArmError as error:
        if error.failure.transient:
            return Pending(
                error.failure.message, error.failure.retry_after, wait_in_full=error.failure.retry_after is not None
            )
        # That the question is refused says nothing of the operation, which goes on.
        log.warning("%s can't be asked after: %s", what, error.failure.message)
        return None
    if progress.state == "running":
        return Pending(f"{what} is under way", progress.wait)
    if progress.state == "failed" and progress.failure:
        return Failed(progress.failure)
    if progress.took is not None:
        note_seconds(progress.took)
    return None


def ensure(
    arm: Arm,
    call: Call,
    resource_id: str,
    document: Document | Callable[[], Document],
    *,
    owned: Owner,
    is_complete: Callable[[Document], bool] = lambda _: True,
    result: Callable[[Document], dict[str, Any]] = lambda _: {},
    named: str | None = None,
) -> Outcome:
    """Has the resource exist, ours, complete and `Succeeded`. Fails permanently on one of the same name that isn't ours.

    The write is bound to what was seen: one that appeared or was changed in between is looked at anew (412).

    document: what is written, or what makes it when it has to be written.  named: what the messages call it, when it
    isn't the resource as a whole.
    """
    named = named or describe(resource_id)
    what = f"Writing {named}"
    if (pending := follow(arm, call.operation, what)) is not None:
        return pending
    existing = arm.get(resource_id)
    if existing is not None:
        if not owned(existing):
            return Failed(conflict_with(resource_id))
        match provisioning_state(existing):
            case "Succeeded" if is_complete(existing):
                return Done(f"{named}: ready", result(existing))
            case "Succeeded" | "Failed" | "Canceled":
                pass  # written again below
            case state:
                return Pending(f"{named}: {state}", forget_operation=True)
    body = document() if callable(document) else document
    check_cancelled()
    accepted = arm.put(resource_id, body, headers=only_over(existing))
    whole = accepted.body if accepted.body and accepted.body.get("properties") else None
    if accepted.operation is None and whole and provisioning_state(whole) == "Succeeded":
        return Done(f"{named}: ready", result(whole))
    return _started(accepted, what)


def remove(
    arm: Arm,
    call: Call,
    resource_id: str,
    *,
    owned: Owner,
    before: Callable[[Document], Document | None] = lambda _: None,
) -> Outcome:
    """Has the resource be gone. One that isn't there is gone already; one that isn't ours is left alone.

    The delete is bound to what was seen, as a write is: what another client has put in its place in between stays.
    A NIC or disk of ours on an unmanaged VM fails at once; on our own VM, which is going, it is waited for.

    before: the document to write before the delete, from the one that is there; None when there is nothing to write.
    """
    what = f"Deleting {describe(resource_id)}"
    if (pending := follow(arm, call.operation, what)) is not None:
        return pending
    # ARM can miss a resource for a moment; one that is taken for gone by mistake costs money unseen.
    existing = arm.get(resource_id) or arm.get(resource_id)
    if existing is None:
        return Done(f"{describe(resource_id)} is gone")
    if not owned(existing):
        return Done(f"{describe(resource_id)} is not this spoke's, and was left alone")
    if provisioning_state(existing) == "Deleting":
        return Pending(what, forget_operation=True)
    if (failure := _held_by_another(arm, existing, owned)) is not None:
        return Failed(failure)
    check_cancelled()
    if (changed := before(existing)) is not None:
        return _started(arm.put(resource_id, changed, headers=only_over(existing)), f"Writing {describe(resource_id)}")
    accepted = arm.delete(resource_id, headers=only_over(existing))
    if accepted.operation is None and not accepted.existed:
        # It was there a moment ago: gone is what another look doesn't find.
        return Pending(what, 0.0, forget_operation=True)
    return _started(accepted, what)


def _held_by_another(arm: Arm, resource: Document, owned: Owner) -> Failure | None:
    vm_id = str(resource.get("managedBy") or id_in(resource, "virtualMachine"))
    vm = arm.get(vm_id) if vm_id else None
    if vm is None or owned(vm):
        return None
    return Failure(
        AzureResourceException,
        "ResourceInUse",
        f"{describe(str(resource['id']))} can't go: {describe(vm_id)}, which this spoke did not make, uses it.",
        "Detach it from that VM, then retry.",
        {"resource": str(resource["id"]), "used_by": [vm_id]},
    )


def conflict_with(resource_id: str) -> Failure:
    """Something of the name that a step needs, which this run did not make."""
    return Failure(
        AzureResourceException,
        "NameTaken",
        f"{describe(resource_id)} exists already and was not made by this deployment.",
        "Choose another name or spoke_id, or remove it yourself if it isn't needed; nothing of it was changed.",
        {"kind": type_of(resource_id).rsplit("/", 1)[-1], "resource": resource_id},
    )


def only_over(existing: Document | None) -> dict[str, str]:
    """The condition that a write meets what was seen, or nothing where nothing was. Not every type has an ETag."""
    if existing is None:
        return {"If-None-Match": "*"}
    return {"If-Match": str(existing["etag"])} if existing.get("etag") else {}


def _started(accepted: Accepted, what: str) -> Pending:
    return Pending(what, accepted.wait, operation=accepted.operation, forget_operation=accepted.operation is None)

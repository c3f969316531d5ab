"""The Ubuntu VM and its OS disk."""

import json
import logging
import math
from dataclasses import replace
from functools import partial

from activities.decorators import Kind, activity
from shared.arm.client import Arm, arm
from shared.arm.failures import ArmError
from shared.arm.reconcile import conflict_with, ensure, follow, remove
from shared.data import from_data
from shared.errors import Failure, StorageException
from shared.saga.outcomes import Call, Done, Failed, Outcome, Pending
from shared.saga.policy import Policy
from shared.spoke.documents.raw import provisioning_state
from shared.spoke.documents.resources import os_of, vm_document, vm_keeping_unmanaged
from shared.spoke.inventory import made_by
from shared.spoke.plan import SpokePlan
from shared.spoke.records import RunRow, durations_key
from shared.tables.client import Partition, hub_rows

log = logging.getLogger(__name__)

VM = "vm"
# How many of the last durations are kept: the first poll of the next VM comes when it can be there.
_KEPT = 8


@activity(Kind.ACT)
def create_vm(call: Call, run: RunRow) -> Outcome:
    """The VM on the spoke's NIC, with an OS disk of the name that `delete_os_disk` removes.

    Repeatable. A VM that an earlier try left `Failed` goes with its disk first: Azure refuses a second create over its
    disk's name.
    """
    azure, plan = arm(), run.plan
    ids, owned = azure.ids.of(plan), made_by(plan.made_by)
    vm_id, disk_id = ids.vm(plan.vm_name), ids.disk(plan.os_disk_name)
    what = f"Creating virtualMachines {plan.vm_name}"
    if (pending := follow(azure, call.operation, what, note_seconds=note_duration)) is not None:
        return _quota_in_words(pending, run)
    call = replace(call, operation=None)
    if (existing := azure.get(vm_id)) is not None:
        if owned(existing) and provisioning_state(existing) == "Failed":
            return _clearing(_remove_vm(azure, call, plan), f"The failed VM {plan.vm_name}")
    elif (disk := azure.get(disk_id)) is not None:
        if not owned(disk):
            return Failed(conflict_with(disk_id))
        return _clearing(remove(azure, call, disk_id, owned=owned), f"The disk that a failed try left, {disk_id},")
    image = azure.settings.vm_image
    document = vm_document(plan, ids, image, call.given.get("security_type", "Standard"))
    try:
        outcome = ensure(
            azure,
            call,
            vm_id,
            document,
            owned=owned,
            result=lambda _: {"vm": {"name": plan.vm_name, "size": plan.vm_size, "os": os_of(image)}},
        )
    except ArmError as refusal:
        outcome = Failed(refusal.failure)
    return _first_asked_when_over(_quota_in_words(outcome, run), run)


@activity(Kind.UNDO)
def delete_vm(call: Call, run: RunRow) -> Outcome:
    """Removes the VM, also one that is `Failed` or half made; disk and NIC stay for their own undos. Repeatable.

    Data disks and NICs that others attached stay as well, whatever their delete option says.
    """
    return _remove_vm(arm(), call, run.plan)


@activity(Kind.UNDO)
def delete_os_disk(call: Call, run: RunRow) -> Outcome:
    """Removes the OS disk, which outlives its VM; it has the VM's tags from its creation. Repeatable."""
    azure, plan = arm(), run.plan
    return remove(azure, call, azure.ids.of(plan).disk(plan.os_disk_name), owned=made_by(plan.made_by))


def _remove_vm(azure: Arm, call: Call, plan: SpokePlan) -> Outcome:
    ids = azure.ids.of(plan)
    keeping = partial(vm_keeping_unmanaged, nic_id=ids.nic(plan.nic_name))
    return remove(azure, call, ids.vm(plan.vm_name), owned=made_by(plan.made_by), before=keeping)


def _clearing(outcome: Outcome, what: str) -> Outcome:
    """Removing what a failed try left is a wait of `create_vm`, never its end."""
    if isinstance(outcome, Done):
        return Pending(f"{what} is gone; creating the VM", 0.0, forget_operation=True)
    return outcome


def _first_asked_when_over(outcome: Outcome, run: RunRow) -> Outcome:
    """The first poll comes when the VM can be there, by the last ones; the next ones as ARM asks."""
    if not (isinstance(outcome, Pending) and outcome.operation):
        return outcome
    first = from_data(Policy, run.policy).first_poll(quickest_of_last())
    return outcome if first is None else replace(outcome, wait=first, wait_in_full=True)


def _quota_in_words(outcome: Outcome, run: RunRow) -> Outcome:
    """Names the size that did not fit: Azure speaks of families only."""
    match outcome:
        case Failed(Failure(code="QuotaExceeded", details={"used": used, "limit": limit}) as failure):
            where = f"{run.plan.vm_size} in {run.plan.location}"
            return Failed(replace(failure, message=f"Quota exceeded for {where}: {used} of {limit} vCPUs used"))
    return outcome


# --- how long the last ones took ---


def quickest_of_last() -> float | None:
    """Seconds that the quickest of the last VMs took; None when none is known, or the table doesn't answer now."""
    try:
        return min(_last(hub_rows()), default=None)
    except StorageException as error:
        log.debug("The last durations are not known just now: %s", error)
        return None


def note_duration(seconds: float) -> None:
    """Keeps how long one took. Of two at once one may get lost, as all do while the table doesn't answer: they are hints."""
    try:
        rows = hub_rows()
        last = [*_last(rows), round(seconds, 3)][-_KEPT:]
        row = {"PartitionKey": rows.key, "RowKey": durations_key(VM), "seconds": json.dumps(last)}
        rows.write(("upsert", row))
    except StorageException as error:
        log.debug("A duration could not be kept just now: %s", error)


def _last(rows: Partition) -> list[float]:
    row = rows.get(durations_key(VM))
    try:
        seconds = [float(each) for each in json.loads(row["seconds"])] if row else []
    except (KeyError, TypeError, ValueError):
        return []  # written by hand; the next one is written over it
    return [each for each in seconds if 0 < each < math.inf]

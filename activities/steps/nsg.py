"""The spoke's network security group."""

from typing import Any

from activities.decorators import Kind, activity
from shared.arm.client import arm
from shared.arm.reconcile import ensure, remove
from shared.checks.snapshot import hub_network_for_many
from shared.errors import AzureResourceException, Failure
from shared.recovery.blockers import unmanaged_behind
from shared.saga.outcomes import Call, Failed, Outcome
from shared.spoke.documents.security_rules import nsg_document, outbound_rules
from shared.spoke.inventory import made_by
from shared.spoke.records import RunRow


@activity(Kind.ACT, takes_seconds=True)
def create_nsg(call: Call, run: RunRow) -> Outcome:
    """One group for the four subnets; the prefixes of the hub are read from Azure. Repeatable."""
    azure, plan = arm(), run.plan

    def document() -> dict[str, Any]:
        return nsg_document(plan, hub_network_for_many(azure), outbound_rules(azure.settings))

    return ensure(azure, call, azure.ids.of(plan).nsg(plan.nsg_name), document, owned=made_by(plan.made_by))


@activity(Kind.UNDO)
def delete_nsg(call: Call, run: RunRow) -> Outcome:
    """Removes the group; its VNet has to be gone before, whose subnets hold it. Repeatable.

    An unmanaged subnet or interface with this group ends it at once, with its name.
    """
    azure, plan, owned = arm(), run.plan, made_by(run.plan.made_by)
    ids = azure.ids.of(plan)
    nsg_id = ids.nsg(plan.nsg_name)
    if call.operation is None:
        existing = azure.get(nsg_id) or {}
        unmanaged = [each["resource"] for each in unmanaged_behind(plan, ids, existing)]
        if unmanaged and owned(existing):
            return Failed(_in_use(nsg_id, unmanaged))
    return remove(azure, call, nsg_id, owned=owned)


def _in_use(nsg_id: str, users: list[str]) -> Failure:
    named = ", ".join(user.rpartition("/providers/")[2] for user in users)  # a subnet with its VNet
    return Failure(
        AzureResourceException,
        "NetworkSecurityGroupInUse",
        f"The spoke's NSG can't go: {named}, which this spoke did not make, has it.",
        "Take it off there, then retry.",
        {"resource": nsg_id, "used_by": users},
    )

"""The spoke's VNet and its subnets."""

from typing import Any

from activities.decorators import Kind, activity
from shared.arm.client import Arm, arm, describe
from shared.arm.reconcile import ensure, remove
from shared.errors import AzureResourceException, Failure, ValidationException
from shared.recovery.blockers import users_of
from shared.saga.outcomes import Call, Failed, Outcome
from shared.spoke.documents.resources import has_subnets, vnet_document, vnet_with_subnets
from shared.spoke.inventory import made_by
from shared.spoke.plan import SpokePlan
from shared.spoke.records import RunRow
from shared.spoke.resource_ids import same_id

_MOST_NAMED = 3


@activity(Kind.ACT, takes_seconds=True)
def create_vnet(call: Call, run: RunRow) -> Outcome:
    """The VNet with its address space and tags. Repeatable: an own VNet that is there is done."""
    azure, plan = arm(), run.plan
    return ensure(azure, call, _vnet_id(azure, plan), vnet_document(plan), owned=made_by(plan.made_by))


@activity(Kind.ACT, takes_seconds=True)
def create_subnets(call: Call, run: RunRow) -> Outcome:
    """The four subnets with the NSG, in one PUT of the whole VNet. Repeatable: complete subnets are done.

    Never sent once the peering step has begun: a VNet PUT would clear the peerings.
    """
    azure, plan = arm(), run.plan
    ids = azure.ids.of(plan)
    document = vnet_with_subnets(plan, ids, azure.settings.spoke_outbound)
    return ensure(
        azure,
        call,
        ids.vnet(plan.vnet_name),
        document,
        owned=made_by(plan.made_by),
        is_complete=lambda vnet: has_subnets(plan, vnet),
        named=f"the four subnets of {plan.vnet_name}",
    )


@activity(Kind.UNDO)
def delete_vnet(call: Call, run: RunRow) -> Outcome:
    """Removes the VNet with its subnets and its side of the peering. Repeatable: a missing VNet is done.

    An unmanaged interface in a subnet ends it at once, with its name; our own NIC's delete is waited for.
    """
    azure, plan = arm(), run.plan
    vnet_id = _vnet_id(azure, plan)
    if call.operation is None:
        existing = azure.get(vnet_id) or {}
        unmanaged = _unmanaged_in(existing, azure.ids.of(plan).nic(plan.nic_name))
        if unmanaged and made_by(plan.made_by)(existing):
            return Failed(_in_use(vnet_id, unmanaged))
    return remove(azure, call, vnet_id, owned=made_by(plan.made_by))


def _unmanaged_in(vnet: dict[str, Any], our_nic: str) -> list[str]:
    """Ids of what is in a VNet's subnets besides our own NIC."""
    subnets = vnet.get("properties", {}).get("subnets") or []
    users = [user for subnet in subnets for user, _ in users_of(subnet) if not same_id(user, our_nic)]
    return list(dict.fromkeys(users))


def _in_use(vnet_id: str, users: list[str]) -> Failure:
    named = ", ".join(describe(user) for user in users[:_MOST_NAMED])
    more = f" and {len(users) - _MOST_NAMED} more" if len(users) > _MOST_NAMED else ""
    return Failure(
        AzureResourceException,
        "SubnetInUse",
        f"The spoke's VNet can't go: {named}{more}, which this spoke did not make, is in its subnets.",
        "Remove or move them, then retry.",
        {"resource": vnet_id, "used_by": users},
    )


def _vnet_id(azure: Arm, plan: SpokePlan) -> str:
    """The id of the spoke's VNet. Raises when it is the hub's."""
    vnet_id = azure.ids.of(plan).vnet(plan.vnet_name)
    if same_id(vnet_id, azure.ids.hub_vnet):
        raise ValidationException(
            f"{plan.vnet_name} is the hub's VNet and can't be a spoke's.",
            hint="Choose another vnet_name.",
            field="vnet_name",
            value=plan.vnet_name,
        )
    return vnet_id

"""The spoke's network security group."""

from typing import Any

from activities.decorators import act, undo
from shared.arm.client import Arm, arm, describe
from shared.arm.reconcile import ensure, made_by, remove
from shared.checks.hub import FIND_HUB
from shared.errors import ConfigurationException, Failure
from shared.recovery.blockers import unmanaged_behind
from shared.saga.outcomes import Call, Failed, Outcome
from shared.settings import Settings
from shared.spoke.records import RunRow
from shared.spoke.security_rules import HubNetwork, OutboundRules, hub_network, nsg_document


@act
def create_nsg(call: Call, run: RunRow) -> Outcome:
    """One group for the four subnets; the prefixes of the hub are read from Azure. Repeatable."""
    azure, plan = arm(), run.plan

    def document() -> dict[str, Any]:
        return nsg_document(plan, read_hub_network(azure), outbound_rules(azure.settings))

    return ensure(azure, call, azure.ids.of(plan).nsg(plan.nsg_name), document, owned=made_by(plan.made_by))


@undo
def delete_nsg(call: Call, run: RunRow) -> Outcome:
    """Removes the group; its VNet has to be gone before, whose subnets hold it. Repeatable.

    Somebody else's subnet or interface with this group ends it at once, with its name.
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
        "AzureResourceException",
        "NetworkSecurityGroupInUse",
        f"The spoke's NSG can't go: {named}, which this spoke did not make, has it.",
        "Take it off there, then retry.",
        {"resource": nsg_id, "used_by": users},
    )


def outbound_rules(settings: Settings) -> OutboundRules:
    """What the settings say of a new spoke's way out."""
    routed = settings.spoke_outbound.startswith("route:")
    return OutboundRules(settings.spoke_allowed_destinations, settings.spoke_denied_destinations, routed)


def read_hub_network(azure: Arm) -> HubNetwork:
    """The hub's prefixes as they are now; a `ConfigurationException` when hub or gateway aren't there."""
    hub, gateway = azure.get(azure.ids.hub_vnet), azure.get(azure.ids.gateway)
    if hub is None or gateway is None:
        missing = azure.ids.hub_vnet if hub is None else azure.ids.gateway
        raise ConfigurationException(
            f"The hub is incomplete: {describe(missing)} isn't there.",
            code="HubNotFound",
            hint=FIND_HUB,
            resource=missing,
        )
    return hub_network(hub, gateway, azure.settings.management_source_prefixes)

"""Resource ids, and which of them mean the same."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shared.spoke.plan import SpokePlan

if TYPE_CHECKING:
    from shared.settings import Settings


@dataclass(frozen=True)
class ResourceIds:
    """The ids of the hub's and of the spokes' resources. spoke_subscription_id: empty where it is the hub's."""

    subscription_id: str
    hub_resource_group: str
    hub_vnet_name: str
    hub_agw_name: str
    spoke_resource_group: str
    spoke_subscription_id: str = ""

    def of(self, plan: SpokePlan) -> "ResourceIds":
        """The ids of one spoke: it stays in the subscription and the group that it was planned for, whatever the settings
        say later. A plan without a subscription was made when there was one alone, the hub's."""
        return replace(self, spoke_resource_group=plan.resource_group, spoke_subscription_id=plan.subscription_id)

    @property
    def subscription(self) -> str:
        """The hub's."""
        return f"/subscriptions/{self.subscription_id}"

    @property
    def spoke_subscription(self) -> str:
        return f"/subscriptions/{self.spoke_subscription_id or self.subscription_id}"

    @property
    def hub_group(self) -> str:
        return f"{self.subscription}/resourceGroups/{self.hub_resource_group}"

    @property
    def spoke_group(self) -> str:
        return f"{self.spoke_subscription}/resourceGroups/{self.spoke_resource_group}"

    @property
    def hub_vnet(self) -> str:
        return f"{self.hub_group}/providers/Microsoft.Network/virtualNetworks/{self.hub_vnet_name}"

    @property
    def gateway(self) -> str:
        return f"{self.hub_group}/providers/Microsoft.Network/applicationGateways/{self.hub_agw_name}"

    def hub_peering(self, name: str) -> str:
        return f"{self.hub_vnet}/virtualNetworkPeerings/{name}"

    def vnet(self, name: str) -> str:
        return f"{self.spoke_group}/providers/Microsoft.Network/virtualNetworks/{name}"

    def subnet(self, vnet_name: str, name: str) -> str:
        return f"{self.vnet(vnet_name)}/subnets/{name}"

    def spoke_peering(self, vnet_name: str, name: str) -> str:
        return f"{self.vnet(vnet_name)}/virtualNetworkPeerings/{name}"

    def nsg(self, name: str) -> str:
        return f"{self.spoke_group}/providers/Microsoft.Network/networkSecurityGroups/{name}"

    def nic(self, name: str) -> str:
        return f"{self.spoke_group}/providers/Microsoft.Network/networkInterfaces/{name}"

    def vm(self, name: str) -> str:
        return f"{self.spoke_group}/providers/Microsoft.Compute/virtualMachines/{name}"

    def disk(self, name: str) -> str:
        return f"{self.spoke_group}/providers/Microsoft.Compute/disks/{name}"


def ids_of(settings: "Settings") -> ResourceIds:
    """The ids under these settings."""
    return ResourceIds(
        settings.subscription_id,
        settings.hub_resource_group,
        settings.hub_vnet_name,
        settings.hub_agw_name,
        settings.spoke_resource_group,
        "" if settings.spoke_subscription_id == settings.subscription_id else settings.spoke_subscription_id,
    )


def same_id(one: str | None, other: str | None) -> bool:
    """Whether two ids name the same resource: ARM keeps the letter case and compares without it."""
    return one is not None and other is not None and one.rstrip("/").lower() == other.rstrip("/").lower()


def type_of(resource_id: str) -> str:
    """`Microsoft.Network/virtualNetworks/subnets` of a subnet's id; of an id without provider, what its last pair names."""
    parts = [part for part in resource_id.split("/") if part]
    folded = [part.lower() for part in parts]
    if "providers" in folded:
        at = len(folded) - 1 - folded[::-1].index("providers")
        return "/".join([parts[at + 1], *parts[at + 2 :: 2]])
    return "Microsoft.Resources/" + (parts[-2] if len(parts) > 1 else "")


def group_of(resource_id: str) -> str | None:
    """The id of the group that a resource lies in, None for what lies in none (a group itself, a subscription)."""
    parts = resource_id.split("/")
    in_group = len(parts) > 5 and parts[3].lower() == "resourcegroups"
    return "/".join(parts[:5]) if in_group else None


def name_of(resource_id: str) -> str:
    """The last part of an id."""
    return resource_id.rstrip("/").rsplit("/", 1)[-1]

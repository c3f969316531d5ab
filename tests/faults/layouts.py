"""Where the spokes of a simulation are: in the one hub that there is without `HUBS`, or in the second of two hubs, on the
second of its gateways, with everything in another subscription, group and region than the first hub's."""

from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]

HUB_SUBSCRIPTION, SPOKES_SUBSCRIPTION = (f"5ca1ab1e-0000-4000-8000-0000000000{last}" for last in ("a2", "a3"))


@dataclass(frozen=True)
class Layout:
    """hubs: the setting `HUBS`.  chosen: what a request says to get there.  hub_vnet: the id of its hub's VNet.
    location: of its hub.  names: by which names the catalogue knows what is there, longer ones first."""

    name: str
    hub_vnet: str = ""
    location: str = "eastus"
    hubs: list[Document] = field(default_factory=list, compare=False)
    chosen: Document = field(default_factory=dict, compare=False)
    names: dict[str, str] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return self.name


ONE_HUB = Layout("one hub")
TWO_HUBS = Layout(
    "two hubs, three gateways",
    f"/subscriptions/{HUB_SUBSCRIPTION}/resourceGroups/far-rg/providers/Microsoft.Network/virtualNetworks/far-vnet",
    "westeurope",
    [
        # The ids of block 1 and on are those of the hub that is looked at.
        {"name": "near", "first_spoke_id": 1001, "gateways": [{"name": "hub-agw"}]},
        {
            "name": "far",
            "first_spoke_id": 1,
            "subscription_id": HUB_SUBSCRIPTION,
            "resource_group": "far-rg",
            "vnet": "far-vnet",
            "location": "westeurope",
            "spoke_subscription_id": SPOKES_SUBSCRIPTION,
            "spoke_resource_group": "far-spokes-rg",
            "address_pool": "10.12.0.0/16",
            "gateways": [
                {"name": "other-agw", "domain": "other.example.com"},
                {"name": "far-agw", "domain": "far.example.com"},
            ],
        },
    ],
    {"gateway": "far-agw"},
    {
        f"subscriptions/{HUB_SUBSCRIPTION}": "{subscription}",
        f"subscriptions/{SPOKES_SUBSCRIPTION}": "{subscription}",
        "far-spokes-rg": "hub-rg",
        "far-vnet": "hub-vnet",
        "far-agw": "hub-agw",
        "westeurope": "eastus",
    },
)
LAYOUTS = (ONE_HUB, TWO_HUBS)
# The same hubs with the ids that they have where both are looked at.
NEAR, FAR = (hub | {"first_spoke_id": first} for hub, first in zip(TWO_HUBS.hubs, (1, 1001), strict=True))

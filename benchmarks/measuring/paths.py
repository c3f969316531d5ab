"""How long a deployment must take, from the stand-in's own table of durations and `Retry-After`, in Azure's seconds.

A client that asks after an operation every min(`Retry-After`, 5 s) sees its end at a multiple of that. The writers of what
is shared ask more often, but nobody can see an end before it has come: for them the operation's own duration counts.
"""

import math
from dataclasses import dataclass

from local.azure.resources import KINDS

POLL_MAX_SECONDS = 5.0


def seen_after(seconds: float, retry_after: float) -> float:
    """When a client sees the end of an operation that takes so long."""
    if seconds == 0:
        return 0.0
    every = min(retry_after, POLL_MAX_SECONDS)
    return math.ceil(round(seconds / every, 6)) * every


def _put(kind: str) -> float:
    known = KINDS[f"microsoft.{kind}".lower()]
    return seen_after(known.put_seconds, known.put_retry_after)


@dataclass(frozen=True)
class Durations:
    """Every write of one deployment as its client sees it. `nic` is 0 where the NIC is made without an operation."""

    vnet: float
    nsg: float
    subnets: float
    nic: float
    peering_side: float
    vm: float
    gateway: float

    def critical_path(self) -> float:
        """VNet beside NSG, subnets, NIC, then both peerings beside the VM beside the gateway."""
        last = max(2 * self.peering_side, self.vm, self.gateway)
        return max(self.vnet, self.nsg) + self.subnets + self.nic + last

    def all_in_turn(self) -> float:
        """One operation after the other."""
        return self.vnet + self.nsg + self.subnets + self.nic + 2 * self.peering_side + self.vm + self.gateway

    def lower_bound(self, spokes: int) -> float:
        """Of so many spokes at once: ARM takes the hub's sides of the peerings one after the other."""
        return self.critical_path() + spokes * self.peering_side


def durations(*, nic_has_operation: bool = True) -> Durations:
    """As the stand-in has them."""
    vnet = _put("Network/virtualNetworks")
    return Durations(
        vnet=vnet,
        nsg=_put("Network/networkSecurityGroups"),
        subnets=vnet,
        nic=_put("Network/networkInterfaces") if nic_has_operation else 0.0,
        peering_side=_put("Network/virtualNetworks/virtualNetworkPeerings"),
        vm=_put("Compute/virtualMachines"),
        gateway=_put("Network/applicationGateways"),
    )

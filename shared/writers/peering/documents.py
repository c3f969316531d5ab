"""One side of a peering, and the hub's virtual network gateway, as Azure's documents tell of them. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from shared.spoke.documents.raw import Document, id_in, listed, properties_of, provisioning_state

CONNECTED = "Connected"
MISSING = "Missing"
# A side that doesn't know the other VNet's present address space; only a write of this side helps.
_LOCAL_NOT_IN_SYNC = frozenset({"localnotinsync", "localandremotenotinsync"})
_GATEWAY_ID = re.compile(r".*?/providers/microsoft\.network/virtualnetworkgateways/[^/]*", re.I)


@dataclass(frozen=True)
class HubGateway:
    """The virtual network gateways (VPN, ExpressRoute) in the hub's `GatewaySubnet`.

    state: `none`, `ready`, `not_ready` (still being made or changed) or `failed`.  name: of the one that `state` is about.
    """

    state: str = "none"
    name: str = ""
    provisioning: str = ""

    @property
    def lends(self) -> bool | None:
        """Whether peerings use it. None: those that are there stay as they are, new ones don't."""
        return {"ready": True, "none": False}.get(self.state)

    @property
    def sentence(self) -> str:
        return f"The hub's virtual network gateway {self.name} is {self.provisioning}"


def gateway_ids(hub_vnet: Document | None) -> tuple[str, ...]:
    """The ids of the virtual network gateways that the hub's `GatewaySubnet` names."""
    found = (_GATEWAY_ID.match(str(each.get("id", ""))) for each in _gateway_configurations(hub_vnet))
    return tuple(dict.fromkeys(each[0] for each in found if each))


def hub_gateway(hub_vnet: Document, gateways: Iterable[Document] | None = None) -> HubGateway:
    """The hub's gateway. gateways: the documents of `gateway_ids`, None when they could not be read: what is in the
    subnet then counts as ready. One that is ready is enough: Azure asks for any (lz-vending#396)."""
    if not _gateway_configurations(hub_vnet):
        return HubGateway()
    if gateways is None:
        return HubGateway("ready")
    by_state: dict[str, HubGateway] = {}
    for gateway in gateways:
        provisioning = _provisioning(gateway)
        state = {"succeeded": "ready", "failed": "failed"}.get(provisioning, "not_ready")
        name = str(gateway.get("name") or str(gateway.get("id", "")).rsplit("/", 1)[-1])
        by_state.setdefault(state, HubGateway(state, name, provisioning.capitalize()))
    return next((by_state[state] for state in ("ready", "not_ready", "failed") if state in by_state), HubGateway())


def _gateway_configurations(hub_vnet: Document | None) -> list[Document]:
    for subnet in listed(hub_vnet, "subnets"):
        if str(subnet.get("name", "")).lower() == "gatewaysubnet":
            return listed(subnet, "ipConfigurations")
    return []


def peering_status(side: Document | None, vnet_id: str) -> str:
    """`Connected`, or in Azure's words what is wrong with a side that should lead to this VNet; `Missing` when none does."""
    if side is None or not leads_to(side, vnet_id):
        return MISSING
    properties = properties_of(side)
    if peering_state(side) != "connected":
        return str(properties.get("peeringState") or MISSING)
    level = str(properties.get("peeringSyncLevel") or "FullyInSync")
    return CONNECTED if level.lower() == "fullyinsync" else level


def knows_the_other_side(side: Document) -> bool:
    """Whether a side knows the present address space of the VNet that it leads to."""
    level = str(properties_of(side).get("peeringSyncLevel") or "")
    return level.lower() not in _LOCAL_NOT_IN_SYNC or peering_state(side) != "connected"


def side_named(vnet: Document | None, name: str) -> Document | None:
    """The peering of this name that a VNet has."""
    sides = listed(vnet, "virtualNetworkPeerings")
    return next((side for side in sides if str(side.get("name", "")).lower() == name.lower()), None)


def leads_to(side: Document, vnet_id: str) -> bool:
    """Whether the other side of a peering is this VNet."""
    return id_in(side, "remoteVirtualNetwork").rstrip("/").lower() == vnet_id.rstrip("/").lower()


def is_being_written(resource: Document) -> bool:
    """Whether an operation on a peering or VNet is under way."""
    return _provisioning(resource) not in ("succeeded", "failed", "canceled")


def has_failed(resource: Document) -> bool:
    return _provisioning(resource) == "failed"


def peering_state(side: Document) -> str:
    """`initiated`, `connected` or `disconnected`."""
    return str(properties_of(side).get("peeringState", "")).lower()


def _provisioning(resource: Document) -> str:
    return provisioning_state(resource).lower()

"""What Azure and the records hold snapshot a spoke, as read at one moment: what the checks judge. Pure."""

from dataclasses import dataclass, field

from shared.checks.subjects.gateway.network import GatewayNetwork
from shared.checks.subjects.rights import NeededRight
from shared.checks.subjects.sizes import Size
from shared.errors import Failure
from shared.spoke.documents.raw import Document
from shared.spoke.records import RunRow
from shared.spoke.resource_ids import ResourceIds
from shared.writers.gateway.site_rows import SiteRow


@dataclass(frozen=True)
class AzureSnapshot:
    """Raw ARM documents and rows. A part that could not be read is named in `unread`, and no check judges it.

    outbound: the NAT gateway or route table of `SPOKE_OUTBOUND`.  resources: what the spoke group holds, as ARM lists
    it (`id`, `type`, `tags`).  conflicts: documents of names that this spoke needs, each looked up by itself.
    runs: the hub's that have not ended, this one included.  runs_elsewhere: those of other hubs whose VMs count for the
    same quotas.  vms_elsewhere: what their groups hold, as `resources`.  sites: what our spokes have, or want, on the gateway.
    hub_gateways: the virtual network gateways that the hub's `GatewaySubnet` names.
    gateway_network: what its instances live in.  waf_policies: those on it, by id, None for one that isn't there.
    unread_policies: why one of them could not be read, by id.
    missing_rights: what the app's identity may not do, and should.  unread_rights: why it isn't known, by scope.
    """

    ids: ResourceIds
    hub_vnet: Document | None = None
    gateway: Document | None = None
    spoke_group: Document | None = None
    outbound: Document | None = None
    hub_gateways: tuple[Document, ...] = ()
    locks: tuple[Document, ...] = ()
    vnets: tuple[Document, ...] = ()
    resources: tuple[Document, ...] = ()
    conflicts: tuple[Document, ...] = ()
    sizes: tuple[Size, ...] = ()
    usages: tuple[Document, ...] = ()
    runs: tuple[RunRow, ...] = ()
    runs_elsewhere: tuple[RunRow, ...] = ()
    vms_elsewhere: tuple[Document, ...] = ()
    sites: tuple[SiteRow, ...] = ()
    gateway_failed_by_us: bool = False
    gateway_network: GatewayNetwork = field(default_factory=GatewayNetwork)
    waf_policies: dict[str, Document | None] = field(default_factory=dict)
    unread_policies: dict[str, Failure] = field(default_factory=dict)
    missing_rights: tuple[NeededRight, ...] = ()
    unread_rights: dict[str, Failure] = field(default_factory=dict)
    unread: dict[str, Failure] = field(default_factory=dict)

    def was_read(self, *parts: str) -> bool:
        return not any(part in self.unread for part in parts)

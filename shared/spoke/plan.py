"""A spoke as decided before anything is built: every name and address, kept in the run's row.

Activities read it from there, so that what travels through Durable's history stays small and holds no key of anybody.
"""

from dataclasses import dataclass, field, replace

# Fields of a request that leave the records with the need for them, and are in no answer, log or message.
SECRETS = frozenset({"ssh_public_key", "cloud_init"})

SUBNET_ROLES = ("web", "app", "db", "management")


@dataclass(frozen=True)
class SiteNames:
    """The names of a site's five elements. Only elements that a row names are ever added, changed or removed."""

    pool: str
    probe: str
    settings: str
    listener: str
    rule: str

    def by_collection(self) -> dict[str, str]:
        """The name in each of the gateway's collections, what is referred to before what refers to it."""
        return {
            "backendAddressPools": self.pool,
            "probes": self.probe,
            "backendHttpSettingsCollection": self.settings,
            "httpListeners": self.listener,
            "requestRoutingRules": self.rule,
        }


@dataclass(frozen=True)
class SpokePlan:
    """What a deployment will build.

    client: `sanitize_name(client_name)`, the stem of all gateway names.  address_prefix: the VNet's block.
    subnet_prefixes: four, in the order of `SUBNET_ROLES`.  tags: the caller's, without ours.
    made_by: the run that makes the spoke, the value of its `deployment_id` tag.  hub, gateway: where there are several,
    their names.  subscription_id: of the spoke's resources, where it isn't the hub's.
    """

    spoke_id: int
    client_name: str
    client: str
    made_by: str
    location: str
    resource_group: str
    vnet_name: str
    address_prefix: str
    subnet_prefixes: tuple[str, ...]
    vm_name: str
    vm_size: str
    admin_username: str
    ssh_public_key: str = field(repr=False)
    host_name: str
    backend_pool_name: str
    routing_rule_name: str
    tags: dict[str, str] = field(default_factory=dict)
    cloud_init: str | None = field(default=None, repr=False)
    hub: str = ""
    gateway: str = ""
    subscription_id: str = ""

    @property
    def has_secrets(self) -> bool:
        return bool(self.ssh_public_key or self.cloud_init)

    def without_secrets(self) -> "SpokePlan":
        """The plan as it is kept when nothing is built from it any more: without SSH key and `cloud_init`."""
        return replace(self, ssh_public_key="", cloud_init=None)

    @property
    def nsg_name(self) -> str:
        return f"spoke-nsg-{self.spoke_id}"

    @property
    def nic_name(self) -> str:
        return f"{self.vm_name}-nic"

    @property
    def os_disk_name(self) -> str:
        return f"{self.vm_name}-osdisk"

    @property
    def hub_peering_name(self) -> str:
        """The hub's side."""
        return f"hub-to-spoke-{self.spoke_id}"

    @property
    def spoke_peering_name(self) -> str:
        """The spoke's side."""
        return f"spoke-{self.spoke_id}-to-hub"

    @property
    def site_names(self) -> SiteNames:
        return SiteNames(
            pool=self.backend_pool_name,
            probe=f"{self.client}-probe",
            settings=f"{self.client}-http-settings",
            listener=f"{self.client}-listener",
            rule=self.routing_rule_name,
        )

    @property
    def subnets(self) -> tuple[tuple[str, str], ...]:
        """`(name, prefix)` of the four subnets, web first."""
        return tuple(
            (f"{role}-subnet-{self.spoke_id}", prefix)
            for role, prefix in zip(SUBNET_ROLES, self.subnet_prefixes, strict=True)
        )

    @property
    def web_subnet_name(self) -> str:
        return f"web-subnet-{self.spoke_id}"


def our_tags(plan: SpokePlan) -> dict[str, str]:
    """All tags of a resource of this spoke: the caller's, and ours, which decide who owns it."""
    return {
        **plan.tags,
        "client_name": plan.client_name,
        "spoke_id": str(plan.spoke_id),
        "deployment_id": plan.made_by,
        "managed_by": "hub-spoke-automation",
    }

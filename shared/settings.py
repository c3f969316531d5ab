"""What the app is told by its environment: read once, checked, frozen.

`local.settings.json.example` repeats the sentence of each setting, docs/operations.md says more of it. A missing or bad
one is named in a `ConfigurationException` at the first call that needs settings, never at import.
"""

import ipaddress
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Annotated

from shared.data import hints_of, taken_from
from shared.errors import ConfigurationException
from shared.hubs import SETTING as HUBS
from shared.hubs import Place, check_together, places_in
from shared.saga.instances import TaskHub
from shared.saga.policy import Policy, longest_request
from shared.setting_readers import (
    CERTIFICATE,
    FRONTEND_IP,
    GATEWAY,
    GROUP,
    HUB_NAME,
    IMAGE,
    PATH,
    SUBSCRIPTION,
    TELEMETRY,
    URL,
    VNET,
    Reader,
    Setting,
)
from shared.spoke.addresses import highest_spoke_id

# A call of an activity has two minutes, of which its write may need this and the connecting.
MOST_ARM_TIMEOUT_SECONDS = 90.0

_JAMMY = "Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2:latest"
# Names under a domain that users, browsers and mail servers trust by themselves.
_RESERVED_CLIENTS = "www,login,auth,api,admin,mail,autodiscover,mta-sts"


@dataclass(frozen=True)
class Settings:
    """All settings, checked, as one gateway of one hub has them. Durations are in seconds.

    Each setting is declared at its field, with its sentence below it, which stands in the example, too. `_read` holds
    settings against each other.

    hub_name: as `HUBS` has it, else the VNet's.  key_prefix: of the table keys of a hub in another subscription than
    `AZURE_SUBSCRIPTION_ID`.  first_spoke_id: the id of block 1.  gateway_is_open: whether new sites are put on it.
    is_configured: False of a hub or gateway that only records name any more.  places: of the settings of a process all
    gateways of all hubs, in the order of `HUBS`; empty in each of them.
    """

    subscription_id: Annotated[str, Setting(Reader.matching, SUBSCRIPTION, name="AZURE_SUBSCRIPTION_ID")]
    """Required. The subscription of the hub and of the spokes."""
    hub_resource_group: Annotated[str, Setting(Reader.matching, GROUP)]
    """Required. The resource group of the hub's VNet and of its Application Gateway."""
    hub_vnet_name: Annotated[str, Setting(Reader.matching, VNET)]
    """Required. The hub's VNet. The app writes its peerings, nothing else of it."""
    hub_agw_name: Annotated[str, Setting(Reader.matching, GATEWAY)]
    """Required. The Application Gateway that publishes the spokes (Standard_v2 or WAF_v2)."""
    hub_location: Annotated[str, Setting(Reader.region, "eastus")]
    """The region of spokes whose request names none. Default: eastus."""
    spoke_resource_group: Annotated[str, Setting(Reader.matching, GROUP, "")]
    """Where everything of the spokes is made; it must exist. Default: HUB_RESOURCE_GROUP."""
    arm_endpoint: Annotated[str, Setting(Reader.url, "https://management.azure.com")]
    """Azure Resource Manager, https:// only. Default: https://management.azure.com."""
    arm_timeout_seconds: Annotated[float, Setting(Reader.seconds, 60, least=1, most=MOST_ARM_TIMEOUT_SECONDS)]
    """How long one call to ARM may take, 1 to 90. Default: 60."""
    arm_look_seconds: Annotated[float, Setting(Reader.seconds, 20, least=1, most=120)]
    """How long DELETE's check, mode=plan and GET /capacity wait for ARM altogether, 1 to 120. Default: 20."""
    arm_threads: Annotated[int, Setting(Reader.integer, 32, 4, 256)]
    """The most requests to ARM at a time that HTTP functions and the checks of validate_config make, 4 to 256. Default: 32."""
    tables_threads: Annotated[int, Setting(Reader.integer, 32, 4, 256)]
    """The same for what HTTP functions, timers and waiting steps ask of the tables. Default: 32."""
    health_fresh_seconds: Annotated[float, Setting(Reader.seconds, 10)]
    """How old the answer of GET /health may be: probes within this time share one. Default: 10."""
    tables_endpoint: Annotated[str | None, Setting(Reader.optional, URL)]
    """The table service with the app's records, reached with the app's identity. Required, unless TABLES_CONNECTION_STRING is set."""
    tables_connection_string: Annotated[str | None, Setting(Reader.connection_string)] = field(repr=False)
    """The same by connection string: for Azurite and for tests. Goes before TABLES_ENDPOINT."""
    spoke_address_pool: Annotated[ipaddress.IPv4Network, Setting(Reader.pool, "10.11.0.0/16")]
    """The addresses of all spokes, an IPv4 prefix. Don't change it while spokes exist. Default: 10.11.0.0/16."""
    spoke_prefix_length: Annotated[int, Setting(Reader.integer, 24, 16, 27)]
    """The size of each spoke's block, 16 to 27. Spoke n gets the n-th block of the pool, so that with the defaults
    the id is the third octet (1 to 255). Default: 24."""
    strict_addresses: Annotated[bool, Setting(Reader.flag, False)]
    """true: a block that overlaps any other VNet of the subscription stops the deployment. false: it is a warning.
    Overlaps with the hub and its peers always stop it. Default: false."""
    spoke_domain: Annotated[str, Setting(Reader.domain)]
    """Required. The domain under which spokes get their host names: {client}.{SPOKE_DOMAIN}. Point its wildcard record at the gateway."""
    spoke_domains: Annotated[tuple[str, ...], Setting(Reader.domains)]
    """The domains under which a request may choose a host name, separated by commas. Default: SPOKE_DOMAIN."""
    spoke_outbound: Annotated[str, Setting(Reader.outbound)]
    """How the spokes' VMs reach the internet: default (Azure's own way), none, nat:<natGatewayId> or
    route:<routeTableId>. Default: default."""
    spoke_allowed_destinations: Annotated[tuple[str, ...], Setting(Reader.prefixes)]
    """IPv4 prefixes that the spokes may reach in the hub (DNS, proxy), separated by commas. All of IPv4 together is
    refused. Empty: none. Default: empty."""
    spoke_denied_destinations: Annotated[tuple[str, ...], Setting(Reader.prefixes)]
    """IPv4 prefixes that the spokes may not reach, besides the hub's and the private ranges: public ranges of your
    own that come through the hub's gateway, for example. Separated by commas. Empty: none further. Default: empty."""
    management_source_prefixes: Annotated[tuple[str, ...] | None, Setting(Reader.prefixes)]
    """IPv4 prefixes from which SSH into the spokes is allowed, separated by commas. What opens everything, one by one
    or together, is refused. Empty: hub-subnet and, if there is one, AzureBastionSubnet. Default: empty."""
    peering_allow_forwarded_traffic: Annotated[bool, Setting(Reader.flag, False)]
    """Whether the peerings let forwarded traffic pass (a firewall in the hub). Default: false."""
    vm_image: Annotated[str, Setting(Reader.matching, IMAGE, _JAMMY)]
    """The image of the spokes' VMs, publisher:offer:sku:version. Default: Ubuntu 22.04 LTS, generation 2."""
    agw_frontend_ip: Annotated[str, Setting(Reader.matching, FRONTEND_IP, "appGatewayFrontendIP")]
    """The gateway's frontend IP configuration on which the sites listen. Default: appGatewayFrontendIP."""
    agw_frontend_port: Annotated[int, Setting(Reader.port, "AGW_SSL_CERTIFICATE")]
    """The port on which the sites listen; the gateway must have it. Empty: 443 with AGW_SSL_CERTIFICATE, else 80. Default: empty."""
    agw_ssl_certificate: Annotated[str | None, Setting(Reader.optional, CERTIFICATE)]
    """A (wildcard) certificate that the gateway holds: the sites then listen for HTTPS with SNI. Empty: HTTP. Default: empty."""
    agw_gather_seconds: Annotated[float, Setting(Reader.seconds, 2)]
    """How long the gateway's writer waits for further sites before it writes. Default: 2."""
    agw_limit: Annotated[int, Setting(Reader.integer, 100, 1, 10000)]
    """Pools, HTTP settings and active listeners that the gateway may hold, unmanaged ones included. Azure's limit: give
    another number only when Azure has raised it for this gateway. Default: 100."""
    agw_override_wildcards: Annotated[bool, Setting(Reader.flag, False)]
    """true: a listener with a wildcard that this app doesn't manage is only a catch-all, and a spoke may take a host
    name under it. false: that is refused. Default: false."""
    reserved_clients: Annotated[tuple[str, ...], Setting(Reader.labels, _RESERVED_CLIENTS)]
    """Names that no new spoke may take, as client_name or as the first label of its host_name, separated by commas;
    none for no such names. Default: www,login,auth,api,admin,mail,autodiscover,mta-sts."""
    probe_path: Annotated[str, Setting(Reader.matching, PATH, "/")]
    """What the gateway's health probes ask the VMs for. Default: /."""
    hub_batch: Annotated[int, Setting(Reader.integer, 25, 1, 25)]
    """How many spokes are peered with the hub in one round, 1 to 25. Default: 25."""
    poll_max_seconds: Annotated[float, Setting(Reader.seconds, 5)]
    """The longest pause between two polls of a running operation. Default: 5."""
    poll_default_seconds: Annotated[float, Setting(Reader.seconds, 5)]
    """The pause when ARM names none. Default: 5."""
    writer_poll_seconds: Annotated[float, Setting(Reader.seconds, 1)]
    """The same for the writers of the gateway and of the hub. Default: 1."""
    retry_first_seconds: Annotated[float, Setting(Reader.seconds, 5)]
    """The pause after a first refusal that can pass; doubled each time. ARM's Retry-After is always kept. Default: 5."""
    retry_max_seconds: Annotated[float, Setting(Reader.seconds, 60)]
    """The longest pause of that kind. Default: 60."""
    step_deadline_seconds: Annotated[float, Setting(Reader.seconds, 1800, least=1)]
    """When a step is given up. Runs in flight keep the limits that they began with. Default: 1800."""
    vm_deadline_seconds: Annotated[float, Setting(Reader.seconds, 3600, least=1)]
    """The same for making or deleting a VM. Default: 3600."""
    shared_deadline_seconds: Annotated[float, Setting(Reader.seconds, 7200, least=1)]
    """The same for the gateway and the hub, where spokes wait for each other. Default: 7200."""
    durable_urls: Annotated[str, Setting(Reader.one_of, "status", ("full", "status", "none"))]
    """Which Durable URLs a 202 hands out: full, status (id and statusQueryGetUri) or none. Each carries a key that
    starts any orchestration: none wherever callers aren't the administrators. Default: status."""
    sweep_delete_orphans: Annotated[bool, Setting(Reader.flag, False)]
    """true: the sweeper deletes resources with our tags whose record is gone. false: it reports them. Default: false."""
    accept_empty_records: Annotated[bool, Setting(Reader.flag, False)]
    """true: the table Spokes is taken for complete as it is, though Azure holds resources with our tags that it
    doesn't know. Set it to start anew after a loss of the records, and take it away again. Default: false."""
    keep_runs_days: Annotated[int, Setting(Reader.integer, 90, 1, 3650)]
    """For how many days a run that has ended is kept, 1 to 3650; then its rows and its history in Durable Functions
    are deleted. The newest run of a spoke that is there and the one that made it stay. Default: 90."""
    log_level: Annotated[str, Setting(Reader.one_of, "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))]
    """DEBUG, INFO, WARNING or ERROR for the app's own lines. Default: INFO."""
    application_insights: Annotated[
        bool, Setting(Reader.given, TELEMETRY, name="APPLICATIONINSIGHTS_CONNECTION_STRING")
    ]
    """Where logs go with their fields as custom dimensions. Empty: only to the host. Default: empty."""
    task_hub: Annotated[TaskHub, Setting(Reader.task_hub)]
    """Required. The Functions host doesn't start without it, either: the name of the app's task hub in Durable
    Functions, 3 to 45 letters and digits. An upgrade keeps HubSpokeV1, the name before this setting."""
    task_hubs_retired: Annotated[tuple[TaskHub, ...], Setting(Reader.task_hubs)]
    """Task hubs whose app doesn't run any more, name or account/name, separated by commas: this app looks after their
    unfinished runs, too. Empty: none. Default: empty."""
    hub_name: str
    spoke_subscription_id: str
    key_prefix: str = ""
    first_spoke_id: int = 1
    gateway_is_open: bool = True
    dns_zone_id: str = ""
    several: bool = False
    is_configured: bool = True
    places: "tuple[Settings, ...]" = field(default=(), repr=False, compare=False)

    @cached_property
    def policy(self) -> Policy:
        """The limits that a run begins with."""
        return taken_from(self, Policy, request_seconds=longest_request(self.arm_timeout_seconds))

    @property
    def hub_key(self) -> str:
        """The partition of everything that belongs to this hub (`/ \\ # ?` are refused in table keys)."""
        return f"{self.key_prefix}{self.hub_resource_group}:{self.hub_vnet_name}".lower()

    @property
    def gateway_key(self) -> str:
        """The partition of the gateway's sites."""
        return f"{self.key_prefix}{self.hub_resource_group}:{self.hub_agw_name}".lower()

    @property
    def last_spoke_id(self) -> int:
        """The highest id that the hub's pool has a block for."""
        return self.first_spoke_id + highest_spoke_id(self.spoke_address_pool, self.spoke_prefix_length) - 1

    def looks_after(self, run_hub: str) -> bool:
        """Whether this app's timers may touch a run, by the task hub in its row: the app's own, or a retired one."""
        hub = TaskHub.parse(run_hub)
        return any(hub.is_same(each) for each in (self.task_hub, *self.task_hubs_retired))


def settings_from(environment: Mapping[str, str]) -> Settings:
    """The settings that an environment holds, those of the first hub's first gateway with all others in `places`.

    A `ConfigurationException` names every missing or bad one at once, and every mistake in `HUBS`.
    """
    problems: dict[str, str] = {}
    hubs = environment.get(HUBS, "").strip()
    places = _places(places_in(hubs, problems), environment, problems) if hubs else [_read(environment, problems)]
    if problems:
        sentence = "; ".join(f"{name} {problem}" for name, problem in sorted(problems.items()))
        raise ConfigurationException(
            f"The app's settings can't be used: {sentence}.",
            code="InvalidSettings",
            hint="Set them in the function app's configuration (locally: local.settings.json); see docs/operations.md.",
            settings=dict(sorted(problems.items())),
        )
    return replace(places[0], places=tuple(places))


def _places(places: list[Place], environment: Mapping[str, str], problems: dict[str, str]) -> list[Settings]:
    """What each gateway of `HUBS` has for settings."""
    home = environment.get("AZURE_SUBSCRIPTION_ID", "").strip().lower()
    read: list[tuple[Place, Settings]] = []
    for place in places:
        found: dict[str, str] = {}
        own = _read(place.environment(environment), found)
        problems.update({place.where(name, problem): problem for name, problem in found.items()})
        subscription, spokes = own.subscription_id, place.hub.get("spoke_subscription_id", own.subscription_id)
        if not SUBSCRIPTION.fits(spokes) and "AZURE_SUBSCRIPTION_ID" not in found:
            problems[f"{place.hub_at}.spoke_subscription_id"] = SUBSCRIPTION.problem
        if not HUB_NAME.fits(name := place.hub.get("name", "-")) and "name" in place.hub:
            problems[f"{place.hub_at}.name"] = HUB_NAME.problem
        if place.first_spoke_id < 1:
            problems[f"{place.hub_at}.first_spoke_id"] = "must be 1 or more"
        home = home or subscription.lower()
        own = replace(
            own,
            hub_name=name,
            spoke_subscription_id=spokes,
            key_prefix="" if subscription.lower() == home else f"{subscription}:",
            first_spoke_id=place.first_spoke_id,
            gateway_is_open=place.gateway.get("open", True),
            dns_zone_id=place.gateway.get("dns_zone_id", ""),
            several=len(places) > 1,
        )
        read.append((place, own))
    check_together(read, problems)
    return [settings for _, settings in read]


def _read(environment: Mapping[str, str], problems: dict[str, str]) -> Settings:
    """The settings that an environment holds for one gateway. What is wrong with them goes into `problems`."""
    reader = Reader(environment, problems)
    read = {
        name: declared.read(reader, name)
        for name, hint in hints_of(Settings).items()
        for declared in getattr(hint, "__metadata__", ())
    }
    pool, own = read["spoke_address_pool"], read["task_hub"]
    if read["spoke_prefix_length"] <= pool.prefixlen:
        problems["SPOKE_PREFIX_LENGTH"] = f"must be longer than the pool's /{pool.prefixlen}"
    if not (read["tables_connection_string"] or read["tables_endpoint"]):
        problems["TABLES_ENDPOINT"] = "is missing (or give TABLES_CONNECTION_STRING)"
    if any(retired.is_same(own) for retired in read["task_hubs_retired"]):
        problems["TASK_HUBS_RETIRED"] = f"must not name the task hub that is in use ({own})"
    return Settings(
        **read
        | {
            "spoke_resource_group": read["spoke_resource_group"] or read["hub_resource_group"],
            "spoke_domains": read["spoke_domains"] or (read["spoke_domain"],),
            "management_source_prefixes": read["management_source_prefixes"] or None,
        },
        hub_name=read["hub_vnet_name"],
        spoke_subscription_id=read["subscription_id"],
    )


# The gateway that the present call is about.
_here: ContextVar[Settings | None] = ContextVar("settings of one gateway", default=None)


@cache
def process_settings() -> Settings:
    """The settings of this process, read from its environment once; a bad environment is read again next time."""
    return settings_from(os.environ)  # noqa: TID251 - the one place that reads the environment


def current_settings() -> Settings:
    """The settings of the hub and gateway that the present call is about (`at`); elsewhere of the first ones."""
    return _here.get() or process_settings()


def place_of_call() -> Settings | None:
    """The hub and gateway that the present call is about, None when it is about none of them in particular."""
    return _here.get()


def has_several_hubs() -> bool:
    """Whether the settings have more than one hub."""
    places = process_settings().places
    return len(places) > 1 and any(place.hub_key != places[0].hub_key for place in places)


@contextmanager
def at(place: Settings) -> Iterator[None]:
    """What is done inside is about this hub and gateway: settings, Azure and tables are theirs, in its threads too."""
    token = _here.set(place)
    try:
        yield
    finally:
        _here.reset(token)

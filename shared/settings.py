"""What the app is told by its environment: read once, checked, frozen.

Every setting is documented in `local.settings.json.example` and in docs/operations.md. A missing or bad one is named in
a `ConfigurationException` at the first call that needs settings, never at import.
"""

import base64
import ipaddress
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Annotated, Any, TypeVar

from shared.data import hints_of
from shared.errors import ConfigurationException
from shared.hubs import SETTING as HUBS
from shared.hubs import Place, check_together, places_in
from shared.saga.instances import TaskHub, account_of
from shared.saga.policy import Policy, longest_request
from shared.spoke.addresses import collapsed_ipv4, cover_all_ipv4, highest_spoke_id

T = TypeVar("T")

# A call of an activity has two minutes, of which its write may need this and the connecting.
MOST_ARM_TIMEOUT_SECONDS = 90.0

_DNS_NAME = re.compile(r"^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_GROUP_NAME = re.compile(r"[\w().-]{0,89}[\w()-]")
_VNET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}[A-Za-z0-9_]")
_ELEMENT_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,78}[A-Za-z0-9_])?")
_HUB_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_REGION = re.compile(r"[a-z0-9]{2,40}")
_URL = re.compile(r"https://[A-Za-z0-9.-]+(:\d{1,5})?(/[\w./-]*)?")
_IMAGE = re.compile(r"[A-Za-z0-9._-]+(:[A-Za-z0-9._-]+){3}")
_TELEMETRY = re.compile(r"(.*;)?\s*(?i:InstrumentationKey)\s*=\s*[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\s*(;.*)?")
_PATH = re.compile(r"/[!-~]*")
# Of a task hub: what Durable Functions takes as a name; and with its storage account.
_TASK_HUB = re.compile(r"[A-Za-z][A-Za-z0-9]{2,44}")
_ANY_TASK_HUB = re.compile(r"([a-z0-9]{3,24}/)?[A-Za-z][A-Za-z0-9]{2,44}")
_OUTBOUND = re.compile(
    r"default|none|(?i:nat:(?=.*/natGateways/)|route:(?=.*/routeTables/))"
    r"(?i:/subscriptions/[^/\s?#\\%{}]+/resourceGroups/[^/\s?#\\%{}]+/providers/Microsoft\.Network/\w+/[^/\s?#\\%{}]+)"
)
_JAMMY = "Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2:latest"
# Names under a domain that users, browsers and mail servers trust by themselves.
_RESERVED_CLIENTS = "www,login,auth,api,admin,mail,autodiscover,mta-sts"
# In which Azure makes no VNet.
_NEVER_IN_A_VNET = [
    ipaddress.IPv4Network(prefix)
    for prefix in ("127.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32", "224.0.0.0/4", "255.255.255.255/32")
]


class Setting:
    """Declares a setting at its field: read by this method of `_Reader`, under the field's name in capitals."""

    def __init__(self, reader: str, *given: Any, **more: Any) -> None:
        self.reader, self.given, self.more = reader, given, more

    def read(self, environment: "_Reader", field_name: str) -> Any:
        return getattr(environment, self.reader)(field_name.upper(), *self.given, **self.more)


@dataclass(frozen=True)
class Settings:
    """All settings, checked, as one gateway of one hub has them. Durations are in seconds.

    A setting that stands for itself is declared at its field; one that depends on others is read in `_read`.

    hub_name: as `HUBS` has it, else the VNet's.  key_prefix: of the table keys of a hub in another subscription than
    `AZURE_SUBSCRIPTION_ID`.  first_spoke_id: the id of block 1.  gateway_is_open: whether new sites are put on it.
    is_configured: False of a hub or gateway that only records name any more.  places: of the settings of a process all
    gateways of all hubs, in the order of `HUBS`; empty in each of them.
    """

    subscription_id: str
    hub_resource_group: Annotated[str, Setting("matching", _GROUP_NAME, "the name of a resource group")]
    hub_vnet_name: Annotated[str, Setting("matching", _VNET_NAME, "the name of a VNet")]
    hub_agw_name: Annotated[str, Setting("matching", _ELEMENT_NAME, "the name of an Application Gateway")]
    hub_location: str
    spoke_resource_group: str
    arm_endpoint: str
    arm_timeout_seconds: Annotated[float, Setting("seconds", 60, least=1, most=MOST_ARM_TIMEOUT_SECONDS)]
    arm_look_seconds: Annotated[float, Setting("seconds", 20, least=1, most=120)]
    arm_threads: Annotated[int, Setting("integer", 32, 4, 256)]
    tables_threads: Annotated[int, Setting("integer", 32, 4, 256)]
    health_fresh_seconds: Annotated[float, Setting("seconds", 10)]
    tables_connection_string: str | None = field(repr=False)
    tables_endpoint: str | None
    spoke_address_pool: Annotated[ipaddress.IPv4Network, Setting("pool", "10.11.0.0/16")]
    spoke_prefix_length: Annotated[int, Setting("integer", 24, 16, 27)]
    strict_addresses: Annotated[bool, Setting("flag", False)]
    spoke_domain: str
    spoke_domains: tuple[str, ...]
    spoke_outbound: str
    spoke_allowed_destinations: Annotated[tuple[str, ...], Setting("prefixes")]
    spoke_denied_destinations: Annotated[tuple[str, ...], Setting("prefixes")]
    management_source_prefixes: tuple[str, ...] | None
    peering_allow_forwarded_traffic: Annotated[bool, Setting("flag", False)]
    vm_image: Annotated[str, Setting("matching", _IMAGE, "publisher:offer:sku:version", _JAMMY)]
    agw_frontend_ip: Annotated[
        str, Setting("matching", _ELEMENT_NAME, "the name of a frontend IP", "appGatewayFrontendIP")
    ]
    agw_frontend_port: int
    agw_ssl_certificate: str | None
    agw_gather_seconds: Annotated[float, Setting("seconds", 2)]
    agw_limit: Annotated[int, Setting("integer", 100, 1, 10000)]
    agw_override_wildcards: Annotated[bool, Setting("flag", False)]
    reserved_clients: Annotated[tuple[str, ...], Setting("labels", _RESERVED_CLIENTS)]
    probe_path: Annotated[str, Setting("matching", _PATH, "a path that starts with /, without spaces", "/")]
    writer_poll_seconds: Annotated[float, Setting("seconds", 1)]
    hub_batch: Annotated[int, Setting("integer", 25, 1, 25)]
    policy: Policy
    durable_urls: Annotated[str, Setting("one_of", "status", ("full", "status", "none"))]
    log_level: Annotated[str, Setting("one_of", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))]
    application_insights: bool
    sweep_delete_orphans: Annotated[bool, Setting("flag", False)]
    task_hub: TaskHub
    task_hubs_retired: tuple[TaskHub, ...]
    keep_runs_days: Annotated[int, Setting("integer", 90, 1, 3650)]
    accept_empty_records: Annotated[bool, Setting("flag", False)]
    hub_name: str
    spoke_subscription_id: str
    key_prefix: str = ""
    first_spoke_id: int = 1
    gateway_is_open: bool = True
    dns_zone_id: str = ""
    several: bool = False
    is_configured: bool = True
    places: "tuple[Settings, ...]" = field(default=(), repr=False, compare=False)

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


class _Reader:
    """Collects every bad setting, so that an operator fixes all of them in one go."""

    def __init__(self, environment: Mapping[str, str], problems: dict[str, str]) -> None:
        self.environment = environment
        self.problems = problems

    def text(self, name: str, default: str | None = None) -> str:
        value = self.environment.get(name, "").strip()
        if value:
            return value
        if default is None:
            self.problems[name] = "is missing"
            return ""
        return default

    def matching(self, name: str, pattern: re.Pattern[str], rule: str, default: str | None = None) -> str:
        value = self.text(name, default)
        if value and not pattern.fullmatch(value):
            self.problems[name] = f"must be {rule}"
        return value

    def parsed(self, name: str, default: str, parse: Callable[[str], T], rule: str, fallback: T) -> T:
        try:
            return parse(self.text(name, default))
        except (ValueError, KeyError):
            self.problems[name] = f"must be {rule}"
            return fallback

    def seconds(self, name: str, default: float, least: float = 0, most: float | None = None) -> float:
        def parse(text: str) -> float:
            value = float(text)
            if not least <= value < 1e7 or (most is not None and value > most):
                raise ValueError(text)
            return value

        limits = f"{least:g} or more" if most is None else f"{least:g} to {most:g}"
        return self.parsed(name, str(default), parse, f"a number of seconds, {limits}", default)

    def flag(self, name: str, default: bool) -> bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        return self.parsed(name, str(default), lambda text: words[text.lower()], "true or false", default)

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        def parse(text: str) -> int:
            value = int(text)
            if not low <= value <= high:
                raise ValueError(text)
            return value

        return self.parsed(name, str(default), parse, f"a whole number from {low} to {high}", default)

    def one_of(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        def parse(text: str) -> str:
            folded = {word.lower(): word for word in allowed}
            return folded[text.lower()]

        return self.parsed(name, default, parse, "one of " + ", ".join(allowed), default)

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in self.text(name, "").split(",") if word.strip())

    def domains(self, name: str) -> tuple[str, ...]:
        words = tuple(word.lower() for word in self.words(name))
        if not all(_DNS_NAME.match(word) for word in words):
            self.problems[name] = "must be DNS names without wildcards, separated by commas"
        return words

    def labels(self, name: str, default: str) -> tuple[str, ...]:
        """Names of clients, or `none`."""
        words = self.text(name, default).lower()
        labels = () if words == "none" else tuple(word.strip() for word in words.split(",") if word.strip())
        if not all(_LABEL.fullmatch(label) for label in labels):
            self.problems[name] = "must be names of clients, such as www, separated by commas, or none"
        return labels

    def prefixes(self, name: str) -> tuple[str, ...]:
        """A list that becomes a security rule: IPv4, without overlaps."""
        prefixes = []
        for word in self.words(name):
            try:
                prefixes.append(str(ipaddress.IPv4Network(word, strict=True)))
            except ValueError:
                problem = f"must be IPv4 prefixes without host bits, separated by commas ({word} is none)"
                self.problems[name] = f"{problem}: spokes have no IPv6" if ":" in word else problem
        collapsed = collapsed_ipv4(prefixes)
        if cover_all_ipv4(collapsed):
            self.problems[name] = f"must not hold all of IPv4 ({', '.join(prefixes)} together do)"
        return collapsed

    def task_hubs(self, name: str, own: TaskHub) -> tuple[TaskHub, ...]:
        words = self.words(name)
        if not all(_ANY_TASK_HUB.fullmatch(word) for word in words):
            self.problems[name] = "must be names of task hubs, or account/name, separated by commas"
            return ()
        hubs = tuple(TaskHub.parse(word) for word in words)
        if any(hub.is_same(own) for hub in hubs):
            self.problems[name] = f"must not name the task hub that is in use ({own})"
        return hubs

    def pool(self, name: str, default: str) -> ipaddress.IPv4Network:
        def parse(text: str) -> ipaddress.IPv4Network:
            pool = ipaddress.IPv4Network(text, strict=True)
            if any(pool.overlaps(never) for never in _NEVER_IN_A_VNET):
                raise ValueError(text)
            return pool

        rule = f"an IPv4 prefix such as {default}, of addresses that Azure has in VNets"
        return self.parsed(name, default, parse, rule, ipaddress.IPv4Network(default))


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
        if not _GUID.fullmatch(spokes) and "AZURE_SUBSCRIPTION_ID" not in found:
            problems[f"{place.hub_at}.spoke_subscription_id"] = "must be the id of a subscription, a GUID"
        if not _HUB_NAME.fullmatch(name := place.hub.get("name", "-")) and "name" in place.hub:
            problems[f"{place.hub_at}.name"] = "must be 1 to 40 lower-case letters, digits and hyphens"
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
    read = _Reader(environment, problems)
    alone = {
        name: declared.read(read, name)
        for name, hint in hints_of(Settings).items()
        for declared in getattr(hint, "__metadata__", ())
    }
    spoke_domain = read.text("SPOKE_DOMAIN").lower()
    if spoke_domain and not _DNS_NAME.match(spoke_domain):
        read.problems["SPOKE_DOMAIN"] = "must be a DNS name without wildcard"
    pool = alone["spoke_address_pool"]
    if alone["spoke_prefix_length"] <= pool.prefixlen:
        read.problems["SPOKE_PREFIX_LENGTH"] = f"must be longer than the pool's /{pool.prefixlen}"
    connection_string = read.text("TABLES_CONNECTION_STRING", "") or None
    if connection_string and not _can_connect(connection_string):
        read.problems["TABLES_CONNECTION_STRING"] = "must be the connection string of a storage account"
    tables_endpoint = read.matching("TABLES_ENDPOINT", _URL, "an https:// URL", "") or None
    if not (connection_string or tables_endpoint):
        read.problems["TABLES_ENDPOINT"] = "is missing (or give TABLES_CONNECTION_STRING)"
    hub_location = read.text("HUB_LOCATION", "eastus").lower().replace(" ", "")
    if not _REGION.fullmatch(hub_location):
        read.problems["HUB_LOCATION"] = "must be an Azure region such as eastus"
    task_hub = TaskHub(
        read.matching("TASK_HUB", _TASK_HUB, "3 to 45 letters and digits, a letter first"), account_of(environment)
    )
    policy = Policy(
        poll_max_seconds=read.seconds("POLL_MAX_SECONDS", 5),
        poll_default_seconds=read.seconds("POLL_DEFAULT_SECONDS", 5),
        retry_first_seconds=read.seconds("RETRY_FIRST_SECONDS", 5),
        retry_max_seconds=read.seconds("RETRY_MAX_SECONDS", 60),
        step_deadline_seconds=read.seconds("STEP_DEADLINE_SECONDS", 1800, least=1),
        vm_deadline_seconds=read.seconds("VM_DEADLINE_SECONDS", 3600, least=1),
        shared_deadline_seconds=read.seconds("SHARED_DEADLINE_SECONDS", 7200, least=1),
        request_seconds=longest_request(alone["arm_timeout_seconds"]),
    )
    certificate = "the name of a certificate"
    ssl_certificate = read.matching("AGW_SSL_CERTIFICATE", _ELEMENT_NAME, certificate, "") or None
    outbound = "default, none, nat:<natGatewayId> or route:<routeTableId>"
    subscription_id = read.matching("AZURE_SUBSCRIPTION_ID", _GUID, "the id of a subscription, a GUID")
    return Settings(
        **alone,
        subscription_id=subscription_id,
        hub_location=hub_location,
        spoke_resource_group=read.matching("SPOKE_RESOURCE_GROUP", _GROUP_NAME, "the name of a resource group", "")
        or alone["hub_resource_group"],
        arm_endpoint=read.matching("ARM_ENDPOINT", _URL, "an https:// URL", "https://management.azure.com").rstrip("/"),
        tables_connection_string=connection_string,
        tables_endpoint=tables_endpoint,
        spoke_domain=spoke_domain,
        spoke_domains=read.domains("SPOKE_DOMAINS") or (spoke_domain,),
        spoke_outbound=_with_plain_kind(read.matching("SPOKE_OUTBOUND", _OUTBOUND, outbound, "default")),
        management_source_prefixes=read.prefixes("MANAGEMENT_SOURCE_PREFIXES") or None,
        agw_frontend_port=read.integer("AGW_FRONTEND_PORT", 443 if ssl_certificate else 80, 1, 65502),
        agw_ssl_certificate=ssl_certificate,
        policy=policy,
        # Read by its SDK from the environment; here only whether it is there, and whether the SDK can use it.
        application_insights=bool(
            read.matching(
                "APPLICATIONINSIGHTS_CONNECTION_STRING",
                _TELEMETRY,
                "a connection string with InstrumentationKey=<id>",
                "",
            )
        ),
        task_hub=task_hub,
        task_hubs_retired=read.task_hubs("TASK_HUBS_RETIRED", task_hub),
        hub_name=alone["hub_vnet_name"],
        spoke_subscription_id=subscription_id,
    )


def _with_plain_kind(outbound: str) -> str:
    """`ROUTE:<id>` as `route:<id>`."""
    kind, colon, resource_id = outbound.partition(":")
    return kind.lower() + colon + resource_id


def _can_connect(connection_string: str) -> bool:
    """Whether the table SDK can make something of it; it would say so only when it is used."""
    if connection_string == "UseDevelopmentStorage=true":
        return True
    parts = dict(part.split("=", 1) for part in connection_string.split(";") if "=" in part)
    url = parts.get("TableEndpoint") or f"https://{parts.get('AccountName')}.table.{parts.get('EndpointSuffix')}"
    try:
        base64.b64decode(parts.get("AccountKey", "-"), validate=True)
    except ValueError:
        has_key = False
    else:
        has_key = bool(parts.get("AccountName"))
    return bool(_URL.fullmatch(url.replace("http://", "https://"))) and (has_key or "SharedAccessSignature" in parts)


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

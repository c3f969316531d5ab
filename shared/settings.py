"""What the app is told by its environment: read once, checked, frozen.

Every setting is documented in `local.settings.json.example` and in docs/operations.md. A missing or bad one is named in
a `ConfigurationException` at the first call that needs settings, never at import.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

from shared.errors import ConfigurationException
from shared.policy import Policy

T = TypeVar("T")

_DNS_NAME = re.compile(r"^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
_OPENS_EVERYTHING = {"*", "internet", "any", "0.0.0.0/0", "::/0"}


@dataclass(frozen=True)
class Settings:
    """All settings, checked. Durations are in seconds."""

    subscription_id: str
    hub_resource_group: str
    hub_vnet_name: str
    hub_agw_name: str
    hub_location: str
    spoke_resource_group: str
    arm_endpoint: str
    arm_timeout_seconds: float
    tables_connection_string: str | None = field(repr=False)
    tables_endpoint: str | None
    spoke_address_pool: ipaddress.IPv4Network
    spoke_prefix_length: int
    strict_addresses: bool
    spoke_domain: str
    spoke_domains: tuple[str, ...]
    spoke_outbound: str
    spoke_allowed_destinations: tuple[str, ...]
    management_source_prefixes: tuple[str, ...] | None
    peering_allow_forwarded_traffic: bool
    vm_image: str
    agw_frontend_ip: str
    agw_frontend_port: int
    agw_ssl_certificate: str | None
    agw_gather_seconds: float
    agw_limit: int
    probe_path: str
    writer_poll_seconds: float
    hub_batch: int
    policy: Policy
    durable_urls: str
    log_level: str
    sweep_delete_orphans: bool

    @property
    def hub_key(self) -> str:
        """The partition of everything that belongs to this hub (`/ \\ # ?` are refused in table keys)."""
        return f"{self.hub_resource_group}:{self.hub_vnet_name}".lower()

    @property
    def gateway_key(self) -> str:
        """The partition of the gateway's sites."""
        return f"{self.hub_resource_group}:{self.hub_agw_name}".lower()


class _Reader:
    """Collects every bad setting, so that an operator mends all of them in one go."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.problems: dict[str, str] = {}

    def text(self, name: str, default: str | None = None) -> str:
        value = self.environment.get(name, "").strip()
        if value:
            return value
        if default is None:
            self.problems[name] = "is missing"
            return ""
        return default

    def parsed(self, name: str, default: str, parse: Callable[[str], T], rule: str, fallback: T) -> T:
        try:
            return parse(self.text(name, default))
        except (ValueError, KeyError):
            self.problems[name] = f"must be {rule}"
            return fallback

    def seconds(self, name: str, default: float) -> float:
        def parse(text: str) -> float:
            value = float(text)
            if not 0 <= value < 1e7:
                raise ValueError(text)
            return value

        return self.parsed(name, str(default), parse, "a number of seconds, 0 or more", default)

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

    def prefixes(self, name: str) -> tuple[str, ...]:
        words = self.words(name)
        for word in words:
            if word.lower() in _OPENS_EVERYTHING:
                self.problems[name] = f"must not open everything ({word})"
            else:
                try:
                    ipaddress.ip_network(word, strict=True)
                except ValueError:
                    self.problems[name] = f"must be CIDR prefixes separated by commas ({word} is none)"
        return words


def settings_from(environment: Mapping[str, str]) -> Settings:
    """The settings that an environment holds; a `ConfigurationException` names every missing or bad one at once."""
    read = _Reader(environment)
    subscription_id = read.text("AZURE_SUBSCRIPTION_ID")
    hub_resource_group = read.text("HUB_RESOURCE_GROUP")
    spoke_domain = read.text("SPOKE_DOMAIN").lower()
    domains = tuple(word.lower() for word in read.words("SPOKE_DOMAINS")) or (spoke_domain,)
    for name, values in (("SPOKE_DOMAIN", (spoke_domain,)), ("SPOKE_DOMAINS", domains)):
        if any(value and not _DNS_NAME.match(value) for value in values):
            read.problems[name] = "must be lower-case DNS names"
    pool = read.parsed(
        "SPOKE_ADDRESS_POOL",
        "10.11.0.0/16",
        lambda text: ipaddress.IPv4Network(text, strict=True),
        "an IPv4 prefix such as 10.11.0.0/16",
        ipaddress.IPv4Network("10.11.0.0/16"),
    )
    prefix_length = read.integer("SPOKE_PREFIX_LENGTH", 24, 16, 27)
    if prefix_length <= pool.prefixlen:
        read.problems["SPOKE_PREFIX_LENGTH"] = f"must be longer than the pool's /{pool.prefixlen}"
    connection_string = read.text("TABLES_CONNECTION_STRING", "") or None
    tables_endpoint = read.text("TABLES_ENDPOINT", "") or None
    if not (connection_string or tables_endpoint):
        read.problems["TABLES_ENDPOINT"] = "is missing (or give TABLES_CONNECTION_STRING)"
    outbound = read.text("SPOKE_OUTBOUND", "default")
    if outbound not in ("default", "none") and not re.match(r"^(nat|route):/subscriptions/.+", outbound):
        read.problems["SPOKE_OUTBOUND"] = "must be default, none, nat:<natGatewayId> or route:<routeTableId>"
    arm_endpoint = read.text("ARM_ENDPOINT", "https://management.azure.com").rstrip("/")
    if not arm_endpoint.startswith("https://"):
        read.problems["ARM_ENDPOINT"] = "must be an https:// URL"
    image = read.text("VM_IMAGE", "Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2:latest")
    if len([part for part in image.split(":") if part]) != 4:
        read.problems["VM_IMAGE"] = "must be publisher:offer:sku:version"
    probe_path = read.text("PROBE_PATH", "/")
    if not probe_path.startswith("/"):
        read.problems["PROBE_PATH"] = "must start with /"
    policy = Policy(
        poll_max_seconds=read.seconds("POLL_MAX_SECONDS", 5),
        poll_default_seconds=read.seconds("POLL_DEFAULT_SECONDS", 5),
        retry_first_seconds=read.seconds("RETRY_FIRST_SECONDS", 5),
        retry_max_seconds=read.seconds("RETRY_MAX_SECONDS", 60),
        step_deadline_seconds=read.seconds("STEP_DEADLINE_SECONDS", 1800),
        vm_deadline_seconds=read.seconds("VM_DEADLINE_SECONDS", 3600),
        shared_deadline_seconds=read.seconds("SHARED_DEADLINE_SECONDS", 7200),
    )
    settings = Settings(
        subscription_id=subscription_id,
        hub_resource_group=hub_resource_group,
        hub_vnet_name=read.text("HUB_VNET_NAME"),
        hub_agw_name=read.text("HUB_AGW_NAME"),
        hub_location=read.text("HUB_LOCATION", "eastus").lower().replace(" ", ""),
        spoke_resource_group=read.text("SPOKE_RESOURCE_GROUP", hub_resource_group),
        arm_endpoint=arm_endpoint,
        arm_timeout_seconds=read.seconds("ARM_TIMEOUT_SECONDS", 60),
        tables_connection_string=connection_string,
        tables_endpoint=tables_endpoint,
        spoke_address_pool=pool,
        spoke_prefix_length=prefix_length,
        strict_addresses=read.flag("STRICT_ADDRESSES", False),
        spoke_domain=spoke_domain,
        spoke_domains=domains,
        spoke_outbound=outbound,
        spoke_allowed_destinations=read.prefixes("SPOKE_ALLOWED_DESTINATIONS"),
        management_source_prefixes=read.prefixes("MANAGEMENT_SOURCE_PREFIXES") or None,
        peering_allow_forwarded_traffic=read.flag("PEERING_ALLOW_FORWARDED_TRAFFIC", False),
        vm_image=image,
        agw_frontend_ip=read.text("AGW_FRONTEND_IP", "appGatewayFrontendIP"),
        agw_frontend_port=read.integer("AGW_FRONTEND_PORT", 80, 1, 65502),
        agw_ssl_certificate=read.text("AGW_SSL_CERTIFICATE", "") or None,
        agw_limit=read.integer("AGW_LIMIT", 100, 1, 10000),
        agw_gather_seconds=read.seconds("AGW_GATHER_SECONDS", 2),
        probe_path=probe_path,
        writer_poll_seconds=read.seconds("WRITER_POLL_SECONDS", 1),
        hub_batch=read.integer("HUB_BATCH", 25, 1, 25),
        policy=policy,
        durable_urls=read.one_of("DURABLE_URLS", "full", ("full", "status", "none")),
        log_level=read.one_of("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
        sweep_delete_orphans=read.flag("SWEEP_DELETE_ORPHANS", False),
    )
    if read.problems:
        sentence = "; ".join(f"{name} {problem}" for name, problem in sorted(read.problems.items()))
        raise ConfigurationException(
            f"The app's settings can't be used: {sentence}.",
            code="InvalidSettings",
            hint="Set them in the function app's configuration (locally: local.settings.json); see docs/operations.md.",
            settings=dict(sorted(read.problems.items())),
        )
    return settings


@cache
def current_settings() -> Settings:
    """The settings of this process, read from its environment once; a bad environment is read again next time."""
    return settings_from(os.environ)  # noqa: TID251 - the one place that reads the environment

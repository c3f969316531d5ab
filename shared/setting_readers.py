"""How the text of a setting becomes a value, and what is said of a text that can't. Pure."""

import base64
import contextlib
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from shared.saga.instances import TaskHub, account_of
from shared.spoke.addresses import collapsed_ipv4, cover_all_ipv4
from shared.spoke.names import DNS_LABEL, ELEMENT_NAME, VNET_NAME

T = TypeVar("T")


class Form(NamedTuple):
    """What a text must look like, and how that is said."""

    pattern: str
    rule: str

    def fits(self, text: str) -> bool:
        return re.fullmatch(self.pattern, text) is not None

    @property
    def problem(self) -> str:
        """What is said of a text that doesn't fit."""
        return f"must be {self.rule}"


SUBSCRIPTION = Form(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "the id of a subscription, a GUID")
GROUP = Form(r"[\w().-]{0,89}[\w()-]", "the name of a resource group")
VNET = Form(VNET_NAME, "the name of a VNet")
GATEWAY = Form(ELEMENT_NAME, "the name of an Application Gateway")
FRONTEND_IP = Form(ELEMENT_NAME, "the name of a frontend IP")
CERTIFICATE = Form(ELEMENT_NAME, "the name of a certificate")
HUB_NAME = Form(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", "1 to 40 lower-case letters, digits and hyphens")
URL = Form(r"https://[A-Za-z0-9.-]+(:\d{1,5})?(/[\w./-]*)?", "an https:// URL")
IMAGE = Form(r"[A-Za-z0-9._-]+(:[A-Za-z0-9._-]+){3}", "publisher:offer:sku:version")
PATH = Form(r"/[!-~]*", "a path that starts with /, without spaces")
# As Durable Functions takes it as a name.
TASK_HUB = Form(r"[A-Za-z][A-Za-z0-9]{2,44}", "3 to 45 letters and digits, a letter first")
# Read by its SDK from the environment; here only whether it is there, and whether the SDK can use it.
TELEMETRY = Form(
    r"(.*;)?\s*(?i:InstrumentationKey)\s*=\s*[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\s*(;.*)?",
    "a connection string with InstrumentationKey=<id>",
)
OUTBOUND = Form(
    r"default|none|(?i:nat:(?=.*/natGateways/)|route:(?=.*/routeTables/))"
    r"(?i:/subscriptions/[^/\s?#\\%{}]+/resourceGroups/[^/\s?#\\%{}]+/providers/Microsoft\.Network/\w+/[^/\s?#\\%{}]+)",
    "default, none, nat:<natGatewayId> or route:<routeTableId>",
)
DNS_NAME = Form(rf"(?=.{{1,253}}$)({DNS_LABEL}\.)*{DNS_LABEL}", "a DNS name without wildcard")
_REGION = re.compile(r"[a-z0-9]{2,40}")
# Of each word of a list.
DNS_NAMES = Form(DNS_NAME.pattern, "DNS names without wildcards, separated by commas")
LABELS = Form(DNS_LABEL, "names of clients, such as www, separated by commas, or none")
TASK_HUBS = Form(rf"([a-z0-9]{{3,24}}/)?{TASK_HUB.pattern}", "names of task hubs, or account/name, separated by commas")
# In which Azure makes no VNet.
_NEVER_IN_A_VNET = [
    ipaddress.IPv4Network(prefix)
    for prefix in ("127.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32", "224.0.0.0/4", "255.255.255.255/32")
]


class Setting:
    """Declares a setting at its field: how it is read, under the field's name in capitals unless another is given."""

    def __init__(self, reader: Callable[..., Any], *given: Any, name: str = "", **more: Any) -> None:
        self.reader, self.given, self.name, self.more = reader, given, name, more

    def read(self, environment: "Reader", field_name: str) -> Any:
        return self.reader(environment, self.name or field_name.upper(), *self.given, **self.more)


class Reader:
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

    def matching(self, name: str, form: Form, default: str | None = None) -> str:
        value = self.text(name, default)
        if value and not form.fits(value):
            self.problems[name] = form.problem
        return value

    def optional(self, name: str, form: Form) -> str | None:
        return self.matching(name, form, "") or None

    def given(self, name: str, form: Form) -> bool:
        return self.optional(name, form) is not None

    def parsed(
        self,
        name: str,
        default: object,
        parse: Callable[[str], T],
        rule: str,
        fits: Callable[[T], bool] = lambda _: True,
    ) -> T:
        with contextlib.suppress(ValueError, KeyError):
            value = parse(self.text(name, str(default)))
            if fits(value):
                return value
        self.problems[name] = f"must be {rule}"
        return parse(str(default))

    def seconds(self, name: str, default: float, least: float = 0, most: float | None = None) -> float:
        def fits(value: float) -> bool:
            return least <= value < 1e7 and (most is None or value <= most)

        limits = f"{least:g} or more" if most is None else f"{least:g} to {most:g}"
        return self.parsed(name, default, float, f"a number of seconds, {limits}", fits)

    def flag(self, name: str, default: bool) -> bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        return self.parsed(name, default, lambda text: words[text.lower()], "true or false")

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        rule = f"a whole number from {low} to {high}"
        return self.parsed(name, default, int, rule, lambda value: low <= value <= high)

    def one_of(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        folded = {word.lower(): word for word in allowed}
        return self.parsed(name, default, lambda text: folded[text.lower()], "one of " + ", ".join(allowed))

    def words(self, name: str, text: str, form: Form | None = None) -> tuple[str, ...]:
        """What stands between the commas of a text."""
        words = tuple(word.strip() for word in text.split(",") if word.strip())
        if form is not None and not all(map(form.fits, words)):
            self.problems[name] = form.problem
        return words

    def region(self, name: str, default: str) -> str:
        region = self.text(name, default).lower().replace(" ", "")
        if not _REGION.fullmatch(region):
            self.problems[name] = f"must be an Azure region such as {default}"
        return region

    def port(self, name: str, certificate: str) -> int:
        """By default that of HTTPS where the setting of this name has a certificate, else that of HTTP."""
        return self.integer(name, 443 if self.text(certificate, "") else 80, 1, 65502)

    def url(self, name: str, default: str) -> str:
        return self.matching(name, URL, default).rstrip("/")

    def connection_string(self, name: str) -> str | None:
        value = self.text(name, "")
        if value and not _can_connect(value):
            self.problems[name] = "must be the connection string of a storage account"
        return value or None

    def outbound(self, name: str) -> str:
        """With its kind in small letters: `ROUTE:<id>` as `route:<id>`."""
        kind, colon, resource_id = self.matching(name, OUTBOUND, "default").partition(":")
        return kind.lower() + colon + resource_id

    def domain(self, name: str) -> str:
        domain = self.text(name).lower()
        if domain and not DNS_NAME.fits(domain):
            self.problems[name] = DNS_NAME.problem
        return domain

    def domains(self, name: str) -> tuple[str, ...]:
        return self.words(name, self.text(name, "").lower(), DNS_NAMES)

    def labels(self, name: str, default: str) -> tuple[str, ...]:
        """Names of clients, or `none`."""
        text = self.text(name, default).lower()
        return () if text == "none" else self.words(name, text, LABELS)

    def prefixes(self, name: str) -> tuple[str, ...]:
        """A list that becomes a security rule: IPv4, without overlaps."""
        prefixes = []
        for word in self.words(name, self.text(name, "")):
            try:
                prefixes.append(str(ipaddress.IPv4Network(word, strict=True)))
            except ValueError:
                problem = f"must be IPv4 prefixes without host bits, separated by commas ({word} is none)"
                self.problems[name] = f"{problem}: spokes have no IPv6" if ":" in word else problem
        collapsed = collapsed_ipv4(prefixes)
        if cover_all_ipv4(collapsed):
            self.problems[name] = f"must not hold all of IPv4 ({', '.join(prefixes)} together do)"
        return collapsed

    def task_hub(self, name: str) -> TaskHub:
        return TaskHub(self.matching(name, TASK_HUB), account_of(self.environment))

    def task_hubs(self, name: str) -> tuple[TaskHub, ...]:
        words = self.words(name, self.text(name, ""), TASK_HUBS)
        return tuple(map(TaskHub.parse, words)) if all(map(TASK_HUBS.fits, words)) else ()

    def pool(self, name: str, default: str) -> ipaddress.IPv4Network:
        def fits(pool: ipaddress.IPv4Network) -> bool:
            return not any(pool.overlaps(never) for never in _NEVER_IN_A_VNET)

        rule = f"an IPv4 prefix such as {default}, of addresses that Azure has in VNets"
        return self.parsed(name, default, ipaddress.IPv4Network, rule, fits)


def _can_connect(connection_string: str) -> bool:
    """Whether the table SDK can make something of it; it would say so only when it is used."""
    if connection_string == "UseDevelopmentStorage=true":
        return True
    parts = dict(part.split("=", 1) for part in connection_string.split(";") if "=" in part)
    url = parts.get("TableEndpoint") or f"https://{parts.get('AccountName')}.table.{parts.get('EndpointSuffix')}"
    try:
        base64.b64decode(parts.get("AccountKey", "-"), validate=True)
        has_key = bool(parts.get("AccountName"))
    except ValueError:
        has_key = False
    return URL.fits(url.replace("http://", "https://")) and (has_key or "SharedAccessSignature" in parts)

"""The setting `HUBS`: several hubs, each with one or more gateways. Pure.

A hub or gateway that leaves a field out has the value of the setting of the same meaning. So each gateway is read as an
environment of its own: the app's, with what its hub and it say on top (`Place.environment`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.settings import Settings

SETTING = "HUBS"
"""Several hubs, or several gateways of one: a JSON list, whose form docs/operations.md describes. What a hub or gateway
leaves out is the value of the setting of the same meaning. Default: empty."""
# The setting that each field stands for, and what a field is in JSON.
HUB_FIELDS = {
    "subscription_id": "AZURE_SUBSCRIPTION_ID",
    "resource_group": "HUB_RESOURCE_GROUP",
    "vnet": "HUB_VNET_NAME",
    "location": "HUB_LOCATION",
    "spoke_resource_group": "SPOKE_RESOURCE_GROUP",
    "address_pool": "SPOKE_ADDRESS_POOL",
    "prefix_length": "SPOKE_PREFIX_LENGTH",
}
GATEWAY_FIELDS = {
    "name": "HUB_AGW_NAME",
    "domain": "SPOKE_DOMAIN",
    "domains": "SPOKE_DOMAINS",
    "frontend_ip": "AGW_FRONTEND_IP",
    "frontend_port": "AGW_FRONTEND_PORT",
    "ssl_certificate": "AGW_SSL_CERTIFICATE",
    "limit": "AGW_LIMIT",
}
# What is no setting: of a hub and of a gateway.
_OF_HUB = ("name", "spoke_subscription_id", "first_spoke_id", "gateways")
_OF_GATEWAY = ("open", "dns_zone_id")
_NAMES = "names"
_KINDS: dict[str, tuple[Any, str]] = {
    "prefix_length": (int, "a whole number"),
    "first_spoke_id": (int, "a whole number"),
    "frontend_port": (int, "a whole number"),
    "limit": (int, "a whole number"),
    "open": (bool, "true or false"),
    "domains": (_NAMES, "a list of DNS names"),
    "gateways": (list, "a list of gateways"),
}
FIRST_IDS_APART = 1000
_MOST_HUBS = 100

Problems = dict[str, str]


@dataclass(frozen=True)
class Place:
    """One gateway of one hub, as `HUBS` has it. hub, gateway: their fields.  hub_at, gateway_at: where they stand in it."""

    number: int
    hub: Mapping[str, Any]
    gateway: Mapping[str, Any]
    hub_at: str
    gateway_at: str

    def environment(self, basis: Mapping[str, str]) -> dict[str, str]:
        """The app's environment as this hub and gateway have it."""
        own = {setting: self.hub[field] for field, setting in HUB_FIELDS.items() if field in self.hub}
        own |= {setting: self.gateway[field] for field, setting in GATEWAY_FIELDS.items() if field in self.gateway}
        if "domain" in self.gateway and "domains" not in self.gateway:
            own["SPOKE_DOMAINS"] = ""  # those of the setting belong to another domain
        texts = {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in own.items()}
        return {**basis, **texts}

    @property
    def first_spoke_id(self) -> int:
        return int(self.hub.get("first_spoke_id", FIRST_IDS_APART * self.number + 1))

    def where(self, setting: str, problem: str) -> str:
        """What a problem of this environment's setting is reported under: the field, unless the field was left out."""
        for fields, given, at in ((HUB_FIELDS, self.hub, self.hub_at), (GATEWAY_FIELDS, self.gateway, self.gateway_at)):
            for field, name in fields.items():
                if name == setting and (field in given or problem == "is missing"):
                    return f"{at}.{field}"
        return setting


def places_in(text: str, problems: Problems) -> list[Place]:
    """Every gateway of every hub, in order. What is wrong with the form goes into `problems`."""
    try:
        hubs = json.loads(text)
    except ValueError as error:
        problems[SETTING] = f"must be a JSON list of hubs ({error})"
        return []
    if not isinstance(hubs, list) or not 1 <= len(hubs) <= _MOST_HUBS:
        problems[SETTING] = f"must be a JSON list of 1 to {_MOST_HUBS} hubs"
        return []
    found: list[Place] = []
    for number, hub in enumerate(hubs):
        at = f"{SETTING}[{number}]"
        fields = _fields(hub, at, (*HUB_FIELDS, *_OF_HUB), problems)
        if isinstance(hub, dict) and "name" not in hub:
            problems[f"{at}.name"] = "is missing"
        gateways = fields.get("gateways", [{}])
        if not gateways:
            problems[f"{at}.gateways"] = "must be a list of gateways, at least one"
        for place, gateway in enumerate(gateways):
            here = f"{at}.gateways[{place}]"
            found.append(
                Place(number, fields, _fields(gateway, here, (*GATEWAY_FIELDS, *_OF_GATEWAY), problems), at, here)
            )
    return found


def _fields(given: Any, at: str, known: Iterable[str], problems: Problems) -> dict[str, Any]:
    """The fields of a hub or gateway that have the right form."""
    if not isinstance(given, dict):
        problems[at] = "must be a JSON object"
        return {}
    good = {}
    for field, value in given.items():
        kind, rule = _KINDS.get(field, (str, "a text"))
        if field not in known:
            problems[f"{at}.{field}"] = "is no field that there is"
        elif _is_of(kind, value):
            good[field] = value
        else:
            problems[f"{at}.{field}"] = f"must be {rule}"
    return good


def _is_of(kind: Any, value: Any) -> bool:
    if kind is _NAMES:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    return isinstance(value, kind) and (kind is not int or not isinstance(value, bool))


def check_together(places: Sequence[tuple[Place, "Settings"]], problems: Problems) -> None:
    """What no hub can see by itself: doubled names and resources, overlapping pools and ids, shared domains."""
    _check_hubs(places, problems)
    for (first, one), (place, other) in combinations(places, 2):
        if one.gateway_key == other.gateway_key:
            problems[f"{place.gateway_at}.name"] = "must be a gateway of its own: it is in the list twice"
            continue
        if gateway_stem(one) == gateway_stem(other):
            problems[f"{place.gateway_at}.name"] = f"makes, with its hub's name, the same id as {first.gateway_at}"
        if shared := {one.spoke_domain, *one.spoke_domains} & {other.spoke_domain, *other.spoke_domains}:
            problems[f"{place.gateway_at}.domain"] = (
                f"must not be that of another gateway ({first.gateway_at} has {', '.join(sorted(shared))}): "
                "a wildcard record leads to one gateway alone"
            )


def gateway_stem(settings: "Settings") -> str:
    """The stem of the instance id of the one that writes a gateway, where there are several."""
    return f"{settings.hub_name}-{settings.hub_agw_name}".lower()


def _check_hubs(places: Sequence[tuple[Place, "Settings"]], problems: Problems) -> None:
    first_of = {place.number: (place, settings) for place, settings in reversed(places)}
    hubs = [first_of[number] for number in sorted(first_of)]
    for (_, one), (place, other) in combinations(hubs, 2):
        if one.hub_name.lower() == other.hub_name.lower():
            problems.setdefault(f"{place.hub_at}.name", "must be a name of its own, like no other hub's")
        if one.hub_key == other.hub_key:
            problems.setdefault(f"{place.hub_at}.vnet", "must be a VNet of its own: another hub has it")
        if one.spoke_address_pool.overlaps(other.spoke_address_pool):
            problems[f"{place.hub_at}.address_pool"] = f"must not overlap {one.spoke_address_pool} of {one.hub_name}"
        if one.first_spoke_id <= other.last_spoke_id and other.first_spoke_id <= one.last_spoke_id:
            problems[f"{place.hub_at}.first_spoke_id"] = (
                f"must leave {one.first_spoke_id} to {one.last_spoke_id} to {one.hub_name}; "
                f"its own ids are {other.first_spoke_id} to {other.last_spoke_id}"
            )

"""Which hub a request means, and which of its gateways may serve it. Pure."""

from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from shared.errors import DeploymentException
from shared.spoke.request.model import SpokeRequest, invalid, outside

if TYPE_CHECKING:
    from shared.settings import Settings


def hub_for(request: SpokeRequest, hubs: "Sequence[Settings]") -> "Settings":
    """The hub of a request: `hub`, else the ids that `spoke_id` is among, else the pool of `address_prefix`, else the hub
    of the request's `location`, else the first. A `ValidationException` when two of the first three contradict."""
    named = _named(request, hubs)
    by_id = next((hub for hub in hubs if _has_id(hub, request.spoke_id)), None)
    by_block = next((hub for hub in hubs if _has_block(hub, request.address_prefix)), None)
    chosen = named or by_id or by_block
    if chosen is None:
        # What no hub has is refused as what the first one hasn't.
        return next((hub for hub in hubs if hub.hub_location == request.location), hubs[0])
    for field, value, other in (
        ("spoke_id", request.spoke_id, by_id),
        ("address_prefix", request.address_prefix, by_block),
    ):
        if other is not None and other.hub_key != chosen.hub_key:
            said = "hub" if named else "spoke_id"
            sentence = f"{field} belongs to the hub {other.hub_name}, {said} to {chosen.hub_name}."
            raise invalid(field, value, sentence, code="Contradiction")
    return chosen


def _named(request: SpokeRequest, hubs: "Sequence[Settings]") -> "Settings | None":
    if request.hub is None:
        return None
    for hub in hubs:
        if hub.hub_name.lower() == request.hub.lower():
            return hub
    names = ", ".join(hub.hub_name for hub in hubs)
    raise invalid("hub", request.hub, f"hub must be one of {names}.", code="UnknownHub")


def _has_id(hub: "Settings", spoke_id: int | None) -> bool:
    return spoke_id is not None and hub.first_spoke_id <= spoke_id <= hub.last_spoke_id


def _has_block(hub: "Settings", prefix: str | None) -> bool:
    try:
        return prefix is not None and IPv4Network(prefix).subnet_of(hub.spoke_address_pool)
    except ValueError:
        return False


def gateways_for(
    request: SpokeRequest,
    gateways: "Sequence[Settings]",
    own: "Settings | None" = None,
    places: "Sequence[Settings]" = (),
) -> "tuple[Settings, ...]":
    """The gateways of its hub that a spoke can be put on: open, named if the request names one, and with a domain that
    holds its host name if it has one (the longest such domain decides). own: that of a spoke which is built again: it
    can go back there when all are closed.  places: the gateways of all hubs, for the hint."""
    found = tuple(gateways)
    if request.gateway is not None:
        found = tuple(each for each in gateways if each.hub_agw_name.lower() == request.gateway.lower())
        if not found:
            names = ", ".join(each.hub_agw_name for each in gateways)
            sentence = f"gateway must be one of {names} of the hub {gateways[0].hub_name}."
            raise invalid("gateway", request.gateway, sentence, code="UnknownGateway")
    if request.host_name is not None:
        domains = dict.fromkeys(domain for each in found for domain in each.spoke_domains)
        holding = [domain for domain in domains if request.host_name.endswith(f".{domain}")]
        if not holding:
            raise outside(request.host_name, domains)
        longest = max(holding, key=len)
        found = tuple(each for each in found if longest in each.spoke_domains)
    possible = tuple(each for each in found if each.gateway_is_open) or tuple(each for each in found if each == own)
    if not possible:
        raise _closed(found, gateways, places)
    return possible


def _closed(
    found: "Sequence[Settings]", gateways: "Sequence[Settings]", places: "Sequence[Settings]"
) -> DeploymentException:
    """409. found: the gateways of the hub that the request could mean, all of them closed."""
    names = ", ".join(each.hub_agw_name for each in found)
    open_here = [each.hub_agw_name for each in gateways if each.gateway_is_open]
    open_hubs = list(dict.fromkeys(each.hub_name for each in places if each.gateway_is_open))
    if open_here:
        sentence = f"The gateway {names} takes no new sites."
        hint = f"Name {' or '.join(open_here)}, with a host_name of its domain or without one."
    else:
        sentence = f"No gateway of the hub {gateways[0].hub_name} takes new sites: {names}."
        hint = f"Name the hub {' or '.join(open_hubs)}." if open_hubs else "No other hub has an open gateway."
    return DeploymentException(
        sentence,
        code="GatewayClosed",
        hint=f"{hint} Or have an operator set open to true in HUBS; GET /api/capacity shows what is open.",
        field="gateway",
        value=found[0].hub_agw_name,
    )

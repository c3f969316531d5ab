"""Which rights of the app's identity are missing, told from the permissions that Azure lists for it. Pure.

Azure answers `GET {scope}/providers/Microsoft.Authorization/permissions` with the `actions` and `notActions` of every role
that the caller has at the scope or above it. Deny assignments and conditions are not in it ([D] REST API, Permissions).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from shared.checks.findings import ERROR, WARNING, Finding
from shared.checks.subjects.gateway.network import ON_SUBNET, subnet_of_gateway
from shared.errors import Failure, how_to_grant
from shared.spoke.documents.raw import Document, id_in, listed
from shared.spoke.resource_ids import ResourceIds, type_of
from shared.writers.gateway.capacity import firewall_policy_ids
from shared.writers.peering.documents import gateway_ids


@dataclass(frozen=True)
class Right:
    """One action of a role file. at: the kind of scope.  optional: what is lost without it, when a spoke can be deployed
    all the same."""

    action: str
    at: str
    reason: str
    optional: str = ""

    @property
    def of_type(self) -> str:
        """`Microsoft.Network/virtualNetworks` of its `…/peer/action`."""
        return re.sub(r"/(read|write|delete|[^/]+/action)$", "", self.action)


@dataclass(frozen=True)
class NeededRight:
    """An action that the app needs over a scope. stops: no spoke can be deployed, or removed, without it."""

    action: str
    scope: str
    stops: bool
    reason: str


def needed_rights(
    rights: Iterable[Right], ids: ResourceIds, named: Iterable[str], outbound: str = ""
) -> list[NeededRight]:
    """Each right over each scope that it is needed on.

    named: ids of what the gateway's document names: each type of it is needed over these. A type that nothing names is not
    needed now, and is looked for on the gateway itself, on which (or above which) the role is assigned.
    outbound: the id of the NAT gateway or route table of SPOKE_OUTBOUND, which may be outside of the spokes' group.
    """
    scopes = {
        "subscription": list(dict.fromkeys((ids.subscription, ids.spoke_subscription))),
        "hubVnet": [ids.hub_vnet],
        "gateway": [ids.gateway],
        "spokeGroup": [ids.spoke_group],
    }
    own = {"gateway": (ids.gateway, *named), "hubVnet": tuple(named), "spokeGroup": (outbound,) if outbound else ()}
    found: dict[tuple[str, str], NeededRight] = {}
    for right in rights:
        at = [each for each in own.get(right.at, ()) if type_of(each).lower() == right.of_type.lower()]
        # What not every installation has.
        only_where_named = right.at == "gateway" or right.of_type.endswith(("/natGateways", "/routeTables"))
        for scope in at or scopes[right.at]:
            stops = not right.optional and (bool(at) or not only_where_named)
            found[right.action.lower(), scope.lower()] = NeededRight(
                right.action, scope, stops, right.optional or right.reason
            )
    return list(found.values())


def grants(permissions: Iterable[Document], action: str) -> bool:
    """Whether one of the permissions has the action in `actions` and not in `notActions`."""
    folded = action.lower()
    return any(
        _pattern(tuple(each.get("actions") or ())).fullmatch(folded)
        and not _pattern(tuple(each.get("notActions") or ())).fullmatch(folded)
        for each in permissions
    )


@lru_cache(maxsize=256)
def _pattern(actions: tuple[str, ...]) -> re.Pattern[str]:
    """Letter case means nothing, `*` is any text, and `/*/` may be a single `/`: the built-in role Managed Identity Operator
    grants `userAssignedIdentities/assign/action` by `userAssignedIdentities/*/assign/action`."""
    forms = (re.escape(each.lower()).replace(r"/\*/", "/(?:.*/)?").replace(r"\*", ".*") for each in actions)
    return re.compile("|".join(forms) or r"(?!)")


def missing_rights(needed: Iterable[NeededRight], permissions: Mapping[str, Sequence[Document]]) -> list[NeededRight]:
    """Those that are not granted. permissions: what Azure lists, by scope; a scope that is left out is not judged."""
    return [each for each in needed if each.scope in permissions and not grants(permissions[each.scope], each.action)]


def rights_findings(
    missing: Iterable[NeededRight], unread: Mapping[str, Failure], refusals: Iterable[Failure] = ()
) -> list[Finding]:
    """What is missing, a finding for each scope, with its actions.

    unread: why the permissions of a scope could not be read. Then nothing is known: the first call that lacks a right says
    so, and a warning says that beforehand.  refusals: why something itself could not be read, which is a finding already.
    """
    refusals = list(refusals)
    told = {
        (each["action"].lower(), each["scope"].lower()) for why in refusals for each in why.details.get("missing", ())
    }
    found = []
    left = [each for each in missing if (each.action.lower(), each.scope.lower()) not in told]
    ordered = sorted(left, key=lambda each: (not each.stops, each.scope))
    for (stops, scope), group in groupby(ordered, key=lambda each: (each.stops, each.scope)):
        lacking = list(group)
        actions = ", ".join(each.action if stops else f"{each.action} ({each.reason})" for each in lacking)
        message = f"The app's identity lacks {actions} over {scope}"
        lacks = [{"action": each.action, "scope": scope} for each in lacking]
        severity, hint, details = ERROR if stops else WARNING, how_to_grant(lacks), {"missing": lacks}
        found.append(
            Finding("permissions", severity, "PermissionMissing", message, hint, resource=scope, details=details)
        )
    above = tuple(f"{why.details['resource']}/".lower() for why in refusals if "resource" in why.details)
    for scope, failure in unread.items():
        # A credential that doesn't work, and a scope that isn't there, are findings of their own.
        is_told = failure.details.get("status") in (401, 404) or failure.code == "CredentialUnavailable"
        if not is_told and not f"{scope}/".lower().startswith(above):
            message = f"Whether the app's identity has all rights over {scope} can't be told: {failure.message}"
            found.append(Finding("permissions", WARNING, failure.code, message, failure.hint, resource=scope))
    return found


def named_by_gateway(hub_vnet: Document | None, gateway: Document | None) -> list[str]:
    """Ids of what a PUT of the gateway names, and of what is read of its subnet and of the hub's own gateways. A subnet
    outside of the hub is left out: that is a finding of its own."""
    named = [id_in(each, "publicIPAddress") for each in listed(gateway, "frontendIPConfigurations")]
    named += ((gateway or {}).get("identity") or {}).get("userAssignedIdentities") or {}
    named += firewall_policy_ids(gateway or {})
    subnet = subnet_of_gateway(hub_vnet, gateway) or {}
    named += [str(subnet.get("id") or ""), *(id_in(subnet, part) for part in ON_SUBNET.values())]
    named += gateway_ids(hub_vnet)
    return list({each.lower(): each for each in named if each}.values())

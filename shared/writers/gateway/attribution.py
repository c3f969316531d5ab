"""Attributes a failed gateway PUT: to the site that caused it, to the gateway itself, or to no part that is named. Pure.

What decides is whom the failure names, by id or by name, in its message and in all its details; the code decides only
where nothing is named. A site consists of a pool, a probe, settings, a listener and a rule: a network security group, a
route table, a key vault or a TLS policy can't be its fault.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from shared.errors import Failure
from shared.spoke.documents.raw import Document
from shared.writers.gateway.site_rows import GatewayWriter, SiteRow, in_order_of_arrival

# A later PUT of another client took the place of ours: no site is at fault.
SUPERSEDED = frozenset({"Canceled", "CanceledAndSupersededDueToAnotherOperation", "OperationPreempted"})
FAILURES_BEFORE_BISECTING = 3

# Codes of the subscription, of rights and of what the gateway stands on: no site can cause or fix them.
_NOT_OF_SITES = frozenset(
    {
        "AuthorizationFailed",
        "CredentialUnavailable",
        "InvalidAuthenticationToken",
        "InvalidSubnet",
        "LinkedAccessCheckFailed",
        "LinkedAuthorizationFailed",
        "MissingSubscriptionRegistration",
        "PublicIPCountLimitReached",
        "RequestDisallowedByPolicy",
        "ResourceGroupBeingDeleted",
        "ResourceGroupNotFound",
        "ResourceProviderNotRegistered",
        "ScopeLocked",
        "SubnetIsFull",
        "SubnetTooSmall",
        "SubscriptionNotFound",
    }
)
# Families of codes for the gateway's own parts. Azure adds codes to them, and some of their messages name no id.
_OF_THE_GATEWAY = re.compile(
    r"^ApplicationGateway(Subnet|KeyVault|NetworkIsolation|InsufficientPermission|Forbidden|DeprecatedTls|SslPolicy"
    r"|Waf|Firewall|Feature|Sku|PublicI[Pp]|Autoscale|Zone|Identity|Ddos|PrivateLink|Capacity)"
    r"|^(KeyVault|Secret(Disabled|Deleted)|UserAssigned|ManagedIdentity|PublicI[Pp]|NetworkSecurityGroup|RouteTable|Ddos)"
)
# Codes for what our elements make of the document, although the message names the gateway alone.
_OF_THE_DOCUMENT = frozenset(
    {
        "ApplicationGatewayMustHaveAtleastOneResourceOfType",
        "ApplicationGatewayRequestRoutingRulePartialPriorityDefined",
    }
)
# No right, or the gateway isn't where the settings say.
_STATUSES_NOT_OF_SITES = frozenset({401, 403, 404})

_ID = re.compile(r"(?:/subscriptions/|\bMicrosoft\.\w+/|https://[\w.-]+\.vault\.)[^\s'\"<>,;()]+")
_ELEMENT = re.compile(
    r"/applicationGateways/(?P<gateway>[^/\s'\"]+)/(?P<collection>[A-Za-z]+)/(?P<name>[\w.-]*\w)", re.I
)
_GATEWAY = re.compile(r"/applicationGateways/[^/\s'\"]+$", re.I)
_CHILD = re.compile(r"child resources with the same name \((?P<name>[\w.-]+)\)", re.I)
_QUOTED = re.compile(r"['\"](?P<name>[\w.-]+)['\"]")
# Parts of the gateway that no site has, in words, for messages without an id.
_PART_IN_WORDS = re.compile(
    r"network security group|route table|user.?defined route|public ip|key ?vault|\bsubnet\b|(managed|assigned) identity"
    r"|(tls|ssl|firewall|waf) polic|\bsku\b",
    re.I,
)
# Too many elements: fewer at a time may be taken.
_TOO_MANY = re.compile(
    r"(?=.*(exceed|maximum|limit|too many))(?=.*(listener|pool|rule|probe|setting|certificate|redirect|site))", re.I
)


@dataclass(frozen=True)
class Attribution:
    """What follows from a PUT that failed.

    offenders: rows that fail with the reason.  limit: how many waiting rows the next PUT may change, None for all.
    blocked_by: the failure of the gateway itself, for which all rows wait.  unexplained: transient failures in a row that named no
    part.
    """

    offenders: list[SiteRow] = field(default_factory=list)
    limit: int | None = None
    blocked_by: Failure | None = None
    unexplained: int = 0


def attribute_failure(
    failure: Failure, codes: tuple[str, ...], gateway: Document | None, rows: list[SiteRow], writer: GatewayWriter
) -> Attribution:
    """Decides who is named by a refusal or by a failed operation.

    A named site of the batch fails alone. What names another part, or the gateway, blocks all, until an operator has
    fixed it. What names nothing bisects the batch, until one site is left; a transient failure is tried again first. A
    site whose row has changed since is not failed, although it may have been the offender.
    """
    sent = in_order_of_arrival([row for row in rows if row.client in writer.batch])
    batch = [row for row in sent if writer.batch[row.client] == row.desired_version]
    if SUPERSEDED & {failure.code, *codes}:
        return Attribution(limit=writer.limit, unexplained=writer.unexplained)
    named = _Named.by(failure, gateway)
    offenders = [row for row in batch if named.has(row)]
    if offenders:
        return Attribution(offenders=[offenders[-1].failed(failure)])
    if any(named.has(row) for row in sent):
        return Attribution(limit=writer.limit)
    if not writer.batch or _is_of_the_gateway(failure, codes, named):
        return Attribution(limit=writer.limit, blocked_by=failure)
    if failure.transient and writer.unexplained + 1 < FAILURES_BEFORE_BISECTING:
        return Attribution(limit=writer.limit, unexplained=writer.unexplained + 1)
    if len(batch) == len(writer.batch) == 1:
        return Attribution(offenders=[batch[0].failed(failure)])
    return Attribution(limit=max(len(batch) // 2, 1) if batch else writer.limit)


def _is_of_the_gateway(failure: Failure, codes: Iterable[str], named: "_Named") -> bool:
    """Whether a failure that names no site is the gateway's own, or of what it stands on."""
    own_codes = {failure.code, *codes}
    if failure.details.get("status") in _STATUSES_NOT_OF_SITES or own_codes & _NOT_OF_SITES:
        return True
    if named.others or any(map(_OF_THE_GATEWAY.match, own_codes)):
        return True
    if failure.transient or own_codes & _OF_THE_DOCUMENT or _TOO_MANY.search(named.text):
        return False
    return named.gateway or bool(_PART_IN_WORDS.search(named.text))


@dataclass(frozen=True)
class _Named:
    """Whom a failure names. elements: `(collection, name)` on our gateway, in lower case.  gateway: whether it names a
    gateway as a whole.  others: ids of anything else that is no element of our gateway, and its elements' ids."""

    text: str
    elements: frozenset[tuple[str, str]]
    gateway: bool
    others: bool

    @classmethod
    def by(cls, failure: Failure, gateway: Document | None) -> "_Named":
        text = " ".join([failure.message, *map(str, failure.details.get("mentioned") or ())])
        ids = [found.rstrip(".:") for found in _ID.findall(text)]
        name = str((gateway or {}).get("name") or "").lower()
        elements = {
            (match["collection"].lower(), match["name"].lower())
            for match in _ELEMENT.finditer(text)
            if not name or match["gateway"].lower() == name
        }
        elements |= {("", match["name"].lower()) for match in _CHILD.finditer(text)}
        if not ids:
            elements |= {("", match["name"].lower()) for match in _QUOTED.finditer(text)}
        others = any(not _GATEWAY.search(found) for found in ids)
        return cls(text, frozenset(elements), len(ids) > 0, others)

    def has(self, row: SiteRow) -> bool:
        """Whether one of a site's elements, its host name or its backend address is named."""
        own = {(collection.lower(), name.lower()) for collection, name in row.names.by_collection().items()}
        if self.elements & (own | {("", name) for _, name in own}):
            return True
        values = (row.site.host_name, row.site.private_ip) if row.site else ()
        return any(_token(value).search(self.text) for value in values)


def _token(value: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.*-]){re.escape(value)}(?![\w-]|\.\w)", re.I)

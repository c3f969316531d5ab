"""Whose fault it is that the gateway refused a document, or failed to take it on. Pure."""

import re
from dataclasses import dataclass, field

from shared.errors import Failure
from shared.writers.gateway.document import Document, unmanaged_elements
from shared.writers.gateway.rows import GatewayWriter, SiteRow, in_order_of_arrival, names_of_ours

# Trouble of the gateway or of the subscription: no site can help it, somebody else has to mend it.
UNMANAGED_FAILURES = frozenset(
    {
        "ApplicationGatewayKeyVaultSecretException",
        "ApplicationGatewayNetworkIsolationRequiresSubnetDelegation",
        "AuthorizationFailed",
        "CredentialUnavailable",
        "InvalidAuthenticationToken",
        "LinkedAuthorizationFailed",
        "MissingSubscriptionRegistration",
        "RequestDisallowedByPolicy",
        "ResourceGroupBeingDeleted",
        "ResourceGroupNotFound",
        "ScopeLocked",
        "SubscriptionNotFound",
    }
)
# Somebody else's PUT took our place: nobody's fault, and no reason to look for one.
SUPERSEDED = frozenset({"Canceled", "CanceledAndSupersededDueToAnotherOperation", "OperationPreempted"})
# Who asks may not, or the gateway isn't where it is looked for: no site's fault either.
_NOT_ABOUT_SITES = frozenset({401, 403, 404})
RETRIES_BEFORE_ATTRIBUTION = 3

_ELEMENT = re.compile(r"/applicationGateways/[^/\s'\"]+/(?P<collection>[A-Za-z]+)/(?P<name>[\w.-]*\w)", re.I)
_CHILD = re.compile(r"child resources with the same name \((?P<name>[\w.-]+)\)", re.I)


@dataclass(frozen=True)
class Attribution:
    """What follows from a PUT that didn't work.

    failed: the rows whose fault it is.  limit: how many waiting rows the next PUT may change, None for all.
    trouble: what somebody else has to mend.  setbacks: failures in a row that named nobody and may pass.
    """

    failed: list[SiteRow] = field(default_factory=list)
    limit: int | None = None
    trouble: Failure | None = None
    setbacks: int = 0


def attribute_failure(
    failure: Failure, codes: tuple[str, ...], gateway: Document | None, rows: list[SiteRow], writer: GatewayWriter
) -> Attribution:
    """Who is named by a refusal or by a failed operation: a waiting site, a foreign part, or nobody.

    A named site of the batch fails alone. Named parts of anybody else, and what only an operator can mend, let all wait.
    A failure that names nobody halves the batch, until its culprit is alone; one that may pass is first tried again. A
    site whose wish has changed since can't be blamed any more, but it may have been the culprit.
    """
    sent = in_order_of_arrival([row for row in rows if row.client in writer.batch])
    batch = [row for row in sent if writer.batch[row.client] == row.desired_version]
    if SUPERSEDED & set(codes) or failure.code in SUPERSEDED:
        return Attribution(limit=writer.limit, setbacks=writer.setbacks)
    named = _named(failure.message)
    offenders = [row for row in batch if named & _own(row)]
    if offenders:
        return Attribution(failed=[offenders[-1].failed(failure)])
    if any(named & _own(row) for row in sent):
        return Attribution(limit=writer.limit)
    others = {
        (collection.lower(), name.lower())
        for collection, name, _ in unmanaged_elements(gateway or {}, names_of_ours(sent))
    }
    elsewhere = bool(UNMANAGED_FAILURES & {failure.code, *codes}) or failure.details.get("status") in _NOT_ABOUT_SITES
    if elsewhere or named & others or not writer.batch:
        return Attribution(limit=writer.limit, trouble=failure)
    if failure.transient and writer.setbacks + 1 < RETRIES_BEFORE_ATTRIBUTION:
        return Attribution(limit=writer.limit, setbacks=writer.setbacks + 1)
    if len(batch) == len(writer.batch) == 1:
        return Attribution(failed=[batch[0].failed(failure)])
    return Attribution(limit=max(len(batch) // 2, 1) if batch else writer.limit)


def _named(message: str) -> set[tuple[str, str]]:
    """`(collection, name)` of each element of a gateway that a message names, in lower case."""
    found = {(match["collection"].lower(), match["name"].lower()) for match in _ELEMENT.finditer(message)}
    return found | {("", match["name"].lower()) for match in _CHILD.finditer(message)}


def _own(row: SiteRow) -> set[tuple[str, str]]:
    own = {(collection.lower(), name.lower()) for collection, name in row.names.by_collection().items()}
    return own | {("", name) for _, name in own}

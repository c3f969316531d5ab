"""One pass over the gateway: which rows it holds, which fail, and the one document that it should have. Pure."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.errors import AzureResourceException, Failure
from shared.spoke.documents.raw import Document, provisioning_state
from shared.spoke.plan import SiteNames
from shared.timestamps import parse_timestamp
from shared.writers.gateway.capacity import Limits, limits_of, no_capacity_left, site_capacity
from shared.writers.gateway.document import (
    Element,
    differences,
    edited,
    elements_digest,
    is_whole,
    present,
    unmanaged_users,
)
from shared.writers.gateway.priorities import (
    ceiling_for,
    next_priority,
    no_priority_beside_others,
    no_priority_left,
    priority_of,
    unmanaged_rules,
    with_all_numbered,
)
from shared.writers.gateway.site_rows import GatewayWriter, SiteRow, in_order_of_arrival, names_of_ours
from shared.writers.gateway.sites import frontend_of, host_conflict, site_elements

# While sites keep arriving a PUT waits for them, but never longer than this many gather windows: about one PUT.
GATHER_WINDOWS = 20
# Longer while many are on their way: each of them needs the hub for so many windows before it has a use for its site.
WINDOWS_A_PEERING = 2.5
# How often it is asked whether those on their way have come.
WINDOWS_BETWEEN_PASSES = 2.5
# Failures that a pending removal can resolve.
_CAPACITY_CODES = frozenset({"GatewayFull", "NoPriorityLeft"})


@dataclass
class ReconcilePlan:
    """What a pass decides.

    document: what the gateway should have, None when it has it.  batch: the waiting rows that it changes.
    applied, failed: rows that are decided now.  gone: rows whose removal is done.  prepared: rows that have to be
    written before the PUT, with their priority and `owned`.  newly_owned: those of them, by client, that were not `owned`
    before.  repaired: sites that were there and have to be put back, which wait from now on as new ones do.
    unrepairable: those that can't be put back now, with the reason.  removed: the elements that the document takes away,
    by client.  left: how many rows wait after this.
    """

    capacity: int
    document: Document | None = None
    batch: dict[str, int] = field(default_factory=dict)
    applied: list[SiteRow] = field(default_factory=list)
    failed: list[SiteRow] = field(default_factory=list)
    gone: list[SiteRow] = field(default_factory=list)
    prepared: list[SiteRow] = field(default_factory=list)
    newly_owned: tuple[str, ...] = ()
    repaired: list[str] = field(default_factory=list)
    unrepairable: dict[str, Failure] = field(default_factory=dict)
    removed: dict[str, SiteNames] = field(default_factory=dict)
    left: int = 0

    @property
    def marks(self) -> list[SiteRow]:
        return [*self.applied, *self.failed]


def plan_pass(
    gateway: Document, rows: list[SiteRow], writer: GatewayWriter, limits: Limits | None = None
) -> ReconcilePlan:
    """The plan that follows from all rows, applied or not, and from the gateway as it is; no operation may be running on it."""
    return _Decision(gateway, rows, writer, limits).plan()


def gather_wait(
    rows: list[SiteRow], on_their_way: int, now: datetime, gather_seconds: float, gateways: int = 1
) -> float:
    """Seconds until it is asked again whether a PUT may be sent; 0 when it may.

    It may when no site has arrived for one gather window and none is on its way, or when the first has waited for about
    as long as a PUT takes: a site that just misses a PUT waits for a whole one. While many deployments are on their way
    a new site waits longer, so that few PUTs bring them all; removals don't. gateways: that share the hub, which writes the
    peerings of all their spokes one after the other.
    """
    arrivals = [parse_timestamp(row.since) for row in rows if row.is_waiting]
    if not arrivals:
        return 0.0
    removals = [parse_timestamp(row.since) for row in rows if row.is_waiting and row.asks_for_removal]
    most = GATHER_WINDOWS + WINDOWS_A_PEERING * on_their_way * gateways
    quiet = gather_seconds - (now - max(arrivals)).total_seconds()
    patience = most * gather_seconds - (now - min(arrivals)).total_seconds()
    if removals:
        patience = min(patience, GATHER_WINDOWS * gather_seconds - (now - min(removals)).total_seconds())
    if on_their_way:
        quiet = max(quiet, WINDOWS_BETWEEN_PASSES * gather_seconds)
    return max(min(quiet, patience, WINDOWS_BETWEEN_PASSES * gather_seconds), 0.0)


class _Decision:
    def __init__(self, gateway: Document, rows: list[SiteRow], writer: GatewayWriter, limits: Limits | None) -> None:
        self.live = gateway
        self.limits = limits or limits_of(gateway)
        self.numbered = with_all_numbered(gateway)
        self.rows = in_order_of_arrival(rows)
        self.resurrected = resurrected(gateway, writer)
        self.names = [*names_of_ours(rows), *(names for _, names in self.resurrected)]
        # What a PUT left `Failed` is in the document, and not in the gateway.
        self.succeeded = provisioning_state(gateway).lower() == "succeeded"
        self.limit = writer.limit
        self.unmanaged = unmanaged_rules(self.numbered, self.names)
        self.unmanaged_numbers = {number for rule in self.unmanaged if (number := priority_of(rule)) is not None}
        self.taken = self.unmanaged_numbers | {row.priority for row in rows if row.priority is not None}
        self.result = ReconcilePlan(capacity=site_capacity(gateway, self.names, self.limits))
        self.sites = 0
        self.removal_planned = False
        self.add: list[dict[str, Element]] = []
        self.changes: list[SiteRow] = []

    def plan(self) -> ReconcilePlan:
        """Order: keep applied sites, then removals (they free capacity), then new sites."""
        for row in self.rows:
            if row.site is not None and row.is_applied:
                self._verify_applied(row)
        self._remove_resurrected()
        for row in self.rows:
            if row.has_failed and not row.is_applied:
                self._clean_up_failed(row)
            elif row.is_waiting and row.site is None:
                self._plan_removal(row)
        for row in self.rows:
            if row.is_waiting and row.site is not None:
                self._plan_addition(row)
        result = self.result
        if self.add or result.removed or not self.succeeded:
            document = edited(self.numbered, self.add, result.removed.values())
            if document != self.live or not self.succeeded:
                result.document = document
        result.batch = {row.client: row.desired_version for row in self.changes}
        unowned = {row.client for row in self.rows if not row.owned}
        result.newly_owned = tuple(row.client for row in result.prepared if row.client in unowned)
        decided = len(result.applied) + len(result.failed) + len(result.gone)
        result.left = sum(1 for row in self.rows if row.is_waiting or row.client in result.repaired) - decided
        return result

    # --- each kind of row ---

    def _verify_applied(self, row: SiteRow) -> None:
        """An applied site has to be there; a client that wrote an older document may have removed it."""
        self.sites += 1
        planned = self._planned(row)
        if isinstance(planned, Failure):
            # Its frontend is gone, or its host name is taken: what is there is left alone.
            if not is_whole(self.live, row.names):
                self.result.unrepairable[row.client] = planned
            return
        row, elements = planned
        if differences(self.live, elements):
            self.result.repaired.append(row.client)
            if not self._batch_is_full():
                self._change(replace(row, applied_version=0), elements)

    def _remove_resurrected(self) -> None:
        """A removed site that another client's stale document has put there again."""
        requested = {row.client for row in self.rows}
        for client, names in self.resurrected:
            if client not in requested:
                self.result.repaired.append(client)
                self._remove(client, names)

    def _clean_up_failed(self, row: SiteRow) -> None:
        """A site that failed is taken off again; a removal that failed leaves things as they are."""
        if not row.owned or not present(self.live, row.names):
            return
        if row.site is None:
            self.sites += 1
        else:
            self._remove(row.client, row.names)

    def _plan_removal(self, row: SiteRow) -> None:
        there = row.owned and bool(present(self.live, row.names))
        if not there and (self.succeeded or not row.owned):
            self.result.gone.append(row)
            self.removal_planned = True
            return
        failure = self._unnumbered()
        if there and (users := unmanaged_users(self.live, row.names, self.names)):
            failure = _in_use(self.live, row, users)
        if there and failure:
            self.sites += 1
            self.result.failed.append(row.failed(failure))
            return
        self.removal_planned = True
        if self._batch_is_full():
            if there and not self.succeeded and not row.applied_version:
                # It never came to be: without it the document is nearer to the last one that worked.
                self._remove(row.client, row.names)
            else:
                self.sites += there
            return
        self.changes.append(row)
        if there:
            self._remove(row.client, row.names)

    def _plan_addition(self, row: SiteRow) -> None:
        if not row.owned and (row.client, row.names) in self.resurrected:
            row = replace(row, owned=True)
        planned = self._planned(row)
        if isinstance(planned, Failure):
            if planned.code in _CAPACITY_CODES and self.removal_planned:
                return
            self.result.failed.append(row.failed(planned))
            self._clean_up_failed(row)
            return
        self.sites += 1
        new, elements = planned
        if self.succeeded and row.owned and not differences(self.live, elements):
            self.result.applied.append(new.applied())
            return
        if self._batch_is_full():
            if row.owned and present(self.live, row.names):
                self._remove(row.client, row.names)
            return
        self._change(replace(new, owned=True), elements)

    # --- inside ---

    def _batch_is_full(self) -> bool:
        return self.limit is not None and len(self.changes) >= self.limit

    def _change(self, row: SiteRow, elements: dict[str, Element]) -> None:
        self.changes.append(row)
        self.add.append(elements)
        if row not in self.rows:
            self.result.prepared.append(row)

    def _remove(self, client: str, names: SiteNames) -> None:
        if not unmanaged_users(self.live, names, self.names):
            self.result.removed[client] = names

    def _unnumbered(self) -> Failure | None:
        """ARM refuses every document in which some rules have a priority and others have none."""
        return no_priority_beside_others(self.live, self.unmanaged)

    def _planned(self, row: SiteRow) -> tuple[SiteRow, dict[str, Element]] | Failure:
        """The row with its number, and its elements; or what forbids the site."""
        if not row.owned and (taken := present(self.live, row.names)):
            return _names_taken(self.live, taken)
        if not row.owned and self.sites >= self.result.capacity:
            return no_capacity_left(self.live, self.result.capacity, self.sites, self.limits)
        site = row.site
        assert site is not None
        frontend = frontend_of(self.live, site)
        if isinstance(frontend, Failure):
            return frontend
        if failure := self._unnumbered() or host_conflict(
            self.live, row.names, site.host_name, frontend, wildcards=False
        ):
            return failure
        ceiling = ceiling_for(self.numbered, self.unmanaged, site.host_name, frontend)
        number = row.priority
        if number is None or number >= ceiling.number or number in self.unmanaged_numbers:
            number = next_priority(ceiling, self.taken)
            if number is None and row.is_applied:
                number = row.priority
            if number is None:
                return no_priority_left(self.numbered, self.unmanaged, self.taken, site.host_name, frontend)
            self.taken.add(number)
            row = replace(row, priority=number)
        return row, site_elements(self.live, row.names, site, frontend, number)


def resurrected(gateway: Document, writer: GatewayWriter) -> list[tuple[str, SiteNames]]:
    """`(client, names)` of removed sites that the gateway has again, just as they were: a stale document came after ours.

    What differs in the least is unmanaged by now.
    """
    return [
        (client, gone.names)
        for client, gone in writer.removed.items()
        if present(gateway, gone.names) and elements_digest(gateway, gone.names) == gone.digest
    ]


def put_was_applied(gateway: Document, rows: list[SiteRow], writer: GatewayWriter) -> bool:
    """Whether a PUT whose answer was lost is in the document: each site of its batch is as it was to be.

    Not known, and so False, for a batch of nothing and for rows that were changed since.
    """
    batch = [row for row in rows if writer.batch.get(row.client) == row.desired_version]
    return bool(batch) and len(batch) == len(writer.batch) and all(_is_as_sent(gateway, row) for row in batch)


def _is_as_sent(gateway: Document, row: SiteRow) -> bool:
    if row.site is None:
        return not present(gateway, row.names)
    desired = _desired_elements(gateway, row)
    return bool(desired) and not differences(gateway, desired)


def _desired_elements(gateway: Document, row: SiteRow) -> dict[str, Element]:
    """The elements of a row's site by the number that it was given; none when it has none, or no frontend any more."""
    if row.site is None or row.priority is None:
        return {}
    frontend = frontend_of(gateway, row.site)
    return {} if isinstance(frontend, Failure) else site_elements(gateway, row.names, row.site, frontend, row.priority)


def drifted(gateway: Document, rows: list[SiteRow], batch: dict[str, int]) -> list[SiteRow]:
    """Rows of a batch whose PUT has succeeded, whose elements are all there, and yet not as they were sent.

    Sending the same again would go on for ever: they fail, with what differs.
    """
    found = []
    for row in rows:
        if batch.get(row.client) != row.desired_version:
            continue
        differing = differences(gateway, _desired_elements(gateway, row))
        if differing and is_whole(gateway, row.names):
            failure = Failure(
                AzureResourceException,
                "GatewayChangedSite",
                f"The Application Gateway took the site of {row.client}, but holds it otherwise: {', '.join(differing)}.",
                "The gateway's activity log in the Portal tells who changed them, an Azure Policy perhaps; then retry.",
                {"elements": differing},
            )
            found.append(row.failed(failure))
    return found


def _names_taken(gateway: Document, taken: list[str]) -> Failure:
    return Failure(
        AzureResourceException,
        "NameTaken",
        f"The Application Gateway {gateway.get('name')} already has {', '.join(taken)}, which isn't ours.",
        "Choose another client_name, backend_pool_name or routing_rule_name, or remove that element.",
        {"kind": "gateway_element", "elements": taken},
    )


def _in_use(gateway: Document, row: SiteRow, users: list[str]) -> Failure:
    return Failure(
        AzureResourceException,
        "SiteInUse",
        f"{', '.join(users)} on the Application Gateway {gateway.get('name')} still refers to the site of {row.client}.",
        "Remove that reference, then delete again.",
        {"elements": users},
    )

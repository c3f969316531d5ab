"""One look at the gateway: which rows it holds, which can't be had, and the one document that it should have. Pure."""

from dataclasses import dataclass, field, replace

from shared.errors import Failure
from shared.gateway.capacity import no_place_left, places_of, provisioning_state
from shared.gateway.document import Document, Element, differences, edited, element_named, foreign_users, present
from shared.gateway.priorities import (
    ceiling_for,
    foreign_rules,
    next_priority,
    no_priority_left,
    priority_of,
    with_all_numbered,
)
from shared.gateway.rows import GatewayWriter, SiteNames, SiteRow, in_order_of_arrival
from shared.gateway.sites import Frontend, frontend_of, host_conflict, site_elements


@dataclass
class Round:
    """What a look decides.

    document: what the gateway should have, None when it has it.  batch: the waiting rows that it changes.
    applied, failed: rows that are decided now.  gone: rows whose farewell is done.  prepared: rows that have to be
    written before the PUT, with their priority and `owned`.  repaired: sites that were there and have to be put back.
    left: how many rows wait after this.
    """

    places: int
    document: Document | None = None
    batch: dict[str, int] = field(default_factory=dict)
    applied: list[SiteRow] = field(default_factory=list)
    failed: list[SiteRow] = field(default_factory=list)
    gone: list[SiteRow] = field(default_factory=list)
    prepared: list[SiteRow] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    left: int = 0

    @property
    def marks(self) -> list[SiteRow]:
        return [*self.applied, *self.failed]


def decide(gateway: Document, rows: list[SiteRow], writer: GatewayWriter, most: int | None = None) -> Round:
    """The round that follows from all rows, applied or not, and from the gateway as it is, which must be at rest."""
    return _Decision(gateway, rows, writer, most).round()


class _Decision:
    def __init__(self, gateway: Document, rows: list[SiteRow], writer: GatewayWriter, most: int | None) -> None:
        self.live = gateway
        self.numbered = with_all_numbered(gateway)
        self.rows = in_order_of_arrival(rows)
        self.names = [row.names for row in rows]
        # What a PUT left `Failed` is in the document, and not in the gateway.
        self.succeeded = provisioning_state(gateway).lower() == "succeeded"
        self.limit = writer.limit
        self.foreign = foreign_rules(self.numbered, self.names)
        foreign_numbers = {number for rule in self.foreign if (number := priority_of(rule)) is not None}
        self.foreign_numbers = foreign_numbers
        self.taken = foreign_numbers | {row.priority for row in rows if row.priority is not None}
        self.result = Round(places=places_of(gateway, rows, most))
        self.sites = 0
        self.add: list[dict[str, Element]] = []
        self.remove: list[SiteNames] = []
        self.changes: list[SiteRow] = []

    def round(self) -> Round:
        for row in self.rows:
            if row.site is not None and row.is_applied:
                self._keep(row)
        for row in self.rows:
            if row.has_failed and not row.is_applied:
                self._clear(row)
            elif row.is_waiting and row.site is None:
                self._bid_farewell(row)
            elif row.is_waiting:
                self._take_up(row)
        result = self.result
        if self.add or self.remove or not self.succeeded:
            document = edited(self.numbered, self.add, self.remove)
            if document != self.live or not self.succeeded:
                result.document = document
        result.batch = {row.client: row.desired_version for row in self.changes}
        decided = len(result.applied) + len(result.failed) + len(result.gone)
        result.left = sum(1 for row in self.rows if row.is_waiting or row.client in result.repaired) - decided
        return result

    # --- each kind of row ---

    def _keep(self, row: SiteRow) -> None:
        """A site that was there has to be there; somebody who knew an older document may have removed it."""
        self.sites += 1
        planned = self._planned(row)
        if isinstance(planned, Failure):
            return  # its frontend is gone: what is there is left alone
        row, elements = planned
        if differences(self.live, elements):
            self.result.repaired.append(row.client)
            self.result.prepared.append(row)
            self.add.append(elements)

    def _clear(self, row: SiteRow) -> None:
        """A site that failed is taken off again; a farewell that failed leaves things as they are."""
        if row.site is not None and row.owned and present(self.live, row.names):
            self._remove(row)

    def _bid_farewell(self, row: SiteRow) -> None:
        there = row.owned and bool(present(self.live, row.names))
        if not there and (self.succeeded or not row.owned):
            self.result.gone.append(row)
            return
        if there and (users := foreign_users(self.live, row.names, self.names)):
            self.result.failed.append(row.failed(_in_use(self.live, row, users)))
            return
        if self._batch_is_full():
            return
        self.changes.append(row)
        if there:
            self._remove(row)

    def _take_up(self, row: SiteRow) -> None:
        failure = self._obstacle(row)
        planned = failure or self._planned(row)
        if isinstance(planned, Failure):
            self.result.failed.append(row.failed(planned))
            self._clear(row)
            return
        self.sites += 1
        new, elements = planned
        if self.succeeded and row.owned and not differences(self.live, elements):
            self.result.applied.append(new.applied())
            return
        if self._batch_is_full():
            if row.owned and present(self.live, row.names):
                self._remove(row)
            return
        self.changes.append(row)
        self.add.append(elements)
        new = replace(new, owned=True)
        if new != row:
            self.result.prepared.append(new)

    # --- inside ---

    def _batch_is_full(self) -> bool:
        return self.limit is not None and len(self.changes) >= self.limit

    def _remove(self, row: SiteRow) -> None:
        if not foreign_users(self.live, row.names, self.names):
            self.remove.append(row.names)

    def _obstacle(self, row: SiteRow) -> Failure | None:
        """What forbids a site, apart from numbers: names that are somebody else's, its host name, no room."""
        if not row.owned and (taken := present(self.live, row.names)):
            return _names_taken(self.live, taken)
        if not row.owned and self.sites >= self.result.places:
            return no_place_left(self.live, self.result.places, self.sites)
        assert row.site is not None
        frontend = frontend_of(self.live, row.site)
        if isinstance(frontend, Frontend):
            return host_conflict(self.live, row.names, row.site.host_name, frontend, wildcards=False)
        return frontend

    def _planned(self, row: SiteRow) -> tuple[SiteRow, dict[str, Element]] | Failure:
        """The row with its number, and its elements."""
        site = row.site
        assert site is not None
        frontend = frontend_of(self.live, site)
        if isinstance(frontend, Failure):
            return frontend
        ceiling = ceiling_for(self.numbered, self.foreign, site.host_name, frontend)
        number = row.priority
        if number is None or number >= ceiling.number or number in self.foreign_numbers:
            number = next_priority(ceiling, self.taken)
            if number is None and row.is_applied:
                number = row.priority
            if number is None:
                return no_priority_left(self.live, ceiling)
            self.taken.add(number)
            row = replace(row, priority=number)
        return row, site_elements(self.live, row.names, site, frontend, number)


def landed(gateway: Document, rows: list[SiteRow], writer: GatewayWriter) -> bool:
    """Whether a PUT whose answer was lost is in the document: each site of its batch is as it was to be.

    Not known, and so False, for a batch of nothing and for rows that were changed since.
    """
    batch = [row for row in rows if row.client in writer.batch]
    if not batch or len(batch) < len(writer.batch):
        return False
    for row in batch:
        if row.desired_version != writer.batch[row.client]:
            return False
        if row.site is None:
            if present(gateway, row.names):
                return False
            continue
        frontend = frontend_of(gateway, row.site)
        if isinstance(frontend, Failure) or row.priority is None:
            return False
        if differences(gateway, site_elements(gateway, row.names, row.site, frontend, row.priority)):
            return False
    return True


def unkept(gateway: Document, rows: list[SiteRow], batch: dict[str, int]) -> list[SiteRow]:
    """Rows of a batch whose PUT has succeeded, whose elements are all there, and yet not as they were sent.

    Sending the same again would go on for ever: they fail, with what differs.
    """
    found = []
    for row in rows:
        if batch.get(row.client) != row.desired_version or row.site is None or row.priority is None:
            continue
        frontend = frontend_of(gateway, row.site)
        if isinstance(frontend, Failure):
            continue
        wanted = site_elements(gateway, row.names, row.site, frontend, row.priority)
        differing = differences(gateway, wanted)
        complete = all(element_named(gateway, kind, each["name"]) for kind, each in wanted.items())
        if differing and complete:
            failure = Failure(
                "AzureResourceException",
                "GatewayChangedSite",
                f"The Application Gateway took the site of {row.client}, but holds it otherwise: {', '.join(differing)}.",
                "Compare the elements in the Portal with those in docs/architecture.md.",
                {"elements": differing},
            )
            found.append(row.failed(failure))
    return found


def _names_taken(gateway: Document, taken: list[str]) -> Failure:
    return Failure(
        "AzureResourceException",
        "GatewayNameTaken",
        f"The Application Gateway {gateway.get('name')} already has {', '.join(taken)}, which isn't ours.",
        "Choose another client_name, backend_pool_name or routing_rule_name, or remove that element.",
        {"elements": taken},
    )


def _in_use(gateway: Document, row: SiteRow, users: list[str]) -> Failure:
    return Failure(
        "AzureResourceException",
        "SiteInUse",
        f"{', '.join(users)} on the Application Gateway {gateway.get('name')} still refers to the site of {row.client}.",
        "Remove that reference, then delete again.",
        {"elements": users},
    )

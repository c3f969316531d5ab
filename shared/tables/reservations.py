"""What a spoke takes for itself before it is built: one transaction, so that of racers exactly one wins.

The rows: `key` (of the Idempotency-Key), `spoke`, `run`, `client`, `vm`, `host`, `block`, `slot`, and the names in Azure
that a caller may choose (`vnet`, `pool`, `rule`). All are inserted or none is, so a loser leaves nothing behind. Each
carries the id of the run that made the spoke and a token of the one call that wrote it: a row with our token means that
our own transaction went through and its reply was lost.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from shared.clock import nonce, timestamp, utc_now
from shared.errors import DeploymentException, HubSpokeException, StorageException
from shared.process import logs
from shared.settings import Settings, at, current_settings, has_several_hubs
from shared.spoke import names as naming
from shared.spoke.plan import SpokePlan
from shared.spoke.records import (
    RunRow,
    SpokeRow,
    block_key,
    client_key,
    exclusive_keys,
    names_without_gateway,
    run_key,
    slot_key,
    spoke_key,
    vnet_key,
)
from shared.tables.client import ConcurrentUpdate, Partition, Write, hub_rows, write_over
from shared.tables.codec import as_entity, from_entity
from shared.tables.idempotency import (
    KEY_LIFE,
    IdempotencyKey,
    claim_key,
    give_key_back,
    has_expired,
    note_new_hubs,
    used_with_another_body,
)
from shared.tables.marker import ensure_marker
from shared.tables.places import (
    forget_deployment_id,
    free_slots,
    gateway_of,
    gateways_of,
    new_deployment_id,
    places,
    spokes_of_former_hubs,
    used_slots,
)
from shared.tables.records import new_run

T = TypeVar("T")

log = logging.getLogger(__name__)

RESERVATIONS = ("client:", "vm:", "host:", "block:", "vnet:", "pool:", "rule:", "slot:")
TRIES = 24


@dataclass(frozen=True)
class ReservationRequest:
    """What a caller asks for.

    spoke_id: None lets the table choose.  request: the body, for a retry.  plan_for: the plan for an id and a run, on the
    present gateway.  gateways: those that may serve it, of the present hub; none for its only one.
    retry_of: the `failed` spoke that is to be built again.
    """

    client: str
    client_name: str
    request: dict[str, Any]
    plan_for: Callable[[int, str], SpokePlan]
    gateways: tuple[Settings, ...] = ()
    spoke_id: int | None = None
    key: IdempotencyKey | None = None
    retry_of: SpokeRow | None = None


@dataclass(frozen=True)
class Reservation:
    """What was reserved. repeated: the present states of the run and of its spoke, when an earlier request with the same
    Idempotency-Key had reserved it."""

    deployment_id: str
    spoke_id: int
    repeated: tuple[str, str] | None = None


def reserve(requested: ReservationRequest, settings: Settings) -> Reservation:
    """Takes everything that the spoke needs, or raises: 409 naming the row that conflicts, or for a key whose spoke is gone,
    422 for a key with another body.

    `ConcurrentUpdate` when a retry's spoke was retried or removed by another call meanwhile.
    """
    return _Reserving(requested, settings).reserve()


def preview(requested: ReservationRequest, settings: Settings) -> tuple[SpokePlan, list[dict[str, Any]]]:
    """The plan that `reserve` would make now, and everything that would be in its way; takes nothing."""
    return _Reserving(requested, settings).preview()


def release(run: RunRow) -> None:
    """Frees what the run's spoke holds. Can be repeated: only rows that are there and its own go, together.

    `ConcurrentUpdate` when one of them moved meanwhile. The rows `spoke`, `run` and `key` stay.
    """
    rows = hub_rows()
    rows.delete_together(_held_by(run.plan, rows))


def holds_reservations(plan: SpokePlan) -> bool:
    """Whether anything is reserved for a spoke."""
    return bool(_held_by(plan, hub_rows()))


def _held_by(plan: SpokePlan, rows: Partition) -> list[Any]:
    keys = [key for key, _, _ in [*exclusive_keys(plan), *names_without_gateway(plan)]]
    found = [row for row in map(rows.get, keys) if row is not None]
    found += rows.range("slot:", "deployment_id eq @made_by", made_by=plan.made_by)
    return [row for row in found if row["deployment_id"] == plan.made_by]


def reservations_by_deployment() -> dict[str, list[Any]]:
    """All reservations that there are, by the run that made their spoke."""
    rows, found = hub_rows(), dict[str, list[Any]]()
    for kind in RESERVATIONS:
        for row in rows.range(kind):
            found.setdefault(row["deployment_id"], []).append(row)
    return found


def forget_spoke(spoke: SpokeRow) -> None:
    """Takes the row of a `failed` spoke away: its id answers 404 and is free. `ConcurrentUpdate` when it moved meanwhile."""
    rows = hub_rows()
    row = rows.get(spoke_key(spoke.spoke_id))
    if row is None:
        return
    if row["status"] != "failed" or row["deployment_id"] != spoke.deployment_id:
        raise ConcurrentUpdate
    rows.delete_together([row])


def _taken_by(plan: SpokePlan) -> list[tuple[str, str, str]]:
    """All keys that a new spoke takes."""
    first = gateways_of(current_settings())[0].hub_agw_name
    return exclusive_keys(plan) + (names_without_gateway(plan) if plan.gateway.lower() == first.lower() else [])


class _Taken(DeploymentException):
    """Another spoke has it: 409, unless the Idempotency-Key says otherwise."""


class _Reserving:
    """One POST's way to its rows."""

    def __init__(self, requested: ReservationRequest, settings: Settings) -> None:
        self.request = requested
        self.settings = settings
        self.rows = Partition(settings.hub_key)
        # Of the hub in which the Idempotency-Key is used.
        self.key_rows: Partition = self.rows
        self.gateways = requested.gateways or (settings,)
        self._expired_key: str | None = None  # the ETag of its row
        self._claimed_id = ""

    def reserve(self) -> Reservation:
        ensure_marker(self.rows)
        note_new_hubs()
        key = self.request.key
        if key is not None:
            self.key_rows = Partition(claim_key(key))
        try:
            return self._reserve()
        except HubSpokeException as refused:
            if isinstance(refused, StorageException) and not isinstance(refused, ConcurrentUpdate):
                raise  # it may have been written all the same
            if key is not None and self.key_rows.get(key.row_key) is None:
                give_key_back(key)
            if self._claimed_id:
                forget_deployment_id(self._claimed_id)
            raise

    def _reserve(self) -> Reservation:
        try:
            for attempt in range(TRIES):
                if (before := self._repeated()) is not None:
                    return before
                if (made := self._try(attempt)) is not None:
                    return made
        except _Taken:
            # The winner may be the same request, sent twice at once.
            if (before := self._repeated()) is not None:
                return before
            raise
        raise DeploymentException(
            f"Too many deployments began at this moment: {TRIES} tries lost the race for a free id or place.",
            code="TooManyAtOnce",
            hint="Send the request again.",
            tries=TRIES,
        )

    def preview(self) -> tuple[SpokePlan, list[dict[str, Any]]]:
        conflicts: list[_Taken] = []

        def kept(look: Callable[[], T], otherwise: T) -> T:
            try:
                return look()
            except _Taken as taken:
                conflicts.append(taken)
                return otherwise

        if (spoke_id := self.request.spoke_id) is not None:
            kept(partial(self._row_to_replace, spoke_id), None)
        else:
            spoke_id = kept(lambda: self._free_id(0), 1)
        gateway, _ = kept(lambda: self._free_slot(0), (self.gateways[0], 0))
        with at(gateway):
            plan = self.request.plan_for(spoke_id, "plan")
        found = ((field, value, self.rows.get(key)) for key, field, value in _taken_by(plan))
        conflicts += [_in_use(*each) for each in found if each[2] is not None]
        return plan, [conflict.failure.public() for conflict in conflicts]

    # --- one try ---

    def _try(self, attempt: int) -> Reservation | None:
        """One transaction. None when another call was faster and there is still something to choose."""
        if (spoke_id := self.request.spoke_id) is not None:
            replaced = self._row_to_replace(spoke_id)
        else:
            spoke_id = self._free_id(attempt)
            replaced = self.rows.get(spoke_key(spoke_id))
            if replaced is not None and replaced["status"] != "failed":
                return None
        gateway, slot = self._free_slot(attempt)
        token = nonce()
        deployment_id = self._deployment_id()
        with at(gateway):
            plan = self.request.plan_for(spoke_id, deployment_id)
        operations = self._operations(plan, slot, token, replaced)
        made = Reservation(deployment_id, spoke_id)
        if self.rows.submit(operations, won=lambda: self.rows.has_token(client_key(plan.client), token)):
            with logs.context(deployment_id=deployment_id, spoke_id=spoke_id):
                log.info("Spoke %d is reserved for %s", spoke_id, self.request.client_name)
            return made
        self._raise_for_conflict(plan)
        return None

    def _operations(self, plan: SpokePlan, slot: int, token: str, replaced: Any) -> list[Write]:
        run = new_run(plan.made_by, "deploy", plan)
        spoke = SpokeRow(
            plan.spoke_id,
            plan.client_name,
            "accepted",
            plan.made_by,
            plan,
            slot,
            self.request.request,
            created_at=run.created_at,
            first_run=self.request.retry_of.first_run if self.request.retry_of else "",
        )
        over = replaced.metadata["etag"] if replaced else None
        operations: list[Write] = []
        if self.request.key is not None:
            entity = self._row(self.request.key.row_key, plan, token) | {
                "fingerprint": self.request.key.fingerprint,
                "expires_at": timestamp(utc_now() + KEY_LIFE),
            }
            operations.append(write_over(entity, self._expired_key))
        operations += [write_over(as_entity(spoke, self.rows.key), over), ("create", as_entity(run, self.rows.key))]
        keys = [key for key, _, _ in _taken_by(plan)] + [slot_key(slot, plan.gateway)]
        return operations + [("create", self._row(key, plan, token)) for key in keys]

    def _row(self, key: str, plan: SpokePlan, token: str) -> dict[str, Any]:
        return {
            "PartitionKey": self.settings.hub_key,
            "RowKey": key,
            "deployment_id": plan.made_by,
            "spoke_id": plan.spoke_id,
            "client_name": plan.client_name,
            "token": token,
        }

    # --- what there is to choose ---

    def _row_to_replace(self, spoke_id: int) -> Any:
        """The `failed` row that a requested id may take the place of; `_Taken` when the id is in use.

        `ConcurrentUpdate` when a retry's spoke isn't any more as it was read: the caller decides anew.
        """
        row = self.rows.get(spoke_key(spoke_id))
        if (former := spokes_of_former_hubs().get(spoke_id)) is not None:
            raise _in_use("spoke_id", spoke_id, former)
        before = self.request.retry_of
        if before is not None and (row is None or row["deployment_id"] != before.deployment_id):
            raise ConcurrentUpdate
        if row is not None and row["status"] != "failed":
            raise _in_use("spoke_id", spoke_id, row)
        return row

    def _free_id(self, attempt: int) -> int:
        """The lowest id without a record; after a lost race another, in an order that the client's name decides."""
        pool, length = self.settings.spoke_address_pool, self.settings.spoke_prefix_length
        first, last = self.settings.first_spoke_id, self.settings.last_spoke_id
        rows = {row["spoke_id"]: row["status"] for row in self.rows.range("spoke:", select=("spoke_id", "status"))}
        rows |= dict.fromkeys(spokes_of_former_hubs(), "of a former hub")
        taken = {row["RowKey"] for kind in ("block:", "vnet:") for row in self.rows.range(kind, select=("RowKey",))}

        def is_free(number: int) -> bool:
            address = pool.network_address + (number - first + 1) * 2 ** (32 - length)
            if block_key(f"{address}/{length}") in taken:
                return False
            # A caller may have chosen the very name that this number's VNet would get.
            return "vnet_name" in self.request.request or vnet_key(naming.vnet_name(number)) not in taken

        new = (number for number in range(first, last + 1) if number not in rows and is_free(number))
        chosen = next(new, None) if attempt == 0 else _by_name(self.request.client, attempt, list(islice(new, 256)))
        if chosen is None:
            failed = [number for number in sorted(rows) if rows[number] == "failed" and is_free(number)]
            chosen = _by_name(self.request.client, attempt, failed)
        if chosen is None:
            raise _Taken(
                f"All {last - first + 1} spoke ids are in use.",
                code="NoFreeSpokeId",
                hint="Delete a spoke, or widen SPOKE_ADDRESS_POOL.",
                field="spoke_id",
                used=last - first + 1,
                limit=last - first + 1,
            )
        return chosen

    def _free_slot(self, attempt: int) -> tuple[Settings, int]:
        """A place on the gateway with the most free ones, of which racers look for theirs in different orders, so that few
        meet. A retry stays on its gateway as long as that has one."""
        taken = used_slots(self.rows, self.settings)
        limits = [places(gateway) for gateway in self.gateways]
        free = [
            (gateway, free_slots(taken[gateway.hub_agw_name.lower()], limit))
            for gateway, limit in zip(self.gateways, limits, strict=True)
        ]
        # Racers see the same numbers: among gateways that are alike their names decide, so that they spread.
        gateway, numbers = max(
            free,
            key=lambda each: (
                bool(each[1]) and self._was_on(each[0]),
                len(each[1]),
                _digest(self.request.client, attempt, each[0].hub_agw_name),
            ),
        )
        chosen = _by_name(self.request.client, attempt, numbers)
        if chosen is None:
            names = ", ".join(each.hub_agw_name for each in self.gateways)
            used = sum(len(taken[each.hub_agw_name.lower()]) for each in self.gateways)
            raise _Taken(
                f"The gateway {names} has no place left: {used} of {sum(limits)} are taken.",
                code="GatewayFull",
                hint="Delete a spoke, or use another gateway; GET /api/capacity shows what is left.",
                used=used,
                limit=sum(limits),
            )
        return gateway, chosen

    def _was_on(self, gateway: Settings) -> bool:
        before = self.request.retry_of
        return before is not None and gateway_of(before.plan, gateway).gateway_key == gateway.gateway_key

    def _deployment_id(self) -> str:
        """A new one for each try; where there are several hubs one for all, because each takes a row of its own."""
        if not (self._claimed_id and has_several_hubs()):
            self._claimed_id = new_deployment_id("deploy", self.request.client)
        return self._claimed_id

    # --- conflicts ---

    def _repeated(self) -> Reservation | None:
        """The reservation that an earlier request with this key made, as it is now. 422 when its body was another one, 409 when
        its spoke is gone, also when another has the id now."""
        if self.request.key is None:
            return None
        row_key = self.request.key.row_key
        row = self.key_rows.get(row_key)
        if row is None or has_expired(row):
            expired = row if self.key_rows.key == self.rows.key else self.rows.get(row_key)
            self._expired_key = expired.metadata["etag"] if expired else None
            return None
        if row["fingerprint"] != self.request.key.fingerprint:
            raise used_with_another_body(deployment_id=row["deployment_id"])
        deployment_id, spoke_id = row["deployment_id"], row["spoke_id"]
        run, spoke = self.key_rows.get(run_key(deployment_id)), self.key_rows.get(spoke_key(spoke_id))
        if run is None or spoke is None or from_entity(SpokeRow, spoke).first_run != deployment_id:
            raise DeploymentException(
                "The spoke that this Idempotency-Key began has been deleted.",
                code="IdempotencyKeySpent",
                hint="Send a new key to make a new spoke; this one is free again 24 hours after its first use.",
                field="Idempotency-Key",
                value=None,
                deployment_id=deployment_id,
            )
        return Reservation(deployment_id, spoke_id, repeated=(run["status"], spoke["status"]))

    def _raise_for_conflict(self, plan: SpokePlan) -> None:
        """Raises when no other try could work; returns when an id or a place was lost and others may be free."""
        if self.request.spoke_id is not None:
            self._row_to_replace(self.request.spoke_id)
        follow_from_the_id = {"address_prefix", "vnet_name"} - self.request.request.keys()
        for key, field, value in _taken_by(plan):
            if self.request.spoke_id is None and field in follow_from_the_id:
                continue
            row = self.rows.get(key)
            if row is not None:
                raise _in_use(field, value, row)


def _by_name(client: str, attempt: int, numbers: list[int]) -> int | None:
    """One of the numbers; which one depends on the client's name and the attempt only."""
    return min(numbers, key=lambda number: _digest(client, attempt, number), default=None)


def _digest(client: str, attempt: int, what: object) -> bytes:
    return hashlib.sha256(f"{client}\n{attempt}\n{what}".encode()).digest()


def _in_use(field: str, value: Any, row: dict[str, Any]) -> _Taken:
    hint = "Choose another one, or delete that spoke first."
    if field == "spoke_id":
        sentence = f"Spoke ID {value} already exists: it belongs to {row['client_name']} and is {row['status']}."
        hint = "Leave spoke_id out to get a free one, or delete that spoke first."
    elif field == "client_name" and row["client_name"] != value:
        sentence = (
            f"client_name {value!r} makes the same names as {row['client_name']!r}, which spoke {row['spoke_id']} has."
        )
    else:
        sentence = f"{field} {value} is in use by spoke {row['spoke_id']} ({row['client_name']})."
    holder = {name: row[name] for name in ("spoke_id", "client_name", "deployment_id", "status") if name in row}
    return _Taken(sentence, code="NameTaken", hint=hint, kind=field, field=field, value=value, held_by=holder)

"""The passes of the gateway's writer: read, mark, write once; and the poll of what was written.

Each can be repeated, and be broken off anywhere: what is known is in the rows and in the gateway itself. They answer with
data whatever happens: `{"state", "wait"}`, what changes of the state, or `{"end": True}` when no row is pending.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from shared.arm.client import arm, describe
from shared.arm.failures import STAYS, ArmError
from shared.checks.snapshot import gateway_limits
from shared.clock import nonce, timestamp, utc_now
from shared.data import as_data, from_data
from shared.errors import AzureResourceException, Failure, StorageException
from shared.process.logs import failure_of
from shared.saga.outcomes import Operation
from shared.saga.policy import WriterPolicy, longest_request
from shared.settings import current_settings
from shared.spoke.documents.raw import Document, provisioning_state
from shared.tables.client import ConcurrentUpdate
from shared.tables.places import gateways_of
from shared.timestamps import parse_timestamp
from shared.writers.desired_table import DesiredTable
from shared.writers.gateway.attribution import attribute_failure
from shared.writers.gateway.capacity import is_busy, unsuitable
from shared.writers.gateway.document import elements_digest, is_whole, unmanaged_changes, unmanaged_digests
from shared.writers.gateway.plan_pass import ReconcilePlan, drifted, gather_wait, plan_pass, put_was_applied
from shared.writers.gateway.site_rows import (
    IDLE,
    RUNNING,
    SENDING,
    GatewayWriter,
    SiteRow,
    Tombstone,
    names_of_ours,
    remembered,
)
from shared.writers.instances import call_of_writer
from shared.writers.lease import Lease
from shared.writers.waiting import publish_reason
from shared.writers.writer_tables import deployments_on_their_way, gateway_sites

log = logging.getLogger(__name__)

# A PUT that got one of these may have been taken all the same.
_UNKNOWN = frozenset({0, 408, 500, 502, 504})
Data = dict[str, Any]

_FRESH: Data = {"operation": None, "nonce": None, "ended": None}


def gateway_round(payload: Data, policy: WriterPolicy) -> Data:
    """One pass: compares all rows with the gateway, marks what it holds, and writes it once when something differs.

    payload: `ended` with `nonce` when the operation of that PUT has just ended, how many passes have failed in a row
    (`retries`). Repeatable.
    """
    try:
        return _Pass(payload, policy).answer()
    except ConcurrentUpdate:
        return {"state": {}, "wait": policy.poll_seconds}
    except Exception as error:  # noqa: BLE001 - the boundary: the writer must never fail, its waiters depend on it
        failure = failure_of(error)
        retries = payload.get("retries") or 0
        log.warning("The gateway's writer waits: %s (%s)", failure.message, failure.code)
        if failure.error != StorageException:
            publish_reason(gateway_sites(), failure.message)
        return {"state": {"retries": retries + 1}, "wait": policy.retry_wait(retries, failure.retry_after)}


def poll_gateway(payload: Data, policy: WriterPolicy) -> Data:
    """Polls the PUT's operation once; a transient failure of the poll itself changes nothing. Repeatable."""
    operation = from_data(Operation, payload["operation"])
    try:
        progress = arm().poll(operation)
    except ArmError as error:
        if error.failure.transient:
            publish_reason(gateway_sites(), error.failure.message)
            return {"state": {}, "wait": max(error.failure.retry_after or 0.0, policy.poll_seconds)}
        log.warning("The gateway's operation can't be polled: %s", error.failure.message)
        return {"state": {"operation": None, "ended": {"state": "lost"}}, "wait": 0.0}
    if progress.state == "running":
        return {"state": {}, "wait": current_settings().policy.poll_wait(progress.wait)}
    ended: Data = {"state": progress.state}
    if progress.failure:
        ended |= {"failure": as_data(progress.failure), "codes": list(progress.codes)}
    return {"state": {"operation": None, "ended": ended}, "wait": 0.0}


def _log_what_was_found(decided: ReconcilePlan) -> None:
    if decided.repaired:
        log.warning("Sites of ours were changed on the gateway; repairing them: %s", ", ".join(decided.repaired))
    for client, failure in decided.unrepairable.items():
        log.error("The site of %s is gone from the gateway and can't be put back: %s", client, failure.message)
    for row in decided.failed:
        log.error("The site of %s can't be had: %s", row.client, row.error.message if row.error else "")


class _Pass:
    """One pass: reads, decides by the pure parts, applies."""

    def __init__(self, state: Data, policy: WriterPolicy) -> None:
        self.state = state
        self.policy = policy
        self.arm = arm()
        self.sites: DesiredTable[SiteRow, GatewayWriter] = gateway_sites()
        self.retries: int = state.get("retries") or 0
        self.writer, self.rows = self.sites.everything()

    def answer(self) -> Data:
        writer, ended = self.writer, self.state.get("ended")
        just_ended = bool(ended) and writer.nonce == self.state.get("nonce") and writer.phase != IDLE
        if writer.phase == RUNNING and writer.operation and not just_ended:
            return self._next({"operation": writer.operation, "nonce": writer.nonce, "ended": None}, 0.0)
        if writer.phase == IDLE and (wait := self._gather_wait()) > 0:
            return self._next(_FRESH, wait)
        gateway = self._gateway()
        if gateway is not None and is_busy(gateway):
            publish_reason(gateway_sites(), f"{describe(gateway['id'])} is being written")
            return {"state": {}, "wait": 2 * self.policy.poll_seconds}
        if just_ended:
            self._after_put(gateway, ended or {})
        elif writer.phase == SENDING:
            left = writer.lease.seconds_left(utc_now())
            arrived = gateway is not None and put_was_applied(gateway, self.rows, writer)
            if left > 0 and not arrived:
                return self._next(_FRESH, min(left, 5 * self.policy.poll_seconds))
            self._after_put(gateway, {"state": "lost", "applied": arrived})
        if failure := unsuitable(gateway, failed_by_us=self.writer.our_failure):
            return self._give_up(failure)
        assert gateway is not None
        return self._apply(gateway, plan_pass(gateway, self.rows, self.writer, gateway_limits(self.arm, gateway)))

    # --- a PUT has come to its end ---

    def _after_put(self, gateway: Document | None, ended: Data) -> None:
        """Records the end of our PUT in the writer's row, and its failure in the row of the site that caused it."""
        writer, marks = self.writer.finished(), []
        failed = gateway is not None and provisioning_state(gateway).lower() == "failed"
        ours = ended.get("applied", True)
        if not ours:
            # Perhaps it was never sent. A gateway that is `Failed` now was in order before, or left so by us.
            writer = replace(writer, our_failure=failed)
            # It brings all of a site or nothing.
            marks = [row for row in self._disclaimed() if gateway is not None and not is_whole(gateway, row.names)]
        # When ours has succeeded, another client's change failed after it.
        elif ended["state"] == "failed" or (failed and ended["state"] != "succeeded"):
            failure = from_data(Failure, ended["failure"]) if ended.get("failure") else _unexplained()
            verdict = attribute_failure(failure, tuple(ended.get("codes") or ()), gateway, self.rows, self.writer)
            log.warning("The gateway did not take the change of %d sites: %s", len(writer.batch), failure.message)
            marks = verdict.offenders
            writer = replace(
                writer,
                our_failure=bool(failed),
                limit=verdict.limit,
                blocked_by=verdict.blocked_by,
                unexplained=verdict.unexplained,
                retry_reason=failure.message,
            )
        else:
            self.retries = 0
            # A PUT whose polls failed ended unseen: its time would keep the first poll of the next one waiting.
            if ended["state"] == "succeeded" and writer.began and not writer.retry_reason:
                writer = replace(writer, last_put_seconds=(utc_now() - parse_timestamp(writer.began)).total_seconds())
            writer = replace(writer, our_failure=False, blocked_by=None, unexplained=0)
            if gateway is not None and ended["state"] == "succeeded":
                marks = drifted(gateway, self.rows, self.writer.batch)
        if gateway is not None and ours:
            self._report_unmanaged_changes(gateway)
        self._mark(replace(writer, batch={}), marks)

    def _report_unmanaged_changes(self, gateway: Document) -> None:
        if not (before := self.writer.unmanaged):
            return
        if changes := "; ".join(unmanaged_changes(before, unmanaged_digests(gateway, names_of_ours(self.rows)))):
            log.warning(
                "event=unmanaged_change The gateway was changed by something else during our change: %s", changes
            )

    # --- what the pass decides ---

    def _apply(self, gateway: Document, decided: ReconcilePlan) -> Data:
        _log_what_was_found(decided)
        none_pending = not decided.left and not decided.repaired
        stuck = self.writer.blocked_by is not None
        writer = self._after_plan(gateway, decided, none_pending)
        if decided.marks or decided.gone or writer != self.writer:
            self._mark(writer, decided.marks, decided.gone)
        if decided.document is None and decided.left:
            return self._next(_FRESH, self.policy.gather_seconds)
        if decided.document is None or (none_pending and stuck):
            return {"end": True}
        if stuck and self.state.get("ended"):
            # The same document would fail again at once: an operator gets time to fix this.
            return self._after_failure()
        if decided.batch and (wait := self._gather_wait()) > 0:
            return self._next(_FRESH, wait)
        return self._send(gateway, decided)

    def _after_plan(self, gateway: Document, decided: ReconcilePlan, none_pending: bool) -> GatewayWriter:
        """The writer's row as it is to be before this pass sends anything."""
        ours = self.writer.our_failure and provisioning_state(gateway).lower() == "failed"
        writer = replace(self.writer, capacity=decided.capacity, our_failure=ours)
        if none_pending:
            writer = replace(writer, limit=None, blocked_by=None, unexplained=0, retry_reason="")
        return replace(writer, limit=None) if decided.failed else writer

    def _gather_wait(self) -> float:
        if not any(row.is_waiting for row in self.rows):
            return 0.0
        on_their_way, gateways = deployments_on_their_way(self.rows), len(gateways_of(current_settings()))
        return gather_wait(self.rows, on_their_way, utc_now(), self.policy.gather_seconds, gateways)

    def _after_failure(self, asked: float | None = None) -> Data:
        wait = self.policy.retry_wait(self.retries, asked)
        self.retries += 1
        return self._next(_FRESH, wait)

    def _send(self, gateway: Document, decided: ReconcilePlan) -> Data:
        """Takes the lease, reads once more, and PUTs if the gateway is unchanged."""
        timeout = current_settings().arm_timeout_seconds
        # Time to prepare the request, and then for the request itself.
        lease = Lease.granted(nonce(), utc_now(), longest_request(timeout) + max(min(10.0, timeout), 2.0))
        document, now = decided.document, timestamp()
        assert document is not None
        ours = [row.names for row in self.rows if row.owned or row.client in decided.batch]
        going = {
            client: Tombstone(names, elements_digest(gateway, names), now) for client, names in decided.removed.items()
        }
        fenced = replace(
            self.writer.leased(lease),
            phase=SENDING,
            batch=decided.batch,
            newly_owned=decided.newly_owned,
            began=now,
            unmanaged=unmanaged_digests(document, ours),
            removed=remembered({**self.writer.removed, **going}, utc_now()),
        )
        self._mark(fenced, decided.prepared)
        try:
            again = self._gateway()
        except Exception:
            self._not_sent()
            raise
        if again is None or again.get("etag") != gateway.get("etag") or is_busy(again):
            self._not_sent()
            return self._next(_FRESH, 0.0)
        if not self.writer.lease.allows(utc_now(), longest_request(timeout)):
            log.warning("A pass of the gateway's writer took too long to send; it begins anew")
            self._not_sent()
            return self._next(_FRESH, 0.0)
        try:
            headers = {"If-Match": gateway["etag"]} if gateway.get("etag") else None
            accepted = self.arm.put(self.arm.ids.gateway, document, headers=headers, timeout=timeout)
        except ArmError as error:
            return self._refused(gateway, error)
        log.info("Writing the gateway: %d sites change", len(decided.batch))
        operation = as_data(accepted.operation)
        ended = None if operation else {"state": "succeeded"}
        try:
            self._mark(replace(self.writer, phase=RUNNING, operation=operation, retry_reason=""))
        except Exception as failure:  # noqa: BLE001 - the PUT is under way: what it is called travels in the state
            log.warning("The operation of the gateway's PUT could not be recorded: %s", failure_of(failure).message)
        return self._next({"operation": operation, "nonce": self.writer.nonce, "ended": ended}, self._first_poll())

    def _first_poll(self) -> float:
        """Seconds until a PUT can be over by the last one, and a little less: only so a quicker one is noticed."""
        policy = current_settings().policy
        first = policy.first_poll(0.9 * self.writer.last_put_seconds if self.writer.last_put_seconds else None)
        return policy.poll_wait(None) if first is None else first

    def _not_sent(self, retry_reason: str = "") -> None:
        """The gateway has taken nothing: no lease is needed, and elements with the site's names are unmanaged.

        retry_reason: the reason, when it may last.
        """
        sent = self.writer.nonce
        while self.writer.nonce == sent:
            try:
                writer = replace(
                    self.writer.finished(), batch={}, retry_reason=retry_reason or self.writer.retry_reason
                )
                return self._mark(writer, self._disclaimed())
            except ConcurrentUpdate:  # one of the rows asks for something else by now
                self.writer, self.rows = self.sites.everything()
        raise ConcurrentUpdate

    def _disclaimed(self) -> list[SiteRow]:
        return [replace(row, owned=False) for row in self.rows if row.client in self.writer.newly_owned]

    def _refused(self, gateway: Document, error: ArmError) -> Data:
        failure = error.failure
        if error.status in _UNKNOWN:
            log.warning("The gateway's PUT had no usable answer (%s); reading whether it was applied", failure.code)
            publish_reason(gateway_sites(), failure.message)
            return self._next(_FRESH, self.policy.poll_seconds)
        if error.status == 412:
            self._not_sent()
            return self._next(_FRESH, self.policy.poll_seconds)
        if failure.transient:
            log.warning("The gateway's PUT was refused for now: %s (%s)", failure.message, failure.code)
            self._not_sent(failure.message)
            return self._after_failure(failure.retry_after)
        marks = {row.client: row for row in self._disclaimed()}
        self.rows = [marks.get(row.client, row) for row in self.rows]
        verdict = attribute_failure(failure, error.codes, gateway, self.rows, self.writer)
        marks |= {row.client: row for row in verdict.offenders}
        log.warning("The gateway's PUT was refused: %s (%s)", failure.message, failure.code)
        writer = replace(self.writer.finished(), batch={}, limit=verdict.limit, blocked_by=verdict.blocked_by)
        self._mark(replace(writer, unexplained=verdict.unexplained), list(marks.values()))
        return self._after_failure() if verdict.blocked_by else self._next(_FRESH, 0.0)

    def _give_up(self, failure: Failure) -> Data:
        """A gateway that must not be written: pending rows fail with the reason, the writer ends."""
        gone = [row for row in self.rows if row.is_waiting and row.site is None and not row.owned]
        failed = [row.failed(failure) for row in self.rows if row.is_waiting and row not in gone]
        if failed or gone:
            log.error("%d sites can't be written: %s", len(failed), failure.message)
        writer = replace(self.writer, limit=None, blocked_by=None, unexplained=0, retry_reason="")
        if failed or gone or writer != self.writer:
            self._mark(writer, failed, gone)
        return {"end": True}

    # --- inside ---

    def _gateway(self) -> Document | None:
        """ARM can miss a resource for a moment, and all pending rows would fail for it: so it is asked twice."""
        return self.arm.get(self.arm.ids.gateway) or self.arm.get(self.arm.ids.gateway)

    def _mark(self, writer: GatewayWriter, rows: Sequence[SiteRow] = (), gone: Sequence[SiteRow] = ()) -> None:
        """Writes rows through the fence, and takes them as the current ones. `ConcurrentUpdate` when another writer came between."""
        self.writer = self.sites.mark(writer, rows, gone)
        if rows or gone:
            present, self.rows = self.sites.everything()
            if present.etag != self.writer.etag:
                raise ConcurrentUpdate

    def _next(self, state: Data, wait: float) -> Data:
        return {"state": {**state, "retries": self.retries}, "wait": wait}


def _unexplained() -> Failure:
    """Its explanation went with the operation's URL; another try brings it, before the failure is attributed."""
    message = "The gateway's change failed without an explanation."
    return Failure(AzureResourceException, "GatewayFailed", message, STAYS, transient=True)


ACTIVITIES = (call_of_writer("gateway", passes=True)(gateway_round), call_of_writer("gateway")(poll_gateway))

"""Reads what the checks judge: side by side, and each thing that all spokes have in common once for all who ask.

Ninety-nine deployments that start together share 250 reads of Azure Resource Manager and 25 more a second; without
sharing, their checks alone would use them up.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from shared.arm.client import Arm
from shared.arm.failures import ArmError
from shared.checks.inputs import AzureSnapshot
from shared.checks.roles import app_rights
from shared.checks.subjects.gateway.network import ON_SUBNET, GatewayNetwork, subnet_of_gateway
from shared.checks.subjects.hub import hub_not_found, outbound_is_elsewhere
from shared.checks.subjects.names import possible_conflicts
from shared.checks.subjects.rights import NeededRight, missing_rights, named_by_gateway, needed_rights
from shared.checks.subjects.sizes import Size, size_findings, sizes_in
from shared.clock import utc_now
from shared.errors import Failure
from shared.process.blocking import ARM, side_by_side
from shared.process.deadline import current_deadline, waiting_for
from shared.settings import at
from shared.spoke.documents.raw import Document, id_in
from shared.spoke.documents.security_rules import HubNetwork, hub_network
from shared.spoke.plan import SpokePlan
from shared.spoke.records import RunRow
from shared.spoke.resource_ids import ResourceIds
from shared.tables.places import hubs
from shared.tables.records import Records
from shared.writers.desired_table import Present
from shared.writers.gateway.capacity import Limits, firewall_policy_ids, gateway_not_found, limits_of
from shared.writers.gateway.site_rows import GatewayWriter, SiteRow, site_key
from shared.writers.peering.documents import gateway_ids
from shared.writers.writer_tables import gateway_sites

log = logging.getLogger(__name__)

T = TypeVar("T")

SIDE_BY_SIDE = 8
# How old a shared answer may be: long enough for deployments that start together, too short for anything to have been
# changed by hand in between. The sizes of a region change by the week, and their list is megabytes long.
_COMMON_SECONDS = 0.25
_SIZES_SECONDS = 60.0
_HUB_NETWORK_SECONDS = 5.0
# A call for each scope: long enough for deployments that start together. A right that is missing is asked for again at once.
_RIGHTS_SECONDS = 5.0
_PERMISSIONS = "/providers/Microsoft.Authorization/permissions"


@dataclass
class SharedRead:
    """One answer that several callers share: the first caller that finds it too old reads it anew, while the others wait.

    A failure is shared only with those who had been waiting for it: a later caller is not told of a failure that is over, and a
    hundred callers don't run into the same timeout one after the other.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    asked_at: float | None = None
    answer: Any = None
    failed_at: float | None = None
    failure: Exception | None = None

    def get(self, read: Callable[[], T], seconds: float, clock: Callable[[], float]) -> T:
        """An answer that was asked for after the caller came, or that is at most so many seconds old."""
        came_at = clock()
        with _held(self.lock):
            now = clock()
            if self.failure is not None and self.failed_at is not None and came_at < self.failed_at <= now:
                raise self.failure
            asked_at = self.asked_at
            is_fresh = asked_at is not None and (came_at <= asked_at <= now or 0 <= now - asked_at < seconds)
            if not is_fresh:
                self.asked_at = self.failure = None
                try:
                    self.answer = read()
                except Exception as error:
                    self.failure, self.failed_at = error, clock()
                    raise
                self.asked_at = now
            answer: T = self.answer
        return answer


# By the boundary that read them: another subscription, or a test's next Azure, starts with none.
_shared: WeakKeyDictionary[Arm, dict[str, SharedRead]] = WeakKeyDictionary()
_shared_lock = threading.Lock()


@dataclass(frozen=True)
class _SharedReads:
    """Makes a read one that all spokes share. afresh: nothing is shared with others who look."""

    azure: Arm
    afresh: bool = False

    def __call__(self, name: str, read: Callable[[], T], seconds: float = _COMMON_SECONDS) -> Callable[[], T]:
        if self.afresh:
            return read
        with _shared_lock:
            entry = _shared.setdefault(self.azure, {}).setdefault(name, SharedRead())
        return lambda: entry.get(read, seconds, lambda: utc_now().timestamp())


def read_snapshot(plan: SpokePlan, azure: Arm, *, afresh: bool = False) -> AzureSnapshot:
    """Everything that the checks of a spoke need. What ARM refuses permanently is named in `unread`; a transient failure is raised, so that
    the whole look is taken again, and so is a row of this client's site that can't be read: nothing could be published.

    afresh: nothing is shared with others who look.
    """
    ids, location = azure.ids.of(plan), plan.location
    subscription = ids.spoke_subscription
    # Older plans may be for another group than the settings say.
    own = ids.spoke_group

    common = _SharedReads(azure, afresh=afresh)

    def listed(path: str, **params: str) -> Callable[[], tuple[Document, ...]]:
        return lambda: tuple(azure.get_all(f"{subscription}{path}", params=params or None))

    def read_locks() -> tuple[Document, ...]:
        """Of both subscriptions: locks on the hub and on the gateway count as well."""
        paths = dict.fromkeys((ids.subscription, subscription))
        return tuple(
            lock for path in paths for lock in azure.get_all(f"{path}/providers/Microsoft.Authorization/locks")
        )

    def read_sizes() -> tuple[Size, ...]:
        skus = listed("/providers/Microsoft.Compute/skus", **{"$filter": f"location eq '{location}'"})
        return sizes_in(location, skus())

    def sizes() -> tuple[Size, ...]:
        """An old list may let a size pass, which create_vm then refuses; it may not refuse one by itself."""
        kept = common(f"sizes {location}", read_sizes, _SIZES_SECONDS)()
        return common(f"sizes {location}", read_sizes)() if size_findings(plan, kept) else kept

    group = ids.spoke_resource_group
    reads: dict[str, Callable[[], Any]] = {
        "hub_vnet": common("hub_vnet", lambda: azure.get(ids.hub_vnet)),
        "gateway": common("gateway", lambda: azure.get(ids.gateway)),
        "spoke_group": common(f"spoke_group {own}", lambda: azure.get(ids.spoke_group)),
        "locks": common(f"locks {own}", read_locks),
        "vnets": common(f"vnets {own}", listed("/providers/Microsoft.Network/virtualNetworks")),
        "resources": common(f"resources {own}", listed("/resources", **{"$filter": f"resourceGroup eq '{group}'"})),
        "sizes": sizes,
        "usages": common(f"usages {location}", listed(f"/providers/Microsoft.Compute/locations/{location}/usages")),
        "runs": common("runs", lambda: tuple(Records().unfinished_runs())),
        "elsewhere": common("elsewhere", lambda: _elsewhere(azure)),
        "on_gateway": common("on_gateway", lambda: gateway_sites().present()),
    }
    outbound = azure.settings.spoke_outbound.partition(":")[2]
    if outbound and not outbound_is_elsewhere(azure.settings):
        reads["outbound"] = common("outbound", lambda: azure.get(outbound))
    answers, unread = _side_by_side(reads)
    on_gateway: Present[SiteRow, GatewayWriter] = answers.pop("on_gateway")
    if malformed := on_gateway.unreadable.get(site_key(plan.client)):
        raise malformed
    runs_elsewhere, vms_elsewhere = answers.pop("elsewhere", ((), ()))
    snapshot = AzureSnapshot(
        ids,
        unread=unread,
        sites=tuple(on_gateway.rows),
        gateway_failed_by_us=on_gateway.writer is not None and on_gateway.writer.our_failure,
        runs_elsewhere=runs_elsewhere,
        vms_elsewhere=vms_elsewhere,
        **answers,
    )
    return _with_what_these_name(plan, azure, snapshot, common)


def _elsewhere(azure: Arm) -> tuple[tuple[RunRow, ...], tuple[Document, ...]]:
    """`(runs, resources)` of other hubs that have their spokes in the same subscription: its quotas are one for all."""
    here, runs = azure.settings, list[RunRow]()
    for hub in hubs():
        if hub.hub_key != here.hub_key and hub.spoke_subscription_id == here.spoke_subscription_id:
            with at(hub):
                runs += Records().unfinished_runs()
    groups = {run.plan.resource_group.lower() for run in runs} - {here.spoke_resource_group.lower()}
    resources: list[Document] = []
    for group in sorted(groups):
        only = {"$filter": f"resourceGroup eq '{group}'"}
        resources += azure.get_all(f"{azure.ids.spoke_subscription}/resources", params=only)
    return tuple(runs), tuple(resources)


def _with_what_these_name(plan: SpokePlan, azure: Arm, snapshot: AzureSnapshot, common: _SharedReads) -> AzureSnapshot:
    """The second look: what the first one's documents name, and the rights over it."""

    def of_all(resource_id: str) -> Callable[[], Any]:
        return common(resource_id, partial(azure.get, resource_id))

    gateways = gateway_ids(snapshot.hub_vnet)
    policies = firewall_policy_ids(snapshot.gateway) if snapshot.gateway else []
    subnet = subnet_of_gateway(snapshot.hub_vnet, snapshot.gateway)
    used = {part: used_id for part, name in ON_SUBNET.items() if (used_id := id_in(subnet, name))}
    needed = possible_conflicts(plan, snapshot.ids, snapshot.resources)
    rights = _needed_rights(azure, snapshot.ids, snapshot.hub_vnet, snapshot.gateway)
    found, unread = _side_by_side(
        {each: of_all(each) for each in (*gateways, *policies)}
        | {part: of_all(used_id) for part, used_id in used.items()}
        | {each: partial(azure.get, each) for each in needed}
        | _permission_reads(azure, rights, common)
    )
    missing, unread_rights = _judged_rights(rights, found, unread)
    return replace(
        snapshot,
        conflicts=_present(found.get(each) for each in needed),
        hub_gateways=_present(found.get(each) for each in gateways),
        gateway_network=GatewayNetwork(subnet, found.get("security_group"), found.get("route_table")),
        waf_policies={each: found[each] for each in policies if each in found},
        unread_policies={each: unread.pop(each) for each in policies if each in unread},
        missing_rights=tuple(missing),
        unread_rights=unread_rights,
        unread={**snapshot.unread, **unread},
    )


def _needed_rights(
    azure: Arm, ids: ResourceIds, hub_vnet: Document | None, gateway: Document | None
) -> list[NeededRight]:
    outbound = azure.settings.spoke_outbound.partition(":")[2]
    return needed_rights(app_rights(), ids, named_by_gateway(hub_vnet, gateway), outbound)


def _permission_reads(azure: Arm, needed: Iterable[NeededRight], common: _SharedReads) -> dict[str, Callable[[], Any]]:
    """What Azure lists at each scope, by the path of the list."""

    def permissions(scope: str, rights: list[NeededRight]) -> list[Document]:
        """An old list may grant a right, which its call then lacks; it may not deny one by itself."""
        path = scope + _PERMISSIONS
        read = partial(azure.get_all, path)
        kept = common(path, read, _RIGHTS_SECONDS)()
        is_old = not common.afresh and missing_rights(rights, {scope: kept})
        return common(path, read)() if is_old else kept

    by_scope: dict[str, list[NeededRight]] = {}
    for each in needed:
        by_scope.setdefault(each.scope, []).append(each)
    return {scope + _PERMISSIONS: partial(permissions, scope, rights) for scope, rights in by_scope.items()}


def _judged_rights(
    needed: list[NeededRight], found: dict[str, Any], unread: dict[str, Failure]
) -> tuple[list[NeededRight], dict[str, Failure]]:
    """The rights that are missing, and why those over a scope are not known: taken out of `unread`."""
    refused = [path for path in unread if path.endswith(_PERMISSIONS)]
    unknown = {path.removesuffix(_PERMISSIONS): unread.pop(path) for path in refused}
    listed = {path.removesuffix(_PERMISSIONS): each for path, each in found.items() if path.endswith(_PERMISSIONS)}
    return missing_rights(needed, listed), unknown


def read_rights(azure: Arm) -> tuple[list[NeededRight], dict[str, Failure]]:
    """What the app's identity may not do, and should; and why that is not known, by scope. Nothing is shared: it is asked
    what holds now. Where hub or gateway can't be read, what they name is not judged: their own checks say why."""
    common, ids = _SharedReads(azure, afresh=True), azure.ids
    documents, _ = _side_by_side(
        {"hub_vnet": lambda: azure.get(ids.hub_vnet), "gateway": lambda: azure.get(ids.gateway)}
    )
    needed = _needed_rights(azure, ids, documents.get("hub_vnet"), documents.get("gateway"))
    return _judged_rights(needed, *_side_by_side(_permission_reads(azure, needed, common)))


def gateway_limits(azure: Arm, gateway: dict[str, Any]) -> Limits:
    """The limits of a gateway: `AGW_LIMIT`, or less by the rules of its WAF policies.

    A policy that the app may not read, or that isn't there, is taken for a new one. Transient failures are raised.
    """
    policies = []
    for policy_id in firewall_policy_ids(gateway):
        try:
            policy = azure.get(policy_id)
        except ArmError as error:
            if error.failure.transient:
                raise
            log.warning("The gateway's WAF policy can't be read: %s", error.failure.message)
        else:
            policies += [policy] if policy else []
    return limits_of(gateway, azure.settings.agw_limit, policies)


def read_hub_network(azure: Arm) -> HubNetwork:
    """The hub's prefixes as they are now; a `ConfigurationException` when hub or gateway aren't there."""
    hub, gateway = azure.get(azure.ids.hub_vnet), azure.get(azure.ids.gateway)
    if hub is None or gateway is None:
        raise (
            hub_not_found(azure.ids.hub_vnet) if hub is None else gateway_not_found(azure.ids.gateway)
        ).as_exception()
    return hub_network(hub, gateway, azure.settings.management_source_prefixes)


def hub_network_for_many(azure: Arm) -> HubNetwork:
    """The same, at most a few seconds old: of many deployments at once one reads it."""
    return _SharedReads(azure)("hub network", lambda: read_hub_network(azure), _HUB_NETWORK_SECONDS)()


def _present(documents: Iterable[Document | None]) -> tuple[Document, ...]:
    return tuple(document for document in documents if document is not None)


def _side_by_side(reads: dict[str, Callable[[], Any]]) -> tuple[dict[str, Any], dict[str, Failure]]:
    """`(answers, refusals)` of all reads; raises when one of them met a transient failure."""
    answers: dict[str, Any] = {}
    refused: dict[str, Failure] = {}
    passing: list[ArmError] = []
    asked = side_by_side(ARM, list(reads.values()), SIDE_BY_SIDE)
    for name, answer in zip(reads, asked, strict=True):
        try:
            answers[name] = answer.result()
        except ArmError as error:
            if error.failure.transient:
                passing.append(error)
            else:
                refused[name] = error.failure
    if passing:
        raise max(passing, key=lambda error: error.failure.retry_after or 0.0)
    return answers, refused


@contextmanager
def _held(lock: threading.Lock) -> Iterator[None]:
    """The lock; an `ArmError` when the deadline passes first."""
    deadline = current_deadline()
    with waiting_for("another caller's look at Azure"):
        if not lock.acquire(timeout=deadline.left() if deadline else -1):
            assert deadline is not None
            raise ArmError(deadline.failure(), 0)
    try:
        yield
    finally:
        lock.release()

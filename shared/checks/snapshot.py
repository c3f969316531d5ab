"""Reads what the checks judge: side by side, and each thing that all spokes have in common once for all who ask.

Ninety-nine deployments that start together share 250 reads of Azure Resource Manager and 25 more a second; without
sharing, their checks alone would use them up.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from shared.arm.client import Arm
from shared.arm.failures import ArmError
from shared.blocking import ARM, side_by_side
from shared.checks.gateway_network import GatewayNetwork, subnet_id_of, used_by
from shared.checks.hub import outbound_is_elsewhere
from shared.checks.names import perhaps_in_the_way
from shared.checks.sizes import Size, size_findings, sizes_in
from shared.checks.surroundings import AzureSnapshot
from shared.clock import utc_now
from shared.deadline import current_deadline, waiting_for
from shared.errors import Failure
from shared.spoke.plan import SpokePlan
from shared.spoke.resource_ids import same_id
from shared.tables.records import Records
from shared.writers.desired_table import Present
from shared.writers.gateway.capacity import firewall_policy_ids
from shared.writers.gateway.rows import GatewayWriter, SiteRow, site_key
from shared.writers.gateway.table import gateway_sites
from shared.writers.peering.documents import gateway_ids

T = TypeVar("T")
Document = dict[str, Any]

SIDE_BY_SIDE = 8
# How old a shared answer may be: long enough for deployments that start together, too short for anything to have been
# changed by hand in between. The sizes of a region change by the week, and their list is megabytes long.
_COMMON_SECONDS = 0.25
_SIZES_SECONDS = 60.0
# What the gateway's subnet can have on it, by the name under which a check finds it.
_USED_BY_SUBNET = {"security_group": "networkSecurityGroup", "route_table": "routeTable"}


@dataclass
class SharedRead:
    """One answer that several callers share: whoever finds it too old reads it anew, while the others wait for him.

    A failure is shared only with those who had been waiting for it: nobody is told of trouble that is over, and a
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


def _shared_read(azure: Arm, name: str, seconds: float, read: Callable[[], T]) -> T:
    with _shared_lock:
        entry = _shared.setdefault(azure, {}).setdefault(name, SharedRead())
    return entry.get(read, seconds, lambda: utc_now().timestamp())


def read_snapshot(plan: SpokePlan, azure: Arm, *, afresh: bool = False) -> AzureSnapshot:
    """Everything snapshot a spoke. What ARM refuses for good is named in `unread`; passing trouble is raised, so that
    the whole look is taken again, and so is a row of this client's site that can't be read: nothing could be published.

    afresh: nothing is shared with others who look.
    """
    ids, location = azure.ids.of(plan), plan.location
    subscription = ids.subscription

    def common(name: str, read: Callable[[], T], seconds: float = _COMMON_SECONDS) -> Callable[[], T]:
        return read if afresh else lambda: _shared_read(azure, name, seconds, read)

    def listed(path: str, **params: str) -> Callable[[], tuple[Document, ...]]:
        return lambda: tuple(azure.get_all(f"{subscription}{path}", params=params or None))

    def read_sizes() -> tuple[Size, ...]:
        skus = azure.get_all(
            f"{subscription}/providers/Microsoft.Compute/skus", params={"$filter": f"location eq '{location}'"}
        )
        return sizes_in(location, skus)

    def sizes() -> tuple[Size, ...]:
        """An old list may let a size pass, which create_vm then refuses; it may not refuse one by itself."""
        kept = common(f"sizes {location}", read_sizes, _SIZES_SECONDS)()
        return common(f"sizes {location}", read_sizes)() if size_findings(plan, kept) else kept

    group = ids.spoke_resource_group
    reads: dict[str, Callable[[], Any]] = {
        "hub_vnet": common("hub_vnet", lambda: azure.get(ids.hub_vnet)),
        "gateway": common("gateway", lambda: azure.get(ids.gateway)),
        "spoke_group": common("spoke_group", lambda: azure.get(ids.spoke_group)),
        "locks": common("locks", listed("/providers/Microsoft.Authorization/locks")),
        "vnets": common("vnets", listed("/providers/Microsoft.Network/virtualNetworks")),
        "resources": common("resources", listed("/resources", **{"$filter": f"resourceGroup eq '{group}'"})),
        "sizes": sizes,
        "usages": common(f"usages {location}", listed(f"/providers/Microsoft.Compute/locations/{location}/usages")),
        "runs": common("runs", lambda: tuple(Records().unfinished_runs())),
        "on_gateway": common("on_gateway", lambda: gateway_sites().present()),
    }
    outbound = azure.settings.spoke_outbound.partition(":")[2]
    if outbound and not outbound_is_elsewhere(azure.settings):
        reads["outbound"] = common("outbound", lambda: azure.get(outbound))
    answers, unread = _side_by_side(reads)
    on_gateway: Present[SiteRow, GatewayWriter] = answers.pop("on_gateway")
    if malformed := on_gateway.unreadable.get(site_key(plan.client)):
        raise malformed
    failed_by_us = on_gateway.writer is not None and on_gateway.writer.our_failure
    snapshot = AzureSnapshot(
        ids, unread=unread, sites=tuple(on_gateway.rows), gateway_failed_by_us=failed_by_us, **answers
    )
    in_the_way, more_unread = _side_by_side(
        {
            **{each: common(each, partial(azure.get, each)) for each in gateway_ids(snapshot.hub_vnet)},
            **{needed: partial(azure.get, needed) for needed in perhaps_in_the_way(plan, ids, snapshot.resources)},
        }
    )
    hub_gateways = _present(in_the_way.pop(each, None) for each in gateway_ids(snapshot.hub_vnet))
    found = _present(in_the_way.values())
    unread = {**unread, **more_unread}
    snapshot = replace(snapshot, in_the_way=found, hub_gateways=hub_gateways, unread=unread)
    return _with_what_the_gateway_stands_on(snapshot, lambda part: common(part, partial(azure.get, part)))


def _present(documents: Iterable[Document | None]) -> tuple[Document, ...]:
    return tuple(document for document in documents if document is not None)


def _with_what_the_gateway_stands_on(
    snapshot: AzureSnapshot, reading: Callable[[str], Callable[[], Document | None]]
) -> AzureSnapshot:
    """Its WAF policies, and its subnet with network security group and route table: the second look, because the
    gateway and the hub's VNet name them. reading: how a resource is read, by its id."""
    policy_ids = firewall_policy_ids(snapshot.gateway) if snapshot.gateway else []
    reads: dict[str, Callable[[], Any]] = {policy_id: reading(policy_id) for policy_id in policy_ids}
    subnet_id = subnet_id_of(snapshot.gateway)
    subnet = _subnet_of_hub(snapshot.hub_vnet, subnet_id)
    if subnet_id and not subnet_id.lower().startswith(f"{snapshot.ids.hub_vnet}/".lower()):
        reads["gateway_subnet"] = reading(subnet_id)
    answers, unread = _side_by_side(reads)
    subnet = subnet or answers.pop("gateway_subnet", None)
    used = {part: used_by(subnet, name) for part, name in _USED_BY_SUBNET.items()}
    network, more_unread = _side_by_side({part: reading(used_id) for part, used_id in used.items() if used_id})
    unread_policies = {policy_id: unread.pop(policy_id) for policy_id in policy_ids if policy_id in unread}
    return replace(
        snapshot,
        gateway_network=GatewayNetwork(subnet, network.get("security_group"), network.get("route_table")),
        waf_policies={policy_id: answers[policy_id] for policy_id in policy_ids if policy_id in answers},
        unread_policies=unread_policies,
        unread={**snapshot.unread, **unread, **more_unread},
    )


def _subnet_of_hub(hub_vnet: Document | None, subnet_id: str | None) -> Document | None:
    subnets = ((hub_vnet or {}).get("properties") or {}).get("subnets") or []
    return next((each for each in subnets if subnet_id and same_id(str(each.get("id", "")), subnet_id)), None)


def _side_by_side(reads: dict[str, Callable[[], Any]]) -> tuple[dict[str, Any], dict[str, Failure]]:
    """`(answers, refusals)` of all reads; raises when one of them met trouble that passes."""
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

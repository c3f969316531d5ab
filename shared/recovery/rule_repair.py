"""Brings the network security groups of finished spokes to the rules of this version, these settings and the hub as it is."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from shared.arm.client import Arm, arm
from shared.arm.failures import ArmError
from shared.arm.reconcile import only_over
from shared.checks.snapshot import read_hub_network
from shared.clock import timestamp
from shared.process import logs
from shared.spoke.documents.raw import Document, listed, properties_of, provisioning_state
from shared.spoke.documents.rule_changes import RuleChanges, rule_changes
from shared.spoke.documents.security_rules import HubNetwork, OutboundRules, outbound_rules, security_rules
from shared.spoke.inventory import made_by
from shared.spoke.records import SpokeRow
from shared.spoke.resource_ids import ResourceIds
from shared.tables.client import ConcurrentUpdate
from shared.tables.places import serves
from shared.tables.records import Records

log = logging.getLogger(__name__)

# The rest follows at the next tick: after an upgrade every group changes, and others write, too.
PUTS_A_TICK = 25
_READ_ONLY = ("provisioningState", "resourceGuid", "defaultSecurityRules", "subnets", "networkInterfaces", "flowLogs")


@dataclass(frozen=True)
class Repair:
    """One group that has to be written. nsg: as it was read; the write is bound to its ETag."""

    spoke: SpokeRow
    nsg: Document
    changes: RuleChanges

    @property
    def body(self) -> Document:
        kept = {name: value for name, value in self.nsg["properties"].items() if name not in _READ_ONLY}
        body: Document = {name: self.nsg[name] for name in ("location", "tags") if name in self.nsg}
        return {**body, "properties": {**kept, "securityRules": self.changes.rules}}


def repair_security_rules() -> list[int]:
    """One tick for the spokes that the present gateway serves. Answers those whose groups were written; what is refused is
    tried again at the next tick."""
    azure, records = arm(), Records()
    spokes = [spoke for spoke in records.spokes() if spoke.status == "completed" and serves(spoke.plan)]
    if not spokes:
        return []
    hub = read_hub_network(azure)
    if gap := next((gap for gap in hub.gaps if gap.stops), None):
        log.warning("The spokes' security rules are left as they are: %s", gap.message)
        return []
    repairs = []
    for group in sorted({azure.ids.of(spoke.plan).spoke_group for spoke in spokes}):
        try:
            nsgs, vnets = _listed(azure, group, "networkSecurityGroups"), _listed(azure, group, "virtualNetworks")
        except ArmError as error:
            log.warning("The security groups of %s can't be read now: %s", group, error.failure.message)
            continue
        own = [spoke for spoke in spokes if azure.ids.of(spoke.plan).spoke_group == group]
        repairs += repairs_of(own, azure.ids, outbound_rules(azure.settings), hub, nsgs, vnets)
    written: list[int] = []
    for repair in repairs:
        if len(written) == PUTS_A_TICK:
            log.warning("%d security groups were to be changed, %d of them now", len(repairs), PUTS_A_TICK)
            break
        if _applied(azure, records, repair):
            written.append(repair.spoke.spoke_id)
    return written


def _listed(azure: Arm, group: str, kind: str) -> dict[str, Document]:
    """All resources of a kind in a resource group, by folded id. group: its id."""
    path = f"{group}/providers/Microsoft.Network/{kind}"
    return {str(each["id"]).lower(): each for each in azure.get_all(path)}


def repairs_of(
    spokes: Iterable[SpokeRow],
    ids: ResourceIds,
    outbound: OutboundRules,
    hub: HubNetwork,
    nsgs: dict[str, Document],
    vnets: dict[str, Document],
) -> list[Repair]:
    """What has to be written. Groups that this app did not make or that are being written are left alone."""
    found = []
    for spoke in spokes:
        plan, own = spoke.plan, ids.of(spoke.plan)
        nsg, vnet = nsgs.get(own.nsg(plan.nsg_name).lower()), vnets.get(own.vnet(plan.vnet_name).lower())
        if nsg is None or vnet is None or not made_by(plan.made_by)(nsg):
            continue
        if provisioning_state(nsg) not in ("Succeeded", "Failed"):
            continue
        # What the subnets were made with counts, not what the settings say now.
        rules = security_rules(plan, hub, replace(outbound, routed=_has_route_table(vnet)))
        changes = rule_changes(nsg["properties"].get("securityRules") or [], rules)
        if changes.blocked:
            with logs.context(spoke_id=spoke.spoke_id):
                log.warning(
                    "Security rules of spoke %d can't be written: %s", spoke.spoke_id, "; ".join(changes.blocked)
                )
        if changes.changed or provisioning_state(nsg) == "Failed":
            found.append(Repair(spoke, nsg, changes))
    return found


def _has_route_table(vnet: Document) -> bool:
    return any(properties_of(subnet).get("routeTable") for subnet in listed(vnet, "subnets"))


def _applied(azure: Arm, records: Records, repair: Repair) -> bool:
    """Writes one group, unless its spoke is being changed by now, its group was written since, or an app with another
    task hub looks after it: two versions would undo each other's rules."""
    spoke = repair.spoke
    now, run = records.spoke(spoke.spoke_id), records.run(spoke.plan.made_by)
    if now is None or (now.status, now.deployment_id) != (spoke.status, spoke.deployment_id):
        return False
    if run is not None and not azure.settings.looks_after(run.task_hub):
        return False
    nsg_id, what = azure.ids.of(spoke.plan).nsg(spoke.plan.nsg_name), ", ".join(repair.changes.changed)
    with logs.context(spoke_id=spoke.spoke_id):
        try:
            azure.put(nsg_id, repair.body, headers=only_over(repair.nsg))
        except ArmError as error:
            log.warning("Security rules of spoke %d: not changed now: %s", spoke.spoke_id, error.failure.message)
            return False
        log.warning("Security rules of spoke %d are brought in line: %s", spoke.spoke_id, what or "written again")
    if run is not None and run.status == "completed":
        try:
            records.change_run(run, note=f"{timestamp()}: security rules brought in line: {what}")
        except ConcurrentUpdate:
            log.info("The record of %s was changed just now; the note is left out", run.deployment_id)
    return True

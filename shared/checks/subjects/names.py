"""Names that the spoke needs and others have. Pure."""

from collections.abc import Iterable

from shared.checks.findings import ERROR, Finding
from shared.errors import ValidationException
from shared.saga.steps import STEPS
from shared.spoke.documents.raw import Document, id_in, listed
from shared.spoke.inventory import Part, made_by, parts
from shared.spoke.plan import SpokePlan
from shared.spoke.records import RunRow
from shared.spoke.resource_ids import ResourceIds, name_of, same_id, type_of


def parts_as_made(plan: SpokePlan, ids: ResourceIds) -> list[Part]:
    """The parts of a spoke in the order of the steps that make them."""
    return [part for step in STEPS for part in parts(plan, ids) if part.undo in step.undos]


def possible_conflicts(plan: SpokePlan, ids: ResourceIds, resources: Iterable[Document]) -> list[str]:
    """Which needed ids the group's list shows, not made by this spoke's run. The list can lag behind: look each up."""
    owned = made_by(plan.made_by)
    listed = {str(resource.get("id", "")).lower(): resource for resource in resources}
    return [
        part.id
        for part in parts_as_made(plan, ids)
        if part.owned_by == "tags" and (resource := listed.get(part.id.lower())) is not None and not owned(resource)
    ]


def name_findings(
    plan: SpokePlan, ids: ResourceIds, conflicts: Iterable[Document], hub_vnet: Document | None
) -> list[Finding]:
    """VNet, NSG, NIC, VM, disk and peering of these names don't exist, or are this run's own."""
    owned, own_vnet = made_by(plan.made_by), ids.vnet(plan.vnet_name)
    found = [_taken(str(document["id"])) for document in conflicts if not owned(document)]
    if same_id(own_vnet, ids.hub_vnet):
        found.append(_taken(ids.hub_vnet))
    for peering in listed(hub_vnet, "virtualNetworkPeerings"):
        named_like_ours = str(peering.get("name", "")).lower() == plan.hub_peering_name.lower()
        if named_like_ours != same_id(id_in(peering, "remoteVirtualNetwork"), own_vnet):
            found.append(_taken(str(peering.get("id") or ids.hub_peering(str(peering.get("name"))))))
    return found


def _taken(resource_id: str) -> Finding:
    kind = type_of(resource_id).rsplit("/", 1)[-1]
    return Finding(
        "names",
        ERROR,
        "NameTaken",
        f"{kind} {name_of(resource_id)} exists already and was not made by this deployment",
        "Choose another name or spoke_id, or remove it yourself if it isn't needed; nothing of it was changed.",
        ValidationException,
        resource_id,
        {"kind": kind},
    )


def earlier_deployments(plan: SpokePlan, runs: Iterable[RunRow]) -> list[RunRow]:
    """Deployments under way that began before this one, and so have the older right to what is scarce."""
    building = [run for run in runs if run.kind == "deploy" and run.status in ("accepted", "in_progress")]
    own = next((run for run in building if run.deployment_id == plan.made_by), None)
    if own is None:
        return building
    return [run for run in building if (run.created_at, run.deployment_id) < (own.created_at, own.deployment_id)]

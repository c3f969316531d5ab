"""Who has the older right to what is scarce: of two runs for the last place exactly one goes on. Pure."""

from collections.abc import Iterable

from shared.spoke.plan import SpokePlan
from shared.spoke.records import RunRow


def earlier_deployments(plan: SpokePlan, runs: Iterable[RunRow]) -> list[RunRow]:
    """Deployments under way that began before this one, and so have the older right to what is scarce."""
    building = [run for run in runs if run.kind == "deploy" and run.status in ("accepted", "in_progress")]
    own = next((run for run in building if run.deployment_id == plan.made_by), None)
    if own is None:
        return building
    return [run for run in building if (run.created_at, run.deployment_id) < (own.created_at, own.deployment_id)]

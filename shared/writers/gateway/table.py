"""The table `GatewaySites`: what each client wants on the gateway, and what its writer does."""

from typing import Any

from shared.settings import Settings, current_settings
from shared.spoke.records import GATEWAY_SITES_TABLE, SPOKES_TABLE
from shared.tables.client import table
from shared.tables.codec import from_json_columns
from shared.writers.desired_table import DesiredTable
from shared.writers.gateway.rows import WRITER_KEY, GatewayWriter, SiteRow


def gateway_sites() -> DesiredTable[SiteRow, GatewayWriter]:
    """The sites of this app's gateway."""
    partition = current_settings().gateway_key
    return DesiredTable(GATEWAY_SITES_TABLE, partition, WRITER_KEY, SiteRow, GatewayWriter)


def capacity_seen() -> int | None:
    """How many sites the gateway had room for, ours included, when the writer last looked; None before any look."""
    _, writer = gateway_sites().read(WRITER_KEY)
    return writer.places


def deployments_on_their_way(rows: list[SiteRow]) -> int:
    """How many deployments are in progress that have no wish in these rows yet, and will have one soon."""
    query = "PartitionKey eq @partition and RowKey ge 'run:' and RowKey lt 'run;' and status eq 'in_progress'"
    parameters = {"partition": current_settings().hub_key}
    asked = {row.deployment_id for row in rows}
    here = current_settings()
    # Where there are several gateways, the plan tells which of them a run is for.
    select = None if here.several else ["deployment_id", "kind"]
    found = table(SPOKES_TABLE).query(query, parameters, select)
    return sum(
        1
        for run in found
        if run["kind"] == "deploy" and run["deployment_id"] not in asked and (not here.several or _is_for(here, run))
    )


def _is_for(gateway: Settings, run: dict[str, Any]) -> bool:
    named: str = (from_json_columns(run, "plan") or {}).get("gateway") or gateway.hub_agw_name
    return named.lower() == gateway.hub_agw_name.lower()

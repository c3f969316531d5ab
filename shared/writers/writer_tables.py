"""The tables `GatewaySites` and `HubTurns` of the place in force: desired sites and peerings, and their writers' rows."""

from typing import Any

from shared.errors import StorageException
from shared.settings import Settings, current_settings
from shared.spoke.records import GATEWAY_SITES_TABLE, HUB_TURNS_TABLE, SPOKES_TABLE
from shared.tables.client import table
from shared.tables.codec import from_json_columns
from shared.writers.desired_table import DesiredTable
from shared.writers.gateway.site_rows import GatewayWriter, SiteRow
from shared.writers.peering.peering_rows import HubWriter, PeeringRow, peering_key


def gateway_sites() -> DesiredTable[SiteRow, GatewayWriter]:
    """The sites of this app's gateway."""
    partition = current_settings().gateway_key
    return DesiredTable(GATEWAY_SITES_TABLE, partition, SiteRow, GatewayWriter)


def hub_peerings() -> DesiredTable[PeeringRow, HubWriter]:
    """The peerings of this app's hub."""
    return DesiredTable(HUB_TURNS_TABLE, current_settings().hub_key, PeeringRow, HubWriter)


def deployments_on_their_way(rows: list[SiteRow]) -> int:
    """How many deployments have begun, or are about to, that have not requested a site in these rows yet."""
    query = (
        "PartitionKey eq @partition and RowKey ge 'run:' and RowKey lt 'run;' "
        "and (status eq 'in_progress' or status eq 'accepted')"
    )
    here, asked = current_settings(), {row.deployment_id for row in rows}
    # Where there are several gateways, the plan tells which of them a run is for.
    select = ["deployment_id", "kind", *(["plan"] if here.several else [])]
    found = table(SPOKES_TABLE).query(query, {"partition": here.hub_key}, select)
    return sum(
        run["kind"] == "deploy" and run["deployment_id"] not in asked and (not here.several or _is_for(here, run))
        for run in found
    )


def _is_for(gateway: Settings, run: dict[str, Any]) -> bool:
    named: str = (from_json_columns(run, "plan") or {}).get("gateway") or gateway.hub_agw_name
    return named.lower() == gateway.hub_agw_name.lower()


def peering_statuses(spoke_id: int | None = None) -> dict[int, str]:
    """How the hub's writer last saw the peerings that are there, by spoke; of one spoke, or of all that it has seen."""
    if spoke_id is None:
        rows = hub_peerings().present().rows
    else:
        try:
            row, _ = hub_peerings().read(peering_key(spoke_id))
        except StorageException:  # a row that was edited by hand: it is reported by the writer
            row = None
        rows = [row] if row else []
    return {row.spoke_id: row.peering_status for row in rows if row.is_applied and row.present and row.peering_status}

"""The table `HubTurns`: which spokes want to be peered with the hub, and who writes the peerings."""

from shared.errors import StorageException
from shared.settings import current_settings
from shared.spoke.records import HUB_TURNS_TABLE
from shared.writers.desired_table import DesiredTable
from shared.writers.peering.rows import WRITER_KEY, HubWriter, PeeringRow, peering_key


def hub_peerings() -> DesiredTable[PeeringRow, HubWriter]:
    """The turns of this app's hub."""
    return DesiredTable(HUB_TURNS_TABLE, current_settings().hub_key, WRITER_KEY, PeeringRow, HubWriter)


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
    return {row.spoke_id: row.peering_status for row in rows if row.is_applied and row.wanted and row.peering_status}

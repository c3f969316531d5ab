"""The table `HubTurns`: which spokes want to be peered with the hub, and who writes the peerings."""

from shared.settings import current_settings
from shared.spoke.records import HUB_TURNS_TABLE
from shared.writers.desired_table import DesiredTable
from shared.writers.peering.rows import WRITER_KEY, HubWriter, PeeringRow


def hub_peerings() -> DesiredTable[PeeringRow, HubWriter]:
    """The turns of this app's hub."""
    return DesiredTable(HUB_TURNS_TABLE, current_settings().hub_key, WRITER_KEY, PeeringRow, HubWriter)

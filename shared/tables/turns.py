"""The table `HubTurns`: which spokes want to be peered with the hub, and who writes the peerings."""

from shared.hub import WRITER_KEY, HubWriter, TurnRow
from shared.settings import current_settings
from shared.tables.desired import DesiredTable
from shared.tables.rows import HUB_TURNS_TABLE


def hub_turns() -> DesiredTable[TurnRow, HubWriter]:
    """The turns of this app's hub."""
    return DesiredTable(HUB_TURNS_TABLE, current_settings().hub_key, WRITER_KEY, TurnRow, HubWriter)

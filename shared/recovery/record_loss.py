"""Whether the records may have been lost. Decided before a timer deletes anything on their word: an empty table knows of
no spoke, and to it every spoke in Azure is an orphan.
"""

import logging
from collections.abc import Callable, Sequence

from shared.errors import ConfigurationException, Failure, so_many
from shared.settings import current_settings
from shared.tables.client import Partition
from shared.tables.marker import Marker, confirm_marker, ensure_marker
from shared.tables.records import Records

log = logging.getLogger(__name__)

RECORDS_LOST = "RecordsLost"
_SHOWN = 10


def doubt(unknown: Callable[[], Sequence[str]]) -> Failure | None:
    """Why the records can't be relied on, None when they can.

    unknown: names what is in Azure and in the other tables with our tags and no record of ours knows; it may raise, and then
    nothing is decided. New records are confirmed when nothing is unknown: from then on they are relied on.
    """
    settings = current_settings()
    rows = Partition(settings.hub_key)
    marker = ensure_marker(rows)
    if marker.is_relied_on:
        return None
    if not settings.accept_empty_records:
        found = unknown()
        if found:
            return _lost(marker, found)
        if marker.copied and (unfinished := Records().unfinished_runs()):
            return _outdated([run.deployment_id for run in unfinished])
    confirm_marker(rows, marker)
    log.warning("The table Spokes is confirmed: from now on the sweeper relies on it")
    return None


def raise_for_lost_rows(table: str, clients: Sequence[str]) -> None:
    """Raises when a table of desired state has no row of spokes that are completed."""
    if clients:
        raise ConfigurationException(
            f"The table {table} has no row of {so_many(len(clients), 'completed spoke')}: {', '.join(clients[:_SHOWN])}.",
            code=RECORDS_LOST,
            hint="Restore the table's rows; see docs/operations.md, A table is gone.",
            table=table,
            clients=list(clients[:_SHOWN]),
        )


def _lost(marker: Marker, found: Sequence[str]) -> Failure:
    state = "a copy" if marker.copied else "new"
    return Failure(
        ConfigurationException,
        RECORDS_LOST,
        f"The table Spokes is {state}, and there are {so_many(len(found), 'thing')} with our tags that it doesn't know, "
        f"such as {found[0]}. Until this is settled no timer deletes anything.",
        "Restore the table's rows from a backup. Or start anew with the records as they are: set ACCEPT_EMPTY_RECORDS=true; "
        "what no record knows is an orphan then. See docs/operations.md, A table is gone.",
        {"unknown": list(found[:_SHOWN])},
    )


def _outdated(unfinished: Sequence[str]) -> Failure:
    return Failure(
        ConfigurationException,
        RECORDS_LOST,
        f"The table Spokes is a copy, and {so_many(len(unfinished), 'run')} in it had not ended when it was made, "
        f"such as {unfinished[0]}. Until this is settled no timer deletes anything.",
        "Look what became of these runs, then set ACCEPT_EMPTY_RECORDS=true. See docs/operations.md, A table is gone.",
        {"unfinished_runs": list(unfinished[:_SHOWN])},
    )

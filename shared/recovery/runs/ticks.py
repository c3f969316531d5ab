"""Since when this app's timers have run without a gap: what was due while the app was down could not be called."""

from datetime import datetime, timedelta

from shared.clock import timestamp
from shared.settings import Settings
from shared.spoke.records import ticks_key
from shared.tables.client import Partition
from shared.timestamps import parse_timestamp

# Timers tick every minute; one that comes later than this comes after a gap.
GAP = timedelta(minutes=3)


def awake_since(settings: Settings, now: datetime) -> datetime:
    """Notes a tick of this app's task hub; answers when the ticks began that came without a gap until now.

    Kept in a row, because timers run in processes that come and go.
    """
    partition, key = Partition(settings.hub_key), ticks_key(str(settings.task_hub))
    row = partition.get(key)
    since = now
    if row is not None and now - parse_timestamp(row["last"]) <= GAP:
        since = parse_timestamp(row["since"])
    tick = {"PartitionKey": partition.key, "RowKey": key, "since": timestamp(since), "last": timestamp(now)}
    partition.write(("upsert", tick))
    return since

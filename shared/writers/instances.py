"""The writers of what is shared, one for the gateway and one for the hub's peerings: started when they don't run.

Everything that a writer needs is in the settings and in its table; its orchestration is started without input, and reads
none: anybody with the Durable system key can start it with any.
"""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shared.clock import timestamp, utc_now
from shared.hubs import gateway_stem
from shared.process import logs
from shared.process.blocking import in_tables_thread
from shared.process.deadline import ACTIVITY_SECONDS, CALL_SECONDS, within
from shared.saga.instances import WRITE_GATEWAY, WRITE_HUB, gateway_writer_id, hub_writer_id, without_generation
from shared.saga.policy import writer_wait
from shared.settings import Settings, at, current_settings, process_settings
from shared.tables.client import ConcurrentUpdate
from shared.writers.desired_table import DesiredTable
from shared.writers.gateway.table import gateway_sites
from shared.writers.gateway.timing import gateway_pace
from shared.writers.heartbeat import Beating, first_due
from shared.writers.instance_status import NOT_KNOWN, UNFINISHED, status_of
from shared.writers.peering.rows import hub_pace
from shared.writers.peering.table import hub_peerings

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationClient

log = logging.getLogger(__name__)

Data = dict[str, Any]


@dataclass(frozen=True)
class Writer:
    """One of the writers. rows: its table.  pace: what its activities take from the settings."""

    orchestrator: str
    settings: Settings
    name: str
    make_id: Callable[[str, int], str]
    rows: DesiredTable[Any, Any]
    pace: Data

    def instance_id(self, generation: int) -> str:
        return self.make_id(self.name, generation)


def writer_of(which: str) -> Writer:
    """The writer `gateway` or `hub` of these settings."""
    settings = current_settings()
    if which == "gateway":
        name, pace = gateway_stem(settings) if settings.several else settings.hub_agw_name, gateway_pace(settings)
        return Writer(WRITE_GATEWAY, settings, name, gateway_writer_id, gateway_sites(), pace)
    name, pace = settings.hub_name if settings.several else settings.hub_vnet_name, hub_pace(settings)
    return Writer(WRITE_HUB, settings, name, hub_writer_id, hub_peerings(), pace)


def place_of_writer(which: str, instance_id: str) -> Settings:
    """The gateway, or the hub, of a writer's instance. Of an id that no writer has: the first one, whose writer it isn't."""
    first = process_settings()
    if len(first.places) == 1:
        return first
    stem = without_generation(instance_id)
    for place in first.places:
        with at(place):
            if writer_of(which).instance_id(1) == stem:
                return place
    return first.places[0]


@dataclass(frozen=True)
class WriterState:
    """What `/health` says of a writer."""

    stands_still: bool
    sentence: str


def writer_state(which: str) -> WriterState:
    """Whether a writer does its work, by its row alone."""
    writer = writer_of(which)
    present = writer.rows.present()
    row = present.writer
    if row is None:
        return WriterState(False, f"The {which} has had no writer yet.")
    instance_id = writer.instance_id(row.generation)
    waiting = sum(each.is_waiting for each in present.rows)
    if waiting and row.is_late(utc_now()):
        sentence = f"{instance_id} stands still: its call was due at {row.due}; {waiting} wait for it."
        return WriterState(True, f"{sentence} Who waits, or a timer within five minutes, starts its successor.")
    return WriterState(False, f"{instance_id} writes the {which}" + (f" ({row.replaced})." if row.replaced else "."))


# --- what to start: pure ---


@dataclass(frozen=True)
class Start:
    """Start the writer of this generation. replaces: in place of one that stands still.  noted: its row says already when
    its first call is due: somebody else is starting it just now, or it ended in the middle of something."""

    generation: int
    replaces: bool = False
    noted: bool = False


@dataclass(frozen=True)
class Watch:
    """It runs and its row doesn't say for how long: from now on it is late when it doesn't call."""


def what_to_start(row: Beating, status: str, now: datetime) -> Start | Watch | None:
    """What somebody who needs the writer does. status: of the row's instance (`shared.writers.instances.instance_status`).

    One that has ended, in whatever way, is started again under its own id. One that is late gets a successor, whatever
    Durable says of it; where that is not known, nothing else is concluded from it.
    """
    if row.is_late(now) and status in UNFINISHED | {NOT_KNOWN}:
        return Start(row.generation + 1, replaces=True)
    if status == NOT_KNOWN:
        return None
    if status in UNFINISHED:
        return None if row.due else Watch()
    return Start(row.generation, noted=bool(row.due) and not row.is_late(now))


# --- doing it ---


async def ensure_writer_runs(client: "DurableOrchestrationClient", which: str) -> None:
    """Makes sure that the writer (`gateway` or `hub`) runs. Can be repeated: Durable refuses a second instance of an id.

    Trouble is logged and left to the next call: every waiter asks again at its next poll, and a timer does.
    """
    try:
        writer = writer_of(which)
        row = await in_tables_thread(writer.rows.writer)
        instance_id = writer.instance_id(row.generation)
        start = what_to_start(row, await status_of(client, instance_id), utc_now())
        if start is None:
            return
        if isinstance(start, Watch) or not start.noted:
            row = await in_tables_thread(_note, writer, row, start)
        if isinstance(start, Start):
            await client.start_new(writer.orchestrator, instance_id=writer.instance_id(row.generation))
            log.debug("%s started", writer.instance_id(row.generation))
    except ConcurrentUpdate:
        log.debug("The %s's writer was changed just now", which)
    except Exception as error:  # noqa: BLE001 - the SDK raises bare Exceptions, also for an instance that runs already
        log.info("The %s's writer was not started, the next who needs it tries again: %s", which, error)


def _note(writer: Writer, row: Any, start: "Start | Watch") -> Any:
    """The row that says who is started: written first, so that a start that gets lost is noticed, too."""
    now = utc_now()
    changes: Data = {"due": first_due(now)}
    if isinstance(start, Start) and start.replaces:
        former = writer.instance_id(row.generation)
        log.error("event=writer_stands_still %s stands still since %s: its successor is started", former, row.due)
        changes |= {"generation": start.generation, "replaced": f"{former} stood still at {timestamp(now)}"}
    return writer.rows.mark(replace(row, **changes))


def call_of_writer(which: str, *, looks: bool = False) -> Callable[[Callable[[Data], Data]], Callable[[Data], Data]]:
    """Around an activity of a writer: gives it the pace of the settings, and says in the row when the next call is due.

    looks: the call begins something. It answers `{"end": True}`, and nothing is done, when the instance that makes it isn't
    the present writer: another one has taken over, or somebody has started the orchestrator under an id of his own.
    """

    def decorate(activity: Callable[[Data], Data]) -> Callable[[Data], Data]:
        @functools.wraps(activity)
        def call(payload: dict) -> dict:  # type: ignore[type-arg] # the worker refuses generic annotations
            with logs.context(step=activity.__name__), within(CALL_SECONDS):
                return _called(which, activity, payload, looks)

        return call

    return decorate


def _called(which: str, activity: Callable[[Data], Data], payload: Data, looks: bool) -> Data:
    with at(place_of_writer(which, str(payload.get("instance_id")))):
        return _called_here(which, activity, payload, looks)


def _called_here(which: str, activity: Callable[[Data], Data], payload: Data, looks: bool) -> Data:
    writer = writer_of(which)
    if looks and not _is_present(writer, payload):
        log.warning("%s is not the present writer of the %s, and ends", payload.get("instance_id"), which)
        return {"end": True}
    with within(ACTIVITY_SECONDS):
        answer = activity({**payload, **writer.pace})
    try:
        return {**answer, **_beat(writer, payload, answer)}
    except Exception as error:  # noqa: BLE001 - the next call beats again; only a writer that never does counts as late
        log.debug("The row of the %s's writer could not be written just now: %s", which, error)
        return answer


def _is_present(writer: Writer, payload: Data) -> bool:
    try:
        row = writer.rows.look_for_writer()
    except Exception as error:  # noqa: BLE001 - the tables don't answer: nothing else that the call does will work
        log.debug("Who the writer is could not be read just now: %s", error)
        return True
    return row is not None and payload.get("instance_id") == writer.instance_id(row.generation)


def _beat(writer: Writer, payload: Data, answer: Data) -> Data:
    """What the orchestration learns of the beat: `due`, as it stands in the row."""
    now, poll_seconds = utc_now(), writer.pace["poll_seconds"]
    wait = writer_wait(max(answer.get("wait") or 0.0, (answer.get("begun") or {}).get("wait") or 0.0))
    if not answer.get("end"):
        known = _Known(due=payload.get("due") or "")
        if known.beating(now, wait, poll_seconds) is known:
            return {}
    row = writer.rows.look_for_writer()
    if row is None or payload.get("instance_id") != writer.instance_id(row.generation):
        return {}
    fresh = row.resting() if answer.get("end") else row.beating(now, wait, poll_seconds)
    if fresh is not row:
        fresh = writer.rows.mark(fresh)
    return {"due": fresh.due}


@dataclass(frozen=True)
class _Known(Beating):
    """What the orchestration knows of the row, so that not every call reads it."""

    generation: int = 1
    due: str = ""
    replaced: str = ""

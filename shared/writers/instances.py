"""The writers of what is shared, one for the gateway and one for the hub's peerings: started when they don't run.

Everything that a writer needs is in the settings and in its table; its orchestration is started without input, and reads
none: any client with the Durable system key can start it with any. And what Durable Functions says of an instance, a writer's or
a run's.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from shared import clock
from shared.clock import timestamp, utc_now
from shared.hubs import gateway_stem
from shared.process import logs
from shared.process.blocking import in_arm_thread, in_tables_thread
from shared.process.deadline import ACTIVITY_SECONDS, CALL_SECONDS, within
from shared.saga.instances import WRITE_GATEWAY, WRITE_HUB, without_generation, writer_id
from shared.saga.policy import WriterPolicy, writer_wait
from shared.settings import Settings, at, current_settings, process_settings
from shared.tables.client import ConcurrentUpdate
from shared.writers.desired_table import DesiredTable
from shared.writers.lease import LeasedWriter, first_due, next_due
from shared.writers.waking import finished_steps, wake
from shared.writers.writer_tables import gateway_sites, hub_peerings

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationClient

log = logging.getLogger(__name__)

Data = dict[str, Any]
WriterCall = Callable[[Data, WriterPolicy], Data]


# The two answers of `status_of` that are no status of Durable's.
NOT_THERE = "NotThere"
NOT_KNOWN = "NotKnown"

UNFINISHED = frozenset({"Running", "Pending", "ContinuedAsNew", "Suspended"})
FINISHED = frozenset({"Completed", "Failed", "Terminated", "Canceled"})

SECONDS_FOR_AN_ANSWER = 30.0


async def status_of(client: "DurableOrchestrationClient", instance_id: str) -> str:
    """The status of an instance (`Running`, …), `NOT_THERE` (404), or `NOT_KNOWN`: any other answer, or none. Never raises.

    The SDK's `get_status` takes 400 and 500 for an answer and gives an object without a status, exactly as for 404; so
    the HTTP status is read here.
    """
    return (await status_and_output_of(client, instance_id))[0]


async def status_and_output_of(client: "DurableOrchestrationClient", instance_id: str) -> tuple[str, Any]:
    """The same with the instance's output, which is the reason of one that is `Terminated`."""
    url = f"{client._orchestration_bindings.rpc_base_url}instances/{quote(instance_id, safe='')}"
    try:
        code, answer = await asyncio.wait_for(client._get_async_request(url), SECONDS_FOR_AN_ANSWER)
    except Exception as error:  # noqa: BLE001 - no connection, no JSON, no answer in time: it is not known
        log.warning("The status of %s is not known: %s", instance_id, type(error).__name__)
        return NOT_KNOWN, None
    if code == 404:
        return NOT_THERE, None
    status = answer.get("runtimeStatus") if isinstance(answer, dict) else None
    if code in (200, 202) and status in UNFINISHED | FINISHED:
        return str(status), answer.get("output")
    log.warning("The status of %s is not known: the answer is %d", instance_id, code)
    return NOT_KNOWN, None


@dataclass(frozen=True)
class Writer:
    """One of the writers. which: `gateway` or `hub`.  rows: its table."""

    orchestrator: str
    which: str
    name: str
    rows: DesiredTable[Any, Any]

    def instance_id(self, generation: int) -> str:
        return writer_id(self.which, self.name, generation)


def writer_of(which: str) -> Writer:
    """The writer `gateway` or `hub` of these settings."""
    settings = current_settings()
    if which == "gateway":
        name = gateway_stem(settings) if settings.several else settings.hub_agw_name
        return Writer(WRITE_GATEWAY, which, name, gateway_sites())
    name = settings.hub_name if settings.several else settings.hub_vnet_name
    return Writer(WRITE_HUB, which, name, hub_peerings())


def policy_of(settings: Settings) -> WriterPolicy:
    """What the writers take from the settings."""
    return WriterPolicy(
        poll_seconds=settings.writer_poll_seconds,
        retry_first_seconds=settings.policy.retry_first_seconds,
        retry_max_seconds=settings.policy.retry_max_seconds,
        gather_seconds=settings.agw_gather_seconds,
        hub_batch=settings.hub_batch,
    )


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

# So many polls of a writer long it is asked whether one that has nothing to do has ended.
LOOKS_AT_THE_END = 3


@dataclass(frozen=True)
class Start:
    """Start the writer of this generation. replaces: in place of one that stands still.  noted: its row says already when
    its first call is due: another call is starting it just now, or it ended in the middle of something."""

    generation: int
    replaces: bool = False
    noted: bool = False


@dataclass(frozen=True)
class Watch:
    """It runs and its row doesn't say for how long: from now on it is late when it doesn't call."""


def what_to_start(row: LeasedWriter, status: str, now: datetime) -> Start | Watch | None:
    """What a caller that needs the writer does. status: of the row's instance (`shared.writers.instance_status`).

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

    Called by who has just written a row, by steps that were not woken, and by a timer; a failure is logged and left to the
    next of them.
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
        if isinstance(start, Start) or await _has_ended(client, instance_id):
            await client.start_new(writer.orchestrator, instance_id=writer.instance_id(row.generation))
            log.debug("%s started", writer.instance_id(row.generation))
    except ConcurrentUpdate:
        log.debug("The %s's writer was changed just now", which)
    except Exception as error:  # noqa: BLE001 - the SDK raises bare Exceptions, also for an instance that runs already
        log.info("The %s's writer was not started, the next who needs it tries again: %s", which, error)


async def _has_ended(client: "DurableOrchestrationClient", instance_id: str) -> bool:
    """Whether a writer that has nothing to do ends just now: it may have read the rows before the latest was written."""
    for _ in range(LOOKS_AT_THE_END):
        await clock.sleep(current_settings().writer_poll_seconds)
        if await status_of(client, instance_id) not in UNFINISHED | {NOT_KNOWN}:
            return True
    return False


def _note(writer: Writer, row: Any, start: "Start | Watch") -> Any:
    """The row that says who is started: written first, so that a start that gets lost is noticed, too."""
    now = utc_now()
    changes: Data = {"due": first_due(now)}
    if isinstance(start, Start) and start.replaces:
        former = writer.instance_id(row.generation)
        log.error("event=writer_stands_still %s stands still since %s: its successor is started", former, row.due)
        changes |= {"generation": start.generation, "replaced": f"{former} stood still at {timestamp(now)}"}
    return writer.rows.mark(replace(row, **changes))


def call_of_writer(which: str, *, passes: bool = False) -> Callable[[WriterCall], Any]:
    """Around an activity of a writer: gives it the policy of the settings, says in the row when the next call is due, and wakes
    the steps whose rows it has finished; its `perform` does without a worker, and wakes no step.

    passes: the call is a pass. It answers `{"end": True}`, and nothing is done, when the instance that makes it isn't
    the present writer: another one has taken over, or the orchestrator was started by hand under another id.
    """

    def decorate(activity: WriterCall) -> Any:
        def perform(payload: Data) -> Data:
            here = at(place_of_writer(which, str(payload.get("instance_id"))))
            with logs.context(step=activity.__name__), within(CALL_SECONDS), here:
                return _called(which, activity, payload, passes)

        async def call(payload: dict, client: Any) -> dict:  # type: ignore[type-arg] # the worker refuses generic annotations
            # In a thread of the writer's own hub.
            with finished_steps() as finished, at(place_of_writer(which, str(payload.get("instance_id")))):
                answer = await in_arm_thread(CALL_SECONDS, perform, payload)
            await wake(client, finished)
            return answer

        # Without `__wrapped__`, by which the worker would find the parameters of the inner function.
        call.__name__ = call.__qualname__ = activity.__name__
        call.__doc__, call.__module__ = activity.__doc__, activity.__module__
        wrapper: Any = call
        wrapper.perform = perform
        return wrapper

    return decorate


def _called(which: str, activity: WriterCall, payload: Data, passes: bool) -> Data:
    writer, policy = writer_of(which), policy_of(current_settings())
    if passes and not _is_present(writer, payload):
        log.warning("%s is not the present writer of the %s, and ends", payload.get("instance_id"), which)
        return {"end": True}
    with within(ACTIVITY_SECONDS):
        answer = activity(payload, policy)
    try:
        answer = {**answer, **_beat(writer, policy, payload, answer)}
        if answer.get("end") and any(row.is_waiting for row in writer.rows.present().rows):
            # It was written after the pass had read the rows, and who wrote it found a writer that runs.
            return {"state": {}, "wait": policy.poll_seconds, "poll_seconds": policy.poll_seconds}
        return answer
    except Exception as error:  # noqa: BLE001 - the next call beats again; only a writer that never does counts as late
        log.debug("The row of the %s's writer could not be written just now: %s", which, error)
        return answer


def _is_present(writer: Writer, payload: Data) -> bool:
    try:
        return _own_row(writer, payload) is not None
    except Exception as error:  # noqa: BLE001 - the tables don't answer: nothing else that the call does will work
        log.debug("Who the writer is could not be read just now: %s", error)
        return True


def _own_row(writer: Writer, payload: Data) -> Any:
    """The writer's row; None when the instance that calls isn't the present writer."""
    row = writer.rows.find_writer()
    return row if row and payload.get("instance_id") == writer.instance_id(row.generation) else None


def _beat(writer: Writer, policy: WriterPolicy, payload: Data, answer: Data) -> Data:
    """What the orchestration learns of the beat: `due`, as it stands in the row."""
    now, known = utc_now(), payload.get("due") or ""
    wait = writer_wait(answer.get("wait") or 0.0)
    # What the orchestration knows of the row spares most calls a read of it.
    if not answer.get("end") and next_due(known, now, wait, policy.poll_seconds) == known:
        return {}
    row = _own_row(writer, payload)
    if row is None:
        return {}
    due = "" if answer.get("end") else next_due(row.due, now, wait, policy.poll_seconds)
    if due != row.due:
        writer.rows.mark(replace(row, due=due))
    return {"due": due}

"""What the management API shows: statuses, lists, histories, and which instances a filter means."""

import base64
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from local.functions.durable import events as ev
from local.functions.durable.clock import short_stamp
from local.functions.durable.events import Event
from local.functions.durable.store import Instance, Store

STATUSES = (
    ev.RUNNING,
    ev.COMPLETED,
    "ContinuedAsNew",
    ev.FAILED,
    ev.CANCELED,
    ev.TERMINATED,
    ev.PENDING,
    ev.SUSPENDED,
)


def as_json(text: str | None) -> Any:
    """Stored text as the API shows it: JSON as it is, anything else (a reason) as a string."""
    if text is None:
        return None
    if not text.strip():
        return ""
    try:
        return json.loads(text)
    except ValueError:
        return text


def status_document(
    instance: Instance, *, show_input: bool = True, history: list[Event] | None = None
) -> dict[str, Any]:
    document = {
        "name": instance.name,
        "instanceId": instance.id,
        **({"parentInstanceId": instance.parent} if instance.parent else {}),
        "runtimeStatus": instance.status,
        "input": as_json(instance.input) if show_input else None,
        "customStatus": as_json(instance.custom_status),
        "output": as_json(instance.output),
        "createdTime": short_stamp(instance.created),
        "lastUpdatedTime": short_stamp(instance.updated),
    }
    if history is not None:
        document["historyEvents"] = history
    return document


# What the framework keeps of an event beside what the SDK reads, tracing for the most part.
BESIDE: dict[int, Event] = {
    ev.EXECUTION_STARTED: {
        "Correlation": None,
        "ParentTraceContext": None,
        "ScheduledStartTime": None,
        "Generation": 0,
        "GenerateNewTrace": False,
    },
    ev.TASK_SCHEDULED: {"ParentTraceContext": None, "Tags": None},
    ev.TASK_FAILED: {"FailureDetails": None},
    ev.SUB_CREATED: {"ClientSpanId": None, "Tags": None},
    ev.SUB_FAILED: {"FailureDetails": None},
    ev.EVENT_RAISED: {"ParentTraceContext": None},
}


NOT_SHOWN = (ev.ORCHESTRATOR_STARTED, ev.ORCHESTRATOR_COMPLETED)
SCHEDULING = (ev.TASK_SCHEDULED, ev.SUB_CREATED)
ENDING = (ev.TASK_COMPLETED, ev.TASK_FAILED, ev.SUB_COMPLETED, ev.SUB_FAILED)
WITH_RESULT = (ev.TASK_COMPLETED, ev.SUB_COMPLETED, ev.EXECUTION_COMPLETED)
LEFT_OUT = {
    ev.EXECUTION_STARTED: ("OrchestrationInstance", "ParentInstance", "Version", "Tags"),
    **dict.fromkeys(SCHEDULING, ("Version",)),
    **dict.fromkeys(ENDING, ("TaskScheduledId",)),
    ev.TIMER_FIRED: ("TimerId",),
}


def history_document(texts: Iterable[str], *, show_output: bool, show_input: bool) -> list[Event]:
    """The history for readers: completions carry what was scheduled, what only says "scheduled" is left out.

    Inputs of activities and sub-orchestrations aren't kept (host.json's `storeInputsInOrchestrationHistory`).
    """
    shown: dict[int, Event] = {}
    scheduled: dict[int, int] = {}
    for place, text in enumerate(texts):
        event = json.loads(text)
        kind, number = event.pop("EventType"), event.pop("EventId")
        event.pop("IsPlayed")
        if kind in NOT_SHOWN:
            continue
        row = {"EventType": ev.NAMES.get(kind, str(kind)), **BESIDE.get(kind, {}), **event}
        for field in LEFT_OUT.get(kind, ()):
            row.pop(field, None)
        if kind in SCHEDULING:
            scheduled[number] = place
            row["Input"] = None
        elif kind in ENDING:
            row |= _scheduling(shown.pop(scheduled.get(event["TaskScheduledId"], -1), None))
        elif kind == ev.EXECUTION_STARTED:
            row["FunctionName"] = row.pop("Name")
        _show_result(row, show_output and kind in WITH_RESULT)
        if not show_input:
            row.pop("Input", None)
        shown[place] = row
    return list(shown.values())


def _scheduling(row: Event | None) -> Event:
    """What a completion takes over from the event that scheduled it."""
    if row is None:
        return {}
    fields = {"ScheduledTime": row["Timestamp"], "FunctionName": row["Name"], "Input": None}
    return fields | ({"InstanceId": row["InstanceId"]} if "InstanceId" in row else {})


def _show_result(row: Event, show: bool) -> None:
    if show and "Result" in row:
        row["Result"] = as_json(row["Result"])
    else:
        row.pop("Result", None)


@dataclass(frozen=True)
class Filter:
    created_from: float | None = None
    created_to: float | None = None
    statuses: Collection[str] = ()
    prefix: str = ""

    def sql(self) -> tuple[str, list[Any]]:
        parts, values = ["1"], list[Any]()
        if self.created_from is not None:
            parts.append("created >= ?")
            values.append(self.created_from)
        if self.created_to is not None:
            parts.append("created <= ?")
            values.append(self.created_to)
        if self.statuses:
            parts.append(f"status IN ({', '.join('?' * len(self.statuses))})")
            values.extend(self.statuses)
        if self.prefix:
            parts.append("substr(id, 1, ?) = ?")
            values.extend((len(self.prefix), self.prefix))
        return " AND ".join(parts), values


def page(store: Store, wanted: Filter, size: int, token: str | None) -> tuple[list[Instance], str | None]:
    """A page of instances, in the order of their ids as in Azure's tables, and the token for the next one if there is
    more. A token that can't be read begins anew."""
    where, values = wanted.sql()
    if after := _read(token or ""):
        where += " AND id > ?"
        values.append(after)
    found = store.instances(where, values, size + 1, order="id")
    if len(found) <= size:
        return found, None
    return found[:size], base64.urlsafe_b64encode(found[size - 1].id.encode()).decode()


def _read(token: str) -> str | None:
    try:
        return base64.b64decode(token, b"-_", validate=True).decode()
    except ValueError:
        return None

"""What rewinding makes of a history: failures become events without a meaning, and what failed is free to be tried anew."""

import json

from local.functions.durable import events as ev
from local.functions.durable.events import Event, text


def without_failures(texts: list[str]) -> tuple[list[str], list[str]]:
    """The history, and the ids of the sub-orchestrations that had failed.

    A failed activity loses its scheduling, too, and is scheduled again; a failed sub-orchestration is still awaited.
    """
    events: list[Event] = [json.loads(one) for one in texts]
    failed = {event["TaskScheduledId"] for event in events if event["EventType"] == ev.TASK_FAILED}
    lost = {event["TaskScheduledId"] for event in events if event["EventType"] == ev.SUB_FAILED}
    children = [
        str(event["InstanceId"])
        for event in events
        if event["EventType"] == ev.SUB_CREATED and event["EventId"] in lost
    ]

    def meaningless(event: Event) -> bool:
        kind = event["EventType"]
        if kind == ev.TASK_SCHEDULED:
            return event["EventId"] in failed
        return kind in (ev.TASK_FAILED, ev.SUB_FAILED, ev.EXECUTION_COMPLETED)

    return [text(_rewound(event) if meaningless(event) else event) for event in events], children


def _rewound(event: Event) -> Event:
    return {
        "EventType": ev.GENERIC,
        "EventId": event["EventId"],
        "IsPlayed": True,
        "Timestamp": event["Timestamp"],
        "Data": f"Rewound: {ev.NAMES[event['EventType']]}",
    }

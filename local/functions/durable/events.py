"""History events, in the words of the Durable Task Framework, and what belongs to an instance's status.

An event is a dict as the SDK reads it: `EventType`, `EventId`, `IsPlayed`, `Timestamp` and what the type adds. A
message is an event on its way to an instance; received by it, it becomes a part of its history.
"""

import json
import math
import re
from typing import Any

from local.functions.durable.clock import stamp

Event = dict[str, Any]

EXECUTION_STARTED = 0
EXECUTION_COMPLETED = 1
EXECUTION_TERMINATED = 3
TASK_SCHEDULED = 4
TASK_COMPLETED = 5
TASK_FAILED = 6
SUB_CREATED = 7
SUB_COMPLETED = 8
SUB_FAILED = 9
TIMER_CREATED = 10
TIMER_FIRED = 11
ORCHESTRATOR_STARTED = 12
ORCHESTRATOR_COMPLETED = 13
EVENT_SENT = 14
EVENT_RAISED = 15
CONTINUE_AS_NEW = 16
GENERIC = 17
EXECUTION_SUSPENDED = 19
EXECUTION_RESUMED = 20

NAMES = {
    EXECUTION_STARTED: "ExecutionStarted",
    EXECUTION_COMPLETED: "ExecutionCompleted",
    EXECUTION_TERMINATED: "ExecutionTerminated",
    TASK_SCHEDULED: "TaskScheduled",
    TASK_COMPLETED: "TaskCompleted",
    TASK_FAILED: "TaskFailed",
    SUB_CREATED: "SubOrchestrationInstanceCreated",
    SUB_COMPLETED: "SubOrchestrationInstanceCompleted",
    SUB_FAILED: "SubOrchestrationInstanceFailed",
    TIMER_CREATED: "TimerCreated",
    TIMER_FIRED: "TimerFired",
    ORCHESTRATOR_STARTED: "OrchestratorStarted",
    ORCHESTRATOR_COMPLETED: "OrchestratorCompleted",
    EVENT_SENT: "EventSent",
    EVENT_RAISED: "EventRaised",
    CONTINUE_AS_NEW: "ContinueAsNew",
    GENERIC: "GenericEvent",
    EXECUTION_SUSPENDED: "ExecutionSuspended",
    EXECUTION_RESUMED: "ExecutionResumed",
}

PENDING = "Pending"
RUNNING = "Running"
SUSPENDED = "Suspended"
COMPLETED = "Completed"
FAILED = "Failed"
TERMINATED = "Terminated"
CANCELED = "Canceled"
FINISHED = frozenset({COMPLETED, FAILED, TERMINATED, CANCELED})


def event(kind: int, at: float, event_id: int = -1, **fields: Any) -> Event:
    return {"EventType": kind, "EventId": event_id, "IsPlayed": False, "Timestamp": stamp(at), **fields}


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def text(value: Any) -> str:
    """JSON as the extension writes it: no spaces, no escapes that aren't needed; what is no number is a word."""
    try:
        return encodable(_encode(value))
    except ValueError:
        return encodable(_encode(_in_words(value)))


def encodable(words: str) -> str:
    """Half a character, as Python's strings may hold it, can't be stored or sent."""
    return words if words.isascii() else _LONE_SURROGATE.sub("\ufffd", words)


def _in_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _in_words(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_in_words(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value

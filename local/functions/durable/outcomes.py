"""The boundary of an activity: its input out of the history's JSON, its result or failure into it."""

import json
from typing import Any

from azure.functions.durable_functions import ActivityTriggerConverter
from azure.functions.meta import Datum

from local.functions.durable.decisions import Failure, Success
from local.functions.durable.events import text
from local.functions.durable.store import Task
from local.functions.logs import stack_of


def given_to(task: Task) -> Any:
    """The history keeps an array of one; the SDK has put JSON text into it, which the worker's converter reads."""
    value = json.loads(task.input)[0] if task.input else None
    if value is None:
        return None
    return ActivityTriggerConverter.decode(
        Datum(value if isinstance(value, str) else text(value), "json"), trigger_metadata=None
    )


def result_of(task: Task, returned: Any) -> Success | Failure:
    """The result as JSON, or the failure that it is when it has no JSON form."""
    try:
        encoded = ActivityTriggerConverter.encode(returned, expected_type=None).value
        return Success(text(json.loads(encoded)))
    except Exception as error:  # noqa: BLE001 - whatever a result's own `to_json` raises is the activity's failure
        return failure_of(task.name, error)


def failure_of(name: str, error: BaseException) -> Failure:
    message = f"{type(error).__name__}: {error}"
    return Failure(f"Activity function '{name}' failed: {message}", stack_of(error))

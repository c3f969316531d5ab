"""The boundary of an activity: its input out of the history's JSON, its result or failure into it."""

import json
from typing import Any

from azure.functions.durable_functions import ActivityTriggerConverter
from azure.functions.meta import Datum

from local.functions.durable.decisions import Failure, Success
from local.functions.durable.events import text
from local.functions.durable.store import Task
from local.functions.logs import stack_of

EXCEPTION = "System.Exception"
RPC_EXCEPTION = "Microsoft.Azure.WebJobs.Script.Workers.Rpc.RpcException"


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
    """The reason in the extension's words; the details are the .NET exceptions around the worker's, as JSON."""
    message = f"{type(error).__name__}: {error}"
    told = f"Result: Failure\nException: {message}\nStack: {stack_of(error)}"
    return Failure(f"Activity function '{name}' failed: {message}", text(_as_dotnet(message, told)))


def _as_dotnet(message: str, told_by_worker: str) -> dict[str, Any]:
    inner = _exception(RPC_EXCEPTION, "Microsoft.Azure.WebJobs.Script.Grpc", told_by_worker, None)
    return _exception(EXCEPTION, "System.Private.CoreLib", message, inner)


def _exception(name: str, assembly: str, message: str, inner: dict[str, Any] | None) -> dict[str, Any]:
    """As Newtonsoft.Json writes an exception."""
    return {
        "$type": f"{name}, {assembly}",
        "ClassName": name,
        "Message": message,
        "Data": None,
        "InnerException": inner,
        "HelpURL": None,
        "StackTraceString": None,
        "RemoteStackTraceString": None,
        "RemoteStackIndex": 0,
        "ExceptionMethod": None,
        "HResult": -2146233088,
        "Source": None,
        "WatsonBuckets": None,
    }

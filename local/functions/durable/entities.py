"""Durable entities: requests gather in an entity's inbox, are handled in batches, one batch at a time.

A batch is one transition, as an episode is: the requests are taken from the inbox, the new state is kept, and the
answers to those who called go out, all or nothing.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.functions.durable.decisions import missing_function
from local.functions.durable.events import text


@dataclass(slots=True)
class EntityBatch:
    instance_id: str
    state: str | None
    """The state as the SDK has written it, None when the entity doesn't exist."""
    requests: list[dict[str, Any]]
    places: list[int]

    @property
    def name(self) -> str:
        return entity_of(self.instance_id)[0]


@dataclass(slots=True)
class EntityOutcome:
    state: str | None
    results: list[dict[str, Any]]
    """One per request, `isError` and `result`, the latter as JSON text."""


EntityFunction = Callable[[Any], str]


def is_entity(instance_id: str) -> bool:
    return instance_id.startswith("@")


def entity_of(instance_id: str) -> tuple[str, str]:
    """Name and key."""
    name, _, key = instance_id[1:].partition("@")
    return name, key


def request(
    operation: str, given: Any, request_id: str, parent: str | None = None, execution: str | None = None
) -> dict[str, Any]:
    """What is sent to an entity; without a parent no answer is awaited. The input is JSON text within JSON text."""
    message = {"op": operation, "input": text(given), "id": request_id}
    return message | ({"parent": parent, "parentExecution": execution} if parent else {"signal": True})


def play_batch(batch: EntityBatch, functions: Mapping[str, tuple[str, EntityFunction]]) -> EntityOutcome:
    name, key = entity_of(batch.instance_id)
    known = functions.get(name.lower())
    if known is None:
        reason = missing_function("entity", name, {one: registered for one, (registered, _) in functions.items()})
        return EntityOutcome(batch.state, [{"isError": True, "result": text(reason)} for _ in batch.requests])
    body = {
        "self": {"name": name, "key": key},
        "exists": batch.state is not None,
        "state": batch.state,
        "batch": [
            {"id": one["id"], "name": one["op"], "isSignal": one.get("signal", False), "input": one["input"]}
            for one in batch.requests
        ],
    }
    _, function = known
    try:
        answer = json.loads(function(json.dumps(body)))
    except BaseException as error:  # noqa: BLE001 - e.g. a state or a result that can't be serialised fails the batch
        return EntityOutcome(batch.state, [{"isError": True, "result": text(str(error))} for _ in batch.requests])
    return EntityOutcome(answer["entityState"] if answer["entityExists"] else None, answer["results"])


def response(result: dict[str, Any]) -> str:
    """The answer to a call, as the SDK reads it."""
    message = {"result": result.get("result") or "null"}
    return text(message | ({"exceptionType": "Exception"} if result.get("isError") else {}))

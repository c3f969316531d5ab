"""What callers get back. The only place that chooses HTTP status codes."""

import json
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from shared.clock import timestamp
from shared.data import as_data
from shared.errors import (
    AzureResourceException,
    ConfigurationException,
    DeploymentException,
    ErrorCause,
    Failure,
    HubSpokeException,
    StorageException,
    ValidationException,
)
from shared.process.deadline import CODE as NO_ANSWER_IN_TIME
from shared.process.logs import failure_of

JSON = "application/json"
RETRY_AFTER_SECONDS = 5

# A code's status goes before its class's.
_STATUS_OF_CODE = {
    "SpokeNotFound": 404,
    "DeploymentNotFound": 404,
    "LengthRequired": 411,
    "BodyTooLarge": 413,
    "NotJson": 415,
    "IdempotencyKeyReused": 422,
    NO_ANSWER_IN_TIME: 503,
}
_STATUS_OF_ERROR = {
    ValidationException: 400,
    ConfigurationException: 500,
    AzureResourceException: 502,
    DeploymentException: 409,
    StorageException: 503,
    HubSpokeException: 500,
}


@dataclass(frozen=True)
class Answer:
    """Status, body and headers of an answer. The body is a class of `answers`, and is written by its fields."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        return json.dumps(as_data(self.body), ensure_ascii=True, separators=(",", ":"), default=str)


@dataclass(frozen=True)
class ErrorAnswer(ErrorCause):
    """Every answer that is no success."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    timestamp: str


def failure_answer(failure: Failure) -> Answer:
    """An `ErrorAnswer` with its status; `Retry-After` with a transient failure."""
    status = _STATUS_OF_CODE.get(failure.code) or _STATUS_OF_ERROR.get(failure.error, 500)
    headers = {}
    if status == 503 or (status == 502 and failure.transient):
        headers["Retry-After"] = str(math.ceil(failure.retry_after or RETRY_AFTER_SECONDS))
    return Answer(status, ErrorAnswer(**failure.public(), timestamp=timestamp()), headers)


def error_answer(error: Exception) -> Answer:
    """The answer to anything that was raised. An unexpected error is logged by `failure_of`, with its traceback."""
    return failure_answer(failure_of(error))

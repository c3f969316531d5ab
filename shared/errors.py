"""Everything that can go wrong, as six public classes and as data.

    HubSpokeException
    ├── ValidationException       the caller's input
    ├── ConfigurationException    our settings, or the hub that they point to
    ├── AzureResourceException    what Azure Resource Manager answered
    ├── DeploymentException       a spoke or a run is in the wrong state for this
    └── StorageException          the records can't be read or written

Exception types do not survive the activity boundary of Durable Functions, so what crosses it is a `Failure`: a code, a
sentence and a hint. HTTP status codes are chosen in `triggers.http.responses` only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, cast

from shared.data import as_data

# The code of an exception that none of our rules knows.
UNEXPECTED = "InternalError"

ErrorName = Literal[
    "HubSpokeException",
    "ValidationException",
    "ConfigurationException",
    "AzureResourceException",
    "DeploymentException",
    "StorageException",
]


@dataclass(frozen=True)
class ErrorCause:
    """Why something did not work, as callers and records see it."""

    __pydantic_config__: ClassVar = {"extra": "allow"}  # what a run's error says beside: its step

    error: ErrorName
    message: str
    """One sentence for a person."""
    details: dict[str, Any]
    """`code`, and `field` with `value`, or Azure's `request_id`, and a `hint` where there is one."""


@dataclass(frozen=True)
class Failure:
    """Why something did not work, as data.

    error: the public class, one of the six.  code: a stable word for programs, Azure's own where Azure
    spoke.  message: one sentence for a person.  hint: what to do next.  details: what else there is (`field`, `value`,
    `request_id`, `findings`, …).  transient: trying again later can help.  retry_after: seconds that the other side
    asked us to wait.
    """

    error: "type[HubSpokeException]"
    code: str
    message: str
    hint: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    transient: bool = False
    retry_after: float | None = None

    def public(self) -> dict[str, Any]:
        """The `ErrorCause` as JSON; `details` holds the code and the hint."""
        details: dict[str, Any] = {"code": self.code, **self.details}
        if self.hint:
            details["hint"] = self.hint
        public: dict[str, Any] = as_data(ErrorCause(cast(ErrorName, self.error.__name__), self.message, details))
        return public

    def as_exception(self) -> "HubSpokeException":
        """The exception that carries this failure."""
        exception = self.error(self.message)
        exception.failure = self
        return exception

    def permanent(self) -> "Failure":
        """The same failure, not to be tried again."""
        return replace(self, transient=False, retry_after=None)


def so_many(number: int, noun: str) -> str:
    """`1 resource`, `2 resources`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def how_to_grant(missing: Iterable[Mapping[str, str]]) -> str:
    """The hint for rights that the app's identity lacks. missing: each with its `action` and `scope`."""
    rights = ", ".join(f"{each['action']} over {each['scope']}" for each in missing)
    return f"Grant the app's identity {rights}; docs/operations.md lists all its rights. A new role assignment takes minutes."


class HubSpokeException(Exception):  # noqa: N818 - the public name of the API
    """The root of the tree. `code`, `hint` and `details` are those of `Failure`."""

    default_code = UNEXPECTED

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        transient: bool = False,
        retry_after: float | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.failure = Failure(
            error=next(kind for kind in reversed(CLASSES) if isinstance(self, kind)),
            code=code or self.default_code,
            message=message,
            hint=hint,
            details=details,
            transient=transient,
            retry_after=retry_after,
        )


class ValidationException(HubSpokeException):
    """The caller's input can't be accepted; `field` and `value` in the details say which part."""

    default_code = "InvalidRequest"


class ConfigurationException(HubSpokeException):
    """A setting is missing or bad, or the hub that it names isn't as it must be."""

    default_code = "InvalidConfiguration"


class AzureResourceException(HubSpokeException):
    """Azure Resource Manager refused, or an operation of its ended in failure."""

    default_code = "AzureRefused"


class DeploymentException(HubSpokeException):
    """The spoke or run is not in a state that allows this."""

    default_code = "StateConflict"


class StorageException(HubSpokeException):
    """Azure Table Storage could not be reached, or refused."""

    default_code = "StorageUnavailable"


CLASSES: tuple[type[HubSpokeException], ...] = (HubSpokeException, *HubSpokeException.__subclasses__())


def error_class(name: str) -> type[HubSpokeException]:
    """The public class of a name in JSON; the root for one that a newer version wrote."""
    return next((kind for kind in CLASSES if kind.__name__ == name), HubSpokeException)

"""ARM's errors: status, code, message and body as recorded or reported.

Only errors that more than one module raises have a function here; the others stand beside the rule that raises them.
"""

from __future__ import annotations

from typing import Any


class ArmError(Exception):
    """A refusal. `retry_after` is in Azure's seconds."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: list[dict[str, Any]] | None = None,
        target: str | None = None,
        retry_after: float | None = None,
        from_gateway: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.target = target
        self.retry_after = retry_after
        self.from_gateway = from_gateway
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """`{"error": {...}}`."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target is not None:
            error["target"] = self.target
        if self.details is not None:
            error["details"] = self.details
        return {"error": error}


def by_network(code: str, message: str, status: int = 400, details: list[dict[str, Any]] | None = None) -> ArmError:
    """A refusal by the network provider: it always writes `details`."""
    return ArmError(status, code, message, details=details or [])


def by_gateway(status: int, code: str, message: str, **more: Any) -> ArmError:
    """A refusal by ARM itself, before any provider: `x-ms-failure-cause: gateway`."""
    return ArmError(status, code, message, from_gateway=True, **more)


def resource_group_not_found(group: str) -> ArmError:
    """A group that isn't there, or anything in it [R]."""
    return by_gateway(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")


def resource_group_being_deleted(group: str) -> ArmError:
    """Nothing is written into a group that is being deleted, nor is the group itself (its words are unverified)."""
    return by_gateway(
        409,
        "ResourceGroupBeingDeleted",
        f"The resource group '{group}' is in deprovisioning state and cannot perform this operation.",
    )


def resource_not_found(type_and_name: str, group: str) -> ArmError:
    """For a missing resource, and for a child of a missing one (which names the parent) [R]."""
    return by_gateway(
        404,
        "ResourceNotFound",
        f"The Resource '{type_and_name}' under resource group '{group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def child_not_found(resource_id: str) -> ArmError:
    """The parent is there, the child isn't; the network provider's own words [R]."""
    return by_network("NotFound", f"Resource {resource_id} not found.", 404)


def invalid_reference(missing_id: str, referring_id: str) -> ArmError:
    """An id that points nowhere [I]."""
    return by_network(
        "InvalidResourceReference",
        f"Resource {missing_id} referenced by resource {referring_id} was not found. Please make sure that the "
        "referenced resource exists, and that both resources are in the same region.",
    )


def parent_of_reference_not_found(missing_id: str, referring_id: str) -> ArmError:
    """A reference into a VNet that isn't there names the VNet and says NotFound in the details."""
    error = invalid_reference(missing_id, referring_id)
    error.details = [{"code": "NotFound", "message": f"Resource {missing_id} not found."}]
    return error


def another_operation_in_progress(operation_url: str) -> ArmError:
    """A second write in one VNet [I]."""
    return by_network(
        "AnotherOperationInProgress",
        "Another operation on this or dependent resource is in progress. To retrieve status of the operation use uri: "
        f"{operation_url}.",
        409,
    )


def not_provisioned_message(resource_id: str, user: str, state: str, operation: str) -> str:
    """The sentence that both forms of ReferencedResourceNotProvisioned share."""
    return (
        f"Cannot proceed with operation because resource {resource_id} used by resource {user} is not in Succeeded "
        f"state. Resource is in {state} state and the last operation that updated/is updating the resource is "
        f"{operation}."
    )


def referenced_resource_not_provisioned(resource_id: str, user: str, state: str, operation: str) -> ArmError:
    """400, for peerings [I]."""
    return by_network("ReferencedResourceNotProvisioned", not_provisioned_message(resource_id, user, state, operation))


def retryable_reference(resource_id: str, user: str, state: str, operation: str) -> ArmError:
    """429 for a NIC and the like over a resource that is being written [R]."""
    return ArmError(
        429,
        "RetryableError",
        "A retryable error occurred.",
        details=[
            {
                "code": "ReferencedResourceNotProvisioned",
                "message": not_provisioned_message(resource_id, user, state, operation),
            }
        ],
        retry_after=10,
    )


def retryable_lock(operation: str, operation_id: str, resource_id: str, seconds: int) -> ArmError:
    """429 for a write to a network resource that another operation is writing [R]."""
    return ArmError(
        429,
        "RetryableError",
        "A retryable error occurred.",
        details=[
            {
                "code": "RetryableErrorDueToAnotherOperation",
                "message": f"Operation {operation} ({operation_id}) is updating resource {resource_id}. "
                f"The call can be retried in {seconds} seconds.",
            }
        ],
        retry_after=seconds,
    )


def etag_mismatch(given: str, actual: str, resource_id: str) -> ArmError:
    """If-Match at the network provider [I]."""
    return by_network(
        "PreconditionFailed",
        "Precondition failed.",
        412,
        [
            {
                "code": "PreconditionFailedEtagMismatch",
                "message": f"Etag provided in if-match header {given} does not match etag {actual} of resource "
                f"{resource_id} in NRP data store.",
            }
        ],
    )


def invalid_parameter(target: str, message: str | None = None) -> ArmError:
    """The compute provider's word for a bad value [I]."""
    return ArmError(400, "InvalidParameter", message or f"The value of parameter {target} is invalid.", target=target)


def missing_parameter(target: str) -> ArmError:
    """A group that isn't there, or anything in it [R]."""
    name = target.rsplit(".", 1)[-1]
    return invalid_parameter(target, f"Required parameter '{name}' is missing (null).")


def conflict() -> ArmError:
    """The compute provider's word for a write to what another operation is writing."""
    return ArmError(
        409,
        "Conflict",
        "The request failed due to conflict with a concurrent request. To resolve it, please refer to "
        "https://aka.ms/activitylog to get more details on the conflicting requests.",
    )


def invalid_content(message: str) -> ArmError:
    """A body that is no JSON object."""
    return by_gateway(
        400, "InvalidRequestContent", f"The request content was invalid and could not be deserialized: '{message}'."
    )


def cannot_parse(code: str, message: str) -> ArmError:
    """The network provider's word for a body that it can't make sense of."""
    return by_network("InvalidRequestFormat", "Cannot parse the request.", 400, [{"code": code, "message": message}])

"""Azure Resource Manager through the SDKs' own clients: raw JSON in, raw JSON out, nothing waited for.

The documents stay as ARM sent them, because a model that doesn't know a property would drop it on the way back; the
api-versions are ours; the SDK's own retries are off, because it would sleep out any Retry-After inside an activity.
"""

import importlib
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError
from azure.core.rest import HttpRequest

from shared.arm.api_versions import api_version_of
from shared.arm.failures import PASSES, ArmError, error_object, error_of_answer, error_of_exception
from shared.arm.targets import RefusedTargetError, is_absolute, url_of
from shared.clock import utc_now
from shared.errors import AzureResourceException, Failure
from shared.process.deadline import current_deadline, waiting_for
from shared.process.identity import identity
from shared.process.once import import_what_requests_import, importing, once
from shared.saga.outcomes import Operation
from shared.saga.policy import longest_request
from shared.settings import Settings, current_settings
from shared.spoke.resource_ids import ResourceIds, group_of, ids_of, name_of, type_of

if TYPE_CHECKING:
    from azure.core.rest import HttpResponse

    from shared.process.transport import Transport

log = logging.getLogger(__name__)

_RUNNING = frozenset({"inprogress", "running", "accepted", "creating", "updating", "deleting", "started", "pending"})

_SCOPE = "https://management.azure.com/.default"

# The SDK client for each provider, by its module, imported when it is first needed; `resources` is for all others.
_SDK_CLIENTS = {
    "compute": ("azure.mgmt.compute", "ComputeManagementClient"),
    "network": ("azure.mgmt.network", "NetworkManagementClient"),
    "resources": ("azure.mgmt.resource.resources", "ResourceManagementClient"),
}


@dataclass(frozen=True)
class Accepted:
    """ARM took a write. operation: None when there is nothing to wait for.  wait: its Retry-After, in seconds.
    existed: False when a DELETE found nothing (204)."""

    operation: Operation | None
    wait: float | None
    body: dict[str, Any] | None
    existed: bool = True


@dataclass(frozen=True)
class Progress:
    """How far a long operation is. state: `running`, `succeeded`, `failed` (with `failure`) or `lost`: ARM forgot the
    operation, so the resource itself must tell.  took: its seconds, when it has succeeded and its provider says so."""

    state: str
    wait: float | None = None
    took: float | None = None
    failure: Failure | None = None
    codes: tuple[str, ...] = ()


class Arm:
    """Azure Resource Manager for one hub and gateway, and their spokes. Every method raises `ArmError` and nothing else."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ids: ResourceIds = ids_of(settings)
        self._clients = once(self._new_client)
        self._transport: Transport | None = None

    def get(self, resource_id: str) -> dict[str, Any] | None:
        """The resource as ARM holds it, None when it, its parent or its group isn't there (that of a whole subscription
        is an error)."""
        response = self._send("GET", resource_id)
        if self._is_missing(response, resource_id) or self._went_with_its_group(response, resource_id):
            return None
        document = self._document(response, resource_id)
        if "id" not in document:
            raise _unreadable(response, resource_id)
        return document

    def get_all(self, path: str, *, params: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """All pages of a list."""
        items: list[dict[str, Any]] = []
        response = self._send("GET", path, params=params)
        while True:
            page = self._document(response, path)
            if not isinstance(page.get("value"), list):
                raise _unreadable(response, path)
            items.extend(page["value"])
            if not page.get("nextLink"):
                return items
            response = self._send("GET", page["nextLink"])

    def put(
        self,
        resource_id: str,
        body: dict[str, Any],
        *,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> Accepted:
        """Starts writing a resource whole. The reply can be lost: GET before trying again."""
        response = self._send("PUT", resource_id, body=body, headers=headers, params=params, timeout=timeout)
        document = self._document(response, resource_id, statuses=(200, 201, 202))
        return Accepted(_operation(response), retry_after(response.headers, utc_now()), document)

    def delete(self, resource_id: str, *, headers: dict[str, str] | None = None) -> Accepted:
        """Starts deleting a resource; one that isn't there is already deleted."""
        response = self._send("DELETE", resource_id, headers=headers)
        if self._is_missing(response, resource_id):
            return Accepted(None, None, None, existed=False)
        if response.status_code not in (200, 202, 204):
            raise self._error(response, resource_id)
        return Accepted(
            _operation(response), retry_after(response.headers, utc_now()), None, existed=response.status_code != 204
        )

    def poll(self, operation: Operation) -> Progress:
        """Asks once after a long operation. An HTTP failure of the poll itself is an `ArmError`, the operation's own end is not."""
        response = self._send("GET", operation.url)
        path = operation.url.split("?")[0]
        wait = retry_after(response.headers, utc_now())
        if response.status_code in (404, 410):
            return Progress("lost")
        if operation.form == "location":
            if response.status_code == 202:
                return Progress("running", wait)
            if response.status_code in (200, 201, 204):
                return Progress("succeeded")
            error = self._error(response, path)
            if error.failure.transient:
                raise error
            return Progress("failed", failure=error.failure, codes=error.codes)
        body = self._document(response, path)
        status = str(body.get("status") or "").lower()
        if not status:
            raise _unreadable(response, path)
        if status == "succeeded":
            return Progress("succeeded", took=_took(body))
        if status in _RUNNING:
            return Progress("running", wait)
        said = body.get("error") if isinstance(body.get("error"), dict) else {"code": body.get("status"), "message": ""}
        error = error_of_answer(said, status=200, request_id=response.headers.get("x-ms-request-id"))
        return Progress("failed", failure=error.failure, codes=error.codes)

    # --- inside ---

    def _send(
        self,
        method: str,
        target: str,
        *,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> "HttpResponse":
        try:
            url = url_of(target, self.settings.arm_endpoint)
        except RefusedTargetError as reason:
            raise _refused(target, reason) from None
        absolute = is_absolute(target)
        path = target.split("?")[0]
        query = dict(params or {})
        if not absolute:
            query["api-version"] = api_version_of(type_of(path))
        headers = {"Accept": "application/json", **(headers or {})}
        request = HttpRequest(method, url, params=query or None, json=body, headers=headers)
        seconds = timeout or self.settings.arm_timeout_seconds
        deadline = current_deadline()
        if deadline is not None:
            # Cut short, it would be a write that may have happened or not; an answer that comes too late is of no use.
            least = 0.0 if method == "GET" else longest_request(seconds)
            if deadline.has_passed or deadline.left() < least:
                raise ArmError(deadline.failure(), 0)
        with waiting_for("the import of the Azure SDKs"):
            client = self._client(path)
        try:
            with waiting_for(f"{method} {path.removeprefix(self.settings.arm_endpoint)}"):
                response: HttpResponse = client.send_request(
                    request, connection_timeout=min(10.0, seconds), read_timeout=seconds
                )
                response.read()
        except AzureError as exception:
            if deadline is not None and deadline.has_passed:
                raise ArmError(deadline.failure(), 0) from exception
            raise error_of_exception(exception, None if absolute else target) from exception
        return response

    def _client(self, path: str) -> Any:
        """The SDK client of the provider that a path names; each is built once, when first needed."""
        folded = path.lower()
        return self._clients(next((each for each in _SDK_CLIENTS if f"/microsoft.{each}/" in folded), "resources"))

    def _new_client(self, provider: str) -> Any:
        if self._transport is None:
            with importing:
                from shared.process.transport import Transport

            import_what_requests_import()
            self._transport = Transport()
        module, name = _SDK_CLIENTS[provider]
        with importing:
            client_type = getattr(importlib.import_module(module), name)
        keywords: Any = {
            "base_url": self.settings.arm_endpoint,
            "retry_total": 0,
            # ARM redirects no request; a redirect would take it where its target was not checked.
            "permit_redirects": False,
            "transport": self._transport,
        }
        return client_type(identity(), self.settings.subscription_id, **keywords)

    def check_credential(self) -> None:
        """Raises `ArmError` when the app's identity gets no token."""
        try:
            identity().get_token(_SCOPE)
        except AzureError as exception:
            raise error_of_exception(exception) from exception

    def close(self) -> None:
        """For tests: gives the connections back."""
        for client in self._clients.made():
            client.close()

    def _is_missing(self, response: "HttpResponse", resource_id: str) -> bool:
        """Whether the resource, its parent or its group isn't there. Raises when it is the whole subscription."""
        if response.status_code != 404:
            return False
        error = self._error(response, resource_id)
        if "SubscriptionNotFound" in error.codes:
            raise error
        return True

    def _went_with_its_group(self, response: "HttpResponse", resource_id: str) -> bool:
        """Whether a refusal only means that the resource's group is gone: the rights over it went with it. The group
        itself is read with a right over the subscription."""
        group_id = group_of(resource_id)
        if group_id is None or response.status_code != 403:
            return False
        is_refused = "AuthorizationFailed" in self._error(response, resource_id).codes
        return is_refused and self._send("GET", group_id).status_code == 404

    def _document(self, response: "HttpResponse", target: str, statuses: tuple[int, ...] = (200,)) -> dict[str, Any]:
        if response.status_code >= 400:
            raise self._error(response, target)
        if response.status_code not in statuses:
            raise _unreadable(response, target)
        try:
            body = response.json() if response.content else {}
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise _unreadable(response, target)
        return body

    def _error(self, response: "HttpResponse", target: str) -> ArmError:
        return error_of_answer(
            error_object(response.content),
            status=response.status_code,
            retry_after=retry_after(response.headers, utc_now()),
            request_id=response.headers.get("x-ms-request-id"),
            target=target,
        )


def _took(body: dict[str, Any]) -> float | None:
    """The compute provider says when an operation began and ended; the network provider doesn't."""
    try:
        began, ended = (datetime.fromisoformat(body[name]) for name in ("startTime", "endTime"))
        return (ended - began).total_seconds()
    except (KeyError, TypeError, ValueError):
        return None


def _refused(target: str, reason: RefusedTargetError) -> ArmError:
    """Nothing was sent: the target is one to which the app's token must not go, or an id that names something else."""
    log.error("A request to %r was refused: %s", target[:300], reason)
    failure = Failure(
        AzureResourceException,
        "TargetRefused",
        f"The app sends no request to {target.split('?')[0][:200]!r}: {reason}.",
        "Correct the id if a setting or a row holds it. Such ids aren't written by accident: check who has the Durable system key.",
        {"resource": target.split("?")[0][:300]},
    )
    return ArmError(failure, 400)


def _unreadable(response: "HttpResponse", target: str) -> ArmError:
    """An answer that says that all is well, and doesn't say what is: of a proxy in between, for example."""
    message = f"Azure Resource Manager's answer ({response.status_code}) is not the document that was asked for."
    details = {"resource": target, "status": response.status_code}
    failure = Failure(AzureResourceException, "UnreadableAnswer", message, PASSES, details, transient=True)
    return ArmError(failure, response.status_code)


def _operation(response: "HttpResponse") -> Operation | None:
    """Where to ask after a write. A NIC can be complete at once: then there is no URL at all."""
    if url := response.headers.get("Azure-AsyncOperation"):
        return Operation(url, "status")
    if url := response.headers.get("Location"):
        return Operation(url, "location")
    return None


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Retry-After in seconds (ARM sends numbers; `x-ms-retry-after-ms` comes from a few providers, a date from proxies).
    None for what is neither."""
    for name, unit in (("x-ms-retry-after-ms", 0.001), ("Retry-After", 1.0)):
        text = headers.get(name, "")
        try:
            seconds = float(text) * unit
        except ValueError:
            seconds = _seconds_until(text, now)
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    return None


def _seconds_until(date: str, now: datetime) -> float:
    try:
        return (parsedate_to_datetime(date) - now).total_seconds()
    except (ValueError, TypeError):  # no date, or one without its zone
        return math.nan


@once
def arm_of(settings: Settings) -> Arm:
    """Azure Resource Manager as one gateway's settings have it, with connections of its own."""
    return Arm(settings)


def arm() -> Arm:
    """That of the hub and gateway which the present call is about."""
    return arm_of(current_settings())


def describe(resource_id: str) -> str:
    """A resource as a sentence names it: `virtualNetworks spoke-vnet-1`."""
    return f"{type_of(resource_id).rsplit('/', 1)[-1]} {name_of(resource_id)}"

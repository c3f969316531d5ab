"""Every failure of Azure has a meaning: the table of codes, and every exception that azure-core can raise."""

import inspect
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import requests
from azure.core import exceptions as sdk
from azure.core.pipeline.transport import HttpRequest, RequestsTransportResponse
from azure.data.tables import TableClient

from local.processes import free_port
from local.recipes import tables_connection_string
from shared.arm.client import retry_after
from shared.arm.failures import HINTS, TRANSIENT, error_object, error_of_answer, error_of_exception
from shared.data import as_data, from_data
from shared.errors import CLASSES, Failure, HubSpokeException, StorageException, error_class
from shared.tables.client import ConcurrentUpdate, Table, storage_error

# code, HTTP status, whether it is transient
SEEN = [
    ("AnotherOperationInProgress", 409, True),
    ("ReferencedResourceNotProvisioned", 400, True),
    ("RetryableError", 429, True),
    ("NicReservedForAnotherVm", 400, True),
    ("NicInUse", 400, True),
    ("InUseSubnetCannotBeDeleted", 400, True),
    ("InUseNetworkSecurityGroupCannotBeDeleted", 400, True),
    ("PreconditionFailed", 412, True),
    ("SubscriptionRequestsThrottled", 429, True),
    ("InvalidResourceReference", 400, False),
    ("NetcfgSubnetRangeOutsideVnet", 400, False),
    ("NetcfgSubnetRangesOverlap", 400, False),
    ("VnetAddressSpacesOverlap", 400, False),
    ("VnetAddressSpaceOverlapsWithAlreadyPeeredVnet", 400, False),
    ("RemotePeeringIsDisconnected", 400, False),
    ("SkuNotAvailable", 409, False),
    ("AllocationFailed", 200, False),
    ("ConflictingUserInput", 200, False),
    ("PlatformImageNotFound", 404, False),
    ("InvalidParameter", 400, False),
    ("ExpiredAuthenticationToken", 401, True),
    ("InvalidAuthenticationToken", 401, False),
    ("AuthorizationFailed", 403, False),
    ("LinkedAuthorizationFailed", 403, False),
    ("ScopeLocked", 409, False),
    ("RequestDisallowedByPolicy", 403, False),
    ("ApplicationGatewayKeyVaultSecretException", 200, False),
]


@pytest.mark.parametrize(("code", "status", "passes"), SEEN)
def test_a_code_decides_whatever_the_status(code: str, status: int, passes: bool) -> None:
    failure = error_of_answer({"code": code, "message": "…"}, status=status).failure
    assert (failure.code, failure.transient) == (code, passes)


def test_every_rule_is_tried_by_its_code_alone() -> None:
    for code in TRANSIENT | HINTS.keys():
        failure = error_of_answer({"code": code, "message": "…"}, status=400).failure
        assert failure.transient == (code in TRANSIENT), code
        assert failure.hint, "a failure says what to do next"


def test_the_inner_code_decides_for_a_wrapped_error() -> None:
    error = {
        "code": "Canceled",
        "message": "Operation was canceled.",
        "details": [{"code": "CanceledAndSupersededDueToAnotherOperation", "message": "superseded"}],
    }
    found = error_of_answer(error, status=200)
    assert found.failure.code == "CanceledAndSupersededDueToAnotherOperation"
    assert found.codes == ("Canceled", "CanceledAndSupersededDueToAnotherOperation")
    assert found.failure.transient


def test_quota_throttle_and_attached_disk_share_one_code_and_are_told_apart() -> None:
    quota = (
        "Operation could not be completed as it results in exceeding approved standardBSFamily Cores quota. Additional "
        "details - Deployment Model: Resource Manager, Location: eastus, Current Limit: 4, Current Usage: 4, Additional "
        "Required: 2, (Minimum) New Limit Required: 6."
    )
    failure = error_of_answer({"code": "OperationNotAllowed", "message": quota}, status=409).failure
    assert (failure.code, failure.transient) == ("QuotaExceeded", False)
    assert "4 of 4 vCPUs used" in failure.message
    throttle = {
        "code": "OperationNotAllowed",
        "message": "The server rejected the request because too many requests have been received for this subscription.",
        "details": [{"code": "TooManyRequests", "target": "HighCostGet30Min"}],
    }
    failure = error_of_answer(throttle, status=429, retry_after=1200).failure
    assert (failure.code, failure.transient, failure.retry_after) == ("TooManyRequests", True, 1200)
    attached = {"code": "OperationNotAllowed", "message": "Disk d is attached to VM /subscriptions/x."}
    assert error_of_answer(attached, status=409).failure.transient


def test_a_wait_that_only_the_message_names_is_honoured() -> None:
    message = "Operation PutX (guid) is updating resource r. The call can be retried in 14 seconds."
    error = {"code": "RetryableError", "details": [{"code": "RetryableErrorDueToAnotherOperation", "message": message}]}
    assert error_of_answer(error, status=429).failure.retry_after == 14


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        ("Retry-After", "17", 17),
        ("x-ms-retry-after-ms", "1500", 1.5),
        ("Retry-After", "-1", 0),
        ("Retry-After", "Wed, 21 Oct 2026 07:28:30 GMT", 30),
        ("Retry-After", "Wed, 21 Oct 2026 07:00:00 GMT", 0),
        *(("Retry-After", garbage, None) for garbage in ("", "soon", "nan", "inf", "1e999", "Wed, 99 Oct 2026")),
    ],
)
def test_retry_after_is_read_in_all_its_forms_and_garbage_is_none(name: str, value: str, seconds: float | None) -> None:
    assert retry_after({name: value}, datetime(2026, 10, 21, 7, 28, tzinfo=UTC)) == seconds
    assert retry_after({}, datetime(2026, 10, 21, 7, 28, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    "body", [b"", b"<html><body>Service Unavailable</body></html>", b"null", b"[1]", b'{"error":"x"}', b"\xff"]
)
def test_a_body_that_is_no_arm_error_is_judged_by_the_status(body: bytes) -> None:
    assert error_object(body) is None
    assert error_of_answer(error_object(body), status=503).failure.transient
    assert not error_of_answer(error_object(body), status=400).failure.transient


@pytest.mark.parametrize("error", [None, {"code": "ConditionNotMet", "message": "The condition was not met."}])
def test_what_was_changed_meanwhile_is_looked_at_again_whatever_its_code(error: dict[str, str] | None) -> None:
    assert error_of_answer(error, status=412).failure.transient


def test_a_message_that_embeds_others_does_not_burst_the_records() -> None:
    failure = error_of_answer({"code": "Conflict", "message": "again and " * 100_000}, status=409).failure
    assert len(failure.message) < 5000


def test_pascal_case_bodies_are_read() -> None:
    inner = {
        "Code": "ResourceGroupDeletionBlocked",
        "Message": "blocked",
        "Details": [{"Code": None, "Message": "inner"}],
    }
    failure = error_of_answer(error_object(json.dumps({"Error": inner}).encode()), status=409).failure
    assert failure.code == "ResourceGroupDeletionBlocked"


AZURE_ERRORS = [
    kind
    for _, kind in inspect.getmembers(sdk, inspect.isclass)
    if issubclass(kind, sdk.AzureError) and kind.__module__ == sdk.__name__
]


def answer_of(status: int) -> RequestsTransportResponse:
    plain = requests.Response()
    plain.status_code, plain.reason, plain._content = status, "Odd", b"<html></html>"
    return RequestsTransportResponse(HttpRequest("GET", "https://arm.example/x"), plain)


def answered_with(status: int) -> sdk.HttpResponseError:
    return sdk.HttpResponseError(response=answer_of(status))


def made(kind: type[sdk.AzureError]) -> sdk.AzureError:
    first = next(iter(inspect.signature(kind).parameters))
    given = {"message": "no answer", "response": answer_of(503), "history": []}[first]
    error: sdk.AzureError = kind(given)
    return error


def test_every_exception_of_azure_core_has_a_meaning() -> None:
    assert len(AZURE_ERRORS) > 10
    for kind in AZURE_ERRORS:
        assert error_of_exception(made(kind)).failure.message, kind


def test_every_exception_of_azure_core_leaves_the_tables_as_one_of_ours() -> None:
    for kind in AZURE_ERRORS:
        error = storage_error(made(kind))
        assert error.failure.error is StorageException, kind
        assert error.failure.transient, kind


@pytest.mark.parametrize(("status", "transient"), [(400, True), (401, False), (403, False), (500, True), (503, True)])
def test_a_refusal_of_the_tables_is_permanent_and_others_pass(status: int, transient: bool) -> None:
    assert storage_error(answered_with(status)).failure.transient is transient


@pytest.mark.parametrize("status", [404, 409, 412])
def test_a_lost_race_of_the_tables_is_a_concurrent_update(status: int) -> None:
    error = storage_error(answered_with(status))
    assert isinstance(error, ConcurrentUpdate)
    assert error.failure.public()["error"] == "StorageException"


def test_no_exception_of_the_sdk_leaves_a_table_that_does_not_answer() -> None:
    unreachable = tables_connection_string(f"http://127.0.0.1:{free_port()}")
    with TableClient.from_connection_string(unreachable, "Spokes", retry_total=0) as client:
        calls: list[Callable[[], object]] = [
            lambda: Table(client).get("p", "r"),
            lambda: Table(client).query("PartitionKey eq @p", {"p": "p"}),
            lambda: Table(client).has_any("PartitionKey eq @p", {"p": "p"}),
            lambda: Table(client).write([("create", {"PartitionKey": "p", "RowKey": "r"})]),
            lambda: Table(client).write([("create", {"PartitionKey": "p", "RowKey": row}) for row in "ab"]),
        ]
        for call in calls:
            with pytest.raises(StorageException) as caught:
                call()
            assert caught.value.failure.code == "NoAnswer"


def test_a_failure_survives_json() -> None:
    for kind in CLASSES:
        failure = Failure(kind, "Code", "No.", "Do this.", {"status": 1}, transient=True, retry_after=2.0)
        assert from_data(Failure, json.loads(json.dumps(as_data(failure)))) == failure
        assert failure.public()["error"] == kind.__name__


def test_a_class_that_a_newer_version_wrote_is_read_as_the_root() -> None:
    assert error_class("SomethingNew") is HubSpokeException


CLIENT = "The client 'c' with object id 'c'"
PEER, JOIN = "Microsoft.Network/virtualNetworks/peer/action", "Microsoft.Network/networkSecurityGroups/join/action"


@pytest.mark.parametrize(
    ("code", "message", "missing"),
    [
        (
            "AuthorizationFailed",
            f"{CLIENT} does not have authorization to perform action 'A/b/read' over scope '/s/1' or the scope is invalid.",
            [("A/b/read", "/s/1")],
        ),
        (
            "LinkedAuthorizationFailed",
            f"{CLIENT} has permission to perform action 'A/write' on scope '/w'; however, it does not have permission to "
            f"perform action(s) '{PEER},{JOIN}' on the linked scope(s) '/v,/g' (respectively) or the linked scope(s) are "
            "invalid.",
            [(PEER, "/v"), (JOIN, "/g")],
        ),
        (
            "LinkedAuthorizationFailed",
            f"{CLIENT} has permission to perform action 'A/write' on scope '/w'; however, it does not have permission to "
            f"perform action '{PEER}' on the linked scope(s) '/v,/g' or the linked scope(s) are invalid.",
            [(PEER, "/v,/g")],
        ),
    ],
)
def test_a_refusal_names_what_to_grant(code: str, message: str, missing: list[tuple[str, str]]) -> None:
    failure = error_of_answer({"code": code, "message": message}, status=403).failure
    assert failure.details["missing"] == [{"action": action, "scope": scope} for action, scope in missing]
    assert all(f"{action} over {scope}" in (failure.hint or "") for action, scope in missing)
    assert failure.transient is False


def test_a_refusal_that_names_nothing_points_to_the_list() -> None:
    failure = error_of_answer({"code": "AuthorizationFailed", "message": "No."}, status=403).failure
    assert "missing" not in failure.details
    assert "docs/operations.md" in (failure.hint or "")

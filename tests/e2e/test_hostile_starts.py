"""What somebody can do who holds the Durable system key, and with it may start any orchestrator under any id with any input.

Nothing leaves for a host of his, nothing is written at Azure, no row changes, and no writer is kept from its work.
"""

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from azure.data.tables import TableServiceClient

from local.stack import Stack
from shared.saga.steps import CHILDREN
from tests.e2e.client import Api, Document, request_for

ENDED = ("Completed", "Failed", "Terminated")
WRITERS = ("gateway-hub-agw", "hub-hub-vnet")
WRITES = ("PUT", "DELETE", "POST", "PATCH")


class Listener:
    """A port of the attacker's. Whoever connects is counted: the token would follow."""

    def __init__(self) -> None:
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}/collect"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                connection.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


class WebHook:
    """The Durable management API, as its key opens it."""

    def __init__(self, api: Api) -> None:
        endpoints = api.stack.endpoints
        root = endpoints["api"].removesuffix("/api")
        self._http = httpx.Client(
            base_url=f"{root}/runtime/webhooks/durabletask",
            params={"code": endpoints["system_key"]},
            timeout=30,
            trust_env=False,
        )

    def close(self) -> None:
        self._http.close()

    def start(self, name: str, instance_id: str, given: Any) -> httpx.Response:
        return self._http.post(f"/orchestrators/{name}/{instance_id}", json=given)

    def operate(self, instance_id: str, operation: str, **params: str) -> httpx.Response:
        return self._http.post(f"/instances/{instance_id}/{operation}", params=params)

    def until_ended(self, instance_id: str, seconds: float = 30) -> str:
        latest = time.monotonic() + seconds
        while True:
            answer = self._http.get(f"/instances/{instance_id}")
            status = str(answer.json()["runtimeStatus"])
            if status in ENDED:
                return status
            assert time.monotonic() < latest, f"{instance_id} is {status}: it occupies its id"
            time.sleep(0.05)


@pytest.fixture
def hook(api: Api) -> Iterator[WebHook]:
    made = WebHook(api)
    yield made
    made.close()


def rows_of(stack: Stack) -> Document:
    """All rows, without what timers note meanwhile: that they have ticked, and that a run was looked at."""
    with TableServiceClient.from_connection_string(stack.endpoints["tables"]) as service:
        return {
            f"{table}/{row['RowKey']}": {name: value for name, value in row.items() if name != "confirmed"}
            for table in ("Spokes", "GatewaySites", "HubTurns")
            for row in service.get_table_client(table).list_entities()
            if not row["RowKey"].startswith("ticks:")
        }


def columns_that_differ(before: Document, after: Document) -> Document:
    return {name: (before.get(name), after.get(name)) for name in before | after if before.get(name) != after.get(name)}


def hostile_inputs(url: str, victim: str, run: str) -> dict[str, list[Any]]:
    """What anything may be given, and what has the form of the input of a writer, a run or a step.

    victim: the id of a resource that isn't the attacker's.  run: a deployment that isn't.
    """
    operation = {"url": url, "form": "status"}
    turn = {
        "key": "turn:1", "version": 1, "wanted": False, "hub_vnet_id": f"{victim}?x=", "vnet_id": "",
        "hub_peering": "p", "spoke_peering": "p", "forwarded": True, "hub_has_gateway": False, "made_by": "",
    }  # fmt: skip
    pace = {"poll_seconds": 1, "gather_seconds": 1, "batch": 25, "retry_first_seconds": 1, "retry_max_seconds": 1e9}
    lease = {"nonce": "x", "not_after": "2999-01-01T00:00:00Z"}
    failed = {"state": "failed", "failure": {"error": "E", "code": "C", "message": "m", "transient": False}}
    policy = dict.fromkeys(("poll_max_seconds", "step_deadline_seconds", "retry_max_seconds"), 1000000000.0)
    begin = {"deployment_id": run, "spoke_id": 1, "client_name": "x", "kind": "delete", "policy": policy}
    outcome = {"status": "deleted", "left_behind": []}

    def step(name: str, **more: Any) -> Document:
        call = {"deployment_id": run, "spoke_id": 1, "name": name, "number": 1, "given": outcome, **more}
        return {"call": call, "policy": policy, "deadline_seconds": None}

    anything: list[Any] = [
        None,
        [],
        "text",
        0,
        -1e9,
        True,
        [[[{}]] * 1000],
        {"__class__": "Popen", "__module__": "subprocess", "__data__": "id"},
    ]
    writer: list[Any] = [
        {"poll_seconds": 1e9, "gather_seconds": 1e9, "retry_first_seconds": 1e9, "retry_max_seconds": 1e9, "batch": -1},
        {"poll_seconds": "1", "batch": None, "retry_max_seconds": []},
        {**pace, "operation": operation, "nonce": "x", "ended": None},
        {**pace, "operation": None, "nonce": "x", "ended": {**failed, "codes": ["C"]}},
        {**pace, **lease, "queue": [turn], "present": None},
        {**pace, **lease, "queue": [{**turn, "wanted": True}], "present": None},
        {**pace, **lease, "queue": [], "present": {"turn": turn, "operation": operation, "begun_at": "x"}},
        {**pace, **lease, "open": [{"key": "turn:1", "version": 1, "operation": operation}]},
        {**pace, **lease, "results": [{"key": "turn:1", "version": 1, **failed}]},
    ]
    steps = [
        *(step(name) for name in ("record_outcome", "release_reservations", "give_up_step", "begin_rollback")),
        step("delete_vm"),
        step("create_vnet", operation=operation),
        step("write_hub_side"),
        step("poll_gateway", operation=operation),
    ]
    runs = [begin, {**begin, "kind": "deploy"}, {**begin, "deployment_id": "../../x"}]
    return {"anything": anything, "writer": writer, "run": runs, "step": steps}


@pytest.fixture(scope="module")
def completed(api: Api) -> Document:
    return api.deployed(request_for(50, "victim"))


@pytest.mark.parametrize("each_with_all", [False, pytest.param(True, marks=pytest.mark.full)])
def test_no_start_over_the_web_hook_does_anything(
    api: Api, stack: Stack, hook: WebHook, completed: Document, listener: Listener, each_with_all: bool
) -> None:
    """Under the app's own ids each with anything and with what has the form of its own input, or with the others' too;
    under other ids with one input each, or with three."""
    run = completed["deployment"]["deployment_id"]
    victim = next(each["id"] for each in api.arm_resources() if "/virtualmachines/" in each["id"].lower())
    for writer in WRITERS:
        hook.until_ended(writer)
    before, asked = rows_of(stack), len(api.arm_journal())
    inputs = hostile_inputs(listener.url, victim, run)
    every = [given for group in inputs.values() for given in group]
    own = {
        ("write_gateway", "gateway-hub-agw"): "writer",
        ("WRITE_HUB", "hub-hub-vnet"): "writer",
        ("run_step", f"{run}:create_vm"): "step",
        ("deploy_spoke", run): "run",
    }
    others = {
        "write_gateway": ["gateway-hub-agw:2", "gateway-other", "hub-hub-vnet", run, "mine"],
        "write_hub": ["hub-hub-vnet:7", "hub-other", "gateway-hub-agw", f"{run}:create_vm", "mine"],
        "run_step": [f"{run}:record_outcome", f"{run}:delete_vm:2", "gateway-hub-agw", run, "mine"],
        "deploy_spoke": [f"{run}:create_vm", "hub-hub-vnet", "deploy-nobody-1-abcd", "mine"],
        "Delete_Spoke": [run, "gateway-hub-agw", run.replace("deploy-", "delete-"), "rollback-nobody-1-abcd", "mine"],
    }
    columns = [
        [(*start, given) for given in (every if each_with_all else inputs["anything"] + inputs[form])]
        for start, form in own.items()
    ]
    # What is started side by side, each under an id of its own.
    rows = [[each for each in row if each] for row in itertools.zip_longest(*columns)]
    three = (None, inputs["step"][-1], inputs["writer"][2])
    for name, ids in others.items():
        for turn in range(3 if each_with_all else 1):
            rows.append([(name, instance_id, three[(turn + number) % 3]) for number, instance_id in enumerate(ids)])
    for row in rows:
        for start in row:
            answer = hook.start(*start)
            assert answer.status_code == 202, answer.text
        for _, instance_id, given in row:
            status = hook.until_ended(instance_id)
            assert status == "Completed" or instance_id not in WRITERS, f"{given} fails the writer {instance_id}"
    assert listener.connections == 0
    written = [entry for entry in api.arm_journal()[asked:] if entry["method"] in WRITES]
    assert written == []
    after = rows_of(stack)
    assert {key: columns_that_differ(before.get(key, {}), after.get(key, {})) for key in before | after} == {
        key: {} for key in before
    }
    api.deployed(request_for(spoke_id := 51 + each_with_all, f"next-{spoke_id}"))


def test_ended_instances_that_are_restarted_or_rewound_do_nothing(
    api: Api, stack: Stack, hook: WebHook, completed: Document
) -> None:
    run = completed["deployment"]["deployment_id"]
    before, asked = rows_of(stack), len(api.arm_journal())
    for child in (run, *(f"{run}:{name}" for name in CHILDREN)):
        restarted = hook.operate(child, "restart", restartWithNewInstanceId="false")
        hook.operate(child, "rewind")
        anew = hook.operate(child, "restart", restartWithNewInstanceId="true")
        for answer, instance_id in ((restarted, child), (anew, anew.json().get("id"))):
            if answer.status_code == 202:
                hook.until_ended(instance_id)
    written = [entry for entry in api.arm_journal()[asked:] if entry["method"] in WRITES]
    assert written == []
    assert rows_of(stack) == before

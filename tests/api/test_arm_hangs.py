"""Azure Resource Manager, or the identity endpoint, takes requests and doesn't answer: who needs neither isn't held up. The
tables are busy: that is said at once.

No clock: what must come back is asked for while the stand-in holds its answers, and is released only afterwards.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from local.processes import running
from local.recipes import functions_recipe, tables_connection_string, tables_proxy_recipe
from shared.settings import Settings
from tests.api.calls import Body, at_once, caller, made, refused, until
from tests.api.conftest import Host, Moves

EVERYTHING_OF_ARM = "^/subscriptions"
# More probes than a pool of the platform's own has threads; and each asks four things of ARM.
PROBES = 12


@contextmanager
def holding(host: Host, path: str) -> Iterator[None]:
    host.arm.post("/_local/faults", json={"mode": "hold", "path": path, "times": None}).raise_for_status()
    try:
        yield
    finally:
        host.arm.delete("/_local/faults").raise_for_status()


def until_held(host: Host) -> None:
    until(lambda: host.arm.get("/_local/held").json())


@pytest.fixture(scope="module")
def tables_proxy(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A way to the same tables with faults on it."""
    with running(tables_proxy_recipe(0, host.azurite), tmp_path_factory.mktemp("proxy")) as process:
        yield process.announced or {}


@pytest.fixture(scope="module")
def hasty_host(
    host: Host, tables_proxy: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """A host of this module's own, with the same tables and the same Azure, that soon gives up waiting for ARM."""
    state = tmp_path_factory.mktemp("hasty")
    own = {"ARM_LOOK_SECONDS": "2", "TABLES_CONNECTION_STRING": tables_connection_string(tables_proxy["tables"])}
    recipe = functions_recipe(state / "functions", 0, host.root, host.environment | own)
    with running(recipe, state / "logs") as process:
        yield process.announced or {}


@pytest.fixture(scope="module")
def hasty_caller(hasty_host: dict[str, str]) -> Iterator[httpx.Client]:
    with caller(hasty_host) as client:
        yield client


@pytest.fixture
def http(hasty_caller: httpx.Client, settings: Settings) -> httpx.Client:
    return hasty_caller


def test_an_identity_endpoint_that_hangs_holds_up_only_who_needs_a_token(
    http: httpx.Client, host: Host, body: Body, moves: Moves
) -> None:
    """The first test of this module: its host has no token yet."""
    spoke = made(http, body)["spoke_id"]
    moves.to(spoke, "completed")
    with holding(host, "^/_identity"), ThreadPoolExecutor(PROBES) as probes:
        asked = [probes.submit(http.get, "/health") for _ in range(PROBES)]
        until_held(host)
        assert http.get("/spokes").status_code == 200
        assert http.get(f"/spokes/{spoke}/progress").status_code == 200
        waiting_for: list[str] = []
        while not any("identity endpoint" in each for each in waiting_for):
            refusal = http.delete(f"/spokes/{spoke}")
            # On a busy machine the first may not get beyond its imports, and azure-identity gives up before the last.
            assert refusal.status_code in (502, 503), refusal.text
            waiting_for = refusal.json()["details"].get("waiting_for", [])
        for answer in asked:
            assert answer.result().json()["dependencies"]["credential"]["status"] == "failing"
        held = len(host.arm.get("/_local/held").json())
        assert held < PROBES, (
            "one request for a token at a time, which azure-identity repeats, however many wait for it"
        )
    while (begun := http.delete(f"/spokes/{spoke}")).status_code != 202:
        assert begun.status_code in (502, 503), begun.text  # azure-identity pauses before it asks again


def test_reads_and_creates_come_back_while_arm_holds_its_answers(
    http: httpx.Client, host: Host, body: Body, moves: Moves
) -> None:
    spoke = made(http, body)["spoke_id"]
    moves.to(spoke, "completed")
    with holding(host, EVERYTHING_OF_ARM), ThreadPoolExecutor(PROBES) as probes:
        asked = [probes.submit(http.get, "/health") for _ in range(PROBES)]
        asked += [probes.submit(http.post, "/spokes?mode=plan", json=body) for _ in range(PROBES)]
        until_held(host)
        for path in ("/spokes", f"/spokes/{spoke}", f"/spokes/{spoke}/progress", f"/spokes/{spoke}/deployments"):
            assert http.get(path).status_code == 200
        another = made(http, {**body, "client_name": f"{body['client_name']}-b", "vm_name": f"{body['vm_name']}-b"})
        assert http.get(f"/deployments/{another['deployment_id']}").status_code == 200
        assert host.arm.get("/_local/faults").json(), "nothing has been released yet"
        for answer in asked:
            assert answer.result().status_code == 503


def _names_a_request(answer: httpx.Response) -> bool:
    return any("GET /subscriptions/" in each for each in refused(answer, 503)["details"]["waiting_for"])


def test_a_delete_and_a_plan_say_what_hangs_when_their_deadline_has_passed(
    http: httpx.Client, host: Host, body: Body, moves: Moves
) -> None:
    spoke = made(http, body)["spoke_id"]
    moves.to(spoke, "completed")
    calls: list[Callable[[], httpx.Response]] = [
        lambda: http.delete(f"/spokes/{spoke}"),
        lambda: http.post("/spokes?mode=plan", json={**body, "client_name": "another", "vm_name": "another"}),
    ]
    with holding(host, EVERYTHING_OF_ARM):
        answers = at_once(calls)
        while not all(map(_names_a_request, answers)):  # on a busy machine they may not get as far as a request
            answers = at_once(calls)
        capacity = http.get("/capacity")
    for answer in answers:
        error = refused(answer, 503)
        assert error["details"]["code"] == "NoAnswerInTime"
        assert error["details"]["hint"]
        assert answer.headers["Retry-After"]
    assert {each["details"]["code"] for each in capacity.json()["unknown"]} == {"NoAnswerInTime"}
    assert capacity.json()["address_blocks"]["used"] == 1
    # The delete that was answered with 503 has changed nothing, and the next one is done.
    assert http.get(f"/spokes/{spoke}").json()["status"] == "completed"
    assert http.delete(f"/spokes/{spoke}").status_code == 202


def test_health_names_what_hangs_and_is_well_again_when_it_ends(http: httpx.Client, host: Host) -> None:
    with holding(host, EVERYTHING_OF_ARM):
        answer = http.get("/health")
    dependencies = answer.json()["dependencies"]
    assert answer.status_code == 503
    failing = {name for name, each in dependencies.items() if each["status"] != "ok"}
    assert failing - {"records"} == {
        "arm",
        "hub",
        "gateway",
        "permissions",
    }  # new records are compared with what Azure holds
    assert dependencies["hub"]["details"]["code"] == "NoAnswerInTime"
    assert http.get("/health").status_code == 200


def test_tables_that_do_not_answer_are_503_with_a_time(
    http: httpx.Client, host: Host, tables_proxy: dict[str, str], body: Body
) -> None:
    host.anonymous.post(tables_proxy["faults"], json=[{"mode": "busy"}]).raise_for_status()
    try:
        answers = [http.get("/spokes"), http.post("/spokes", json=body), http.delete("/spokes/1")]
        health = http.get("/health")
    finally:
        host.anonymous.delete(tables_proxy["faults"]).raise_for_status()
    for answer in answers:
        assert refused(answer, 503)["error"] == "StorageException"
        assert int(answer.headers["Retry-After"]) > 0
    assert health.json()["dependencies"]["tables"]["status"] == "failing"

"""What a 202 hands out, and that a start which fails changes nothing: the SDK's own client, against a port where nobody
listens."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest
from azure.durable_functions import DurableOrchestrationClient

import function_app  # noqa: F401 - it declares the routes
from local.functions.durable.stage import Stage
from local.processes import free_port
from shared.errors import StorageException
from shared.settings import Settings, process_settings
from tests.api.calls import conforms
from tests.api.conftest import Host
from triggers.deployments import accepted, durable_urls, start_run
from triggers.http.responses import Answer, ErrorAnswer
from triggers.http.wiring import ROUTES, Call, answered, timer_function
from triggers.timers import repair_gateway
from triggers.use_cases import RunHandle

STORY = RunHandle("deploy-acme-1-abcd", 1, "deploy", "in_progress", "Spoke deployment initiated", start=True)


def call(url: str = "https://x.example.com/api/spokes?code=secret") -> Call:
    origin = f"http://127.0.0.1:{free_port()}"
    instance = f"{origin}/runtime/webhooks/durabletask/instances/INSTANCEID"
    binding = {
        "taskHubName": "HubSpokeV1",
        "rpcBaseUrl": f"{origin}/durabletask/",
        "baseUrl": f"{origin}/runtime/webhooks/durabletask",
        "requiredQueryStringParameters": "code=key",
        "creationUrls": {"createNewInstancePostUri": f"{origin}/runtime/webhooks/durabletask/orchestrators/x"},
        "managementUrls": {
            "id": "INSTANCEID",
            "statusQueryGetUri": f"{instance}?code=key",
            "terminatePostUri": f"{instance}/terminate?reason={{text}}&code=key",
        },
    }
    request = func.HttpRequest("POST", url, body=b"")
    route = next(route for route in ROUTES if route.name == "create_spoke")
    return Call(request, route, DurableOrchestrationClient(json.dumps(binding)))


@pytest.mark.parametrize(
    ("how_much", "given"),
    [
        ("full", {"id", "statusQueryGetUri", "terminatePostUri"}),
        ("status", {"id", "statusQueryGetUri"}),
        ("none", set()),
    ],
)
def test_the_setting_decides_which_urls_are_handed_out(how_much: str, given: set[str]) -> None:
    urls = durable_urls(call(), "deploy-acme-1-abcd", how_much)
    assert set(urls) == given
    if given:
        assert urls["statusQueryGetUri"].startswith("https://x.example.com/runtime/")
        assert "/deploy-acme-1-abcd?" in urls["statusQueryGetUri"]


def test_an_origin_that_is_no_url_is_left_out() -> None:
    urls = durable_urls(call("http://[::1/api/spokes"), "deploy-acme-1-abcd", "status")
    assert urls["statusQueryGetUri"].startswith("http://127.0.0.1:")


def test_a_start_that_fails_is_accepted_all_the_same(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = asyncio.run(accepted(call(), STORY))
    assert answer.status == 202
    assert answer.body.deployment_id == STORY.deployment_id
    assert "could not be started and will be tried again" in caplog.text


def test_a_run_that_another_call_has_started_counts_as_started(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run: dict[str, Any] = {"deployment_id": STORY.deployment_id, "spoke_id": 1, "kind": "deploy"}
    with Stage([], tmp_path / "durable.sqlite") as stage, caplog.at_level(logging.ERROR):
        started = [stage.run(start_run(stage.client(), **run)) for _ in range(2)]
    assert (started, caplog.text) == ([True, True], "")


def test_without_durable_urls_the_location_is_our_own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DURABLE_URLS", "none")
    process_settings.cache_clear()
    answer = asyncio.run(accepted(call(), STORY))
    assert answer.headers["Location"] == answer.headers["Operation-Location"]
    assert answer.headers["Location"] == "https://x.example.com/api/deployments/deploy-acme-1-abcd"
    assert not {"id", "statusQueryGetUri"} & set(json.loads(answer.text()))


def test_an_unexpected_error_is_answered_in_our_shape_and_logged(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(call: Call) -> Answer:
        raise RuntimeError("https://x/?code=secret")

    answer = asyncio.run(answered(broken, call()))
    conforms(json.loads(answer.text()), ErrorAnswer)
    assert (answer.status, answer.body.error) == (500, "HubSpokeException")
    assert "secret" not in answer.text()
    assert "RuntimeError" in caplog.text


def test_a_timer_that_fails_only_says_so(caplog: pytest.LogCaptureFixture) -> None:
    blueprint = df.Blueprint()

    async def fixes(client: Any) -> None:
        raise StorageException("The records could not be read just now.")

    timer_function(blueprint, "0 * * * * *")(fixes)
    function: Any = blueprint._function_builders[0]._function
    assert function.get_trigger().schedule == "0 * * * * *"
    asyncio.run(function.get_user_function().client_function(None, call().durable))
    assert "fixes: The records could not be read just now." in caplog.text


def test_without_sites_the_gateway_is_not_looked_at(settings: Settings, host: Host) -> None:
    before = len(journal(host))
    asyncio.run(repair_gateway(call().durable))
    assert len(journal(host)) == before


def journal(host: Host) -> list[Any]:
    entries: list[Any] = host.arm.get("/_local/requests").json()
    return entries

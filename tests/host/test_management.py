"""The Durable management API, by HTTP and by the SDK's client within functions; what must survive, through a kill."""

import datetime as dt
import json
import uuid

import pytest

from tests.host.hosting import RunningHost


def name() -> str:
    return uuid.uuid4().hex


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("wrong", 401), ("function_key", 403)])
def test_without_the_system_key_it_is_401_and_with_another_one_of_the_host_403(
    host: RunningHost, key: str | None, status: int
) -> None:
    value = host.endpoints.get(key or "", key)
    url = f"{host.base}/runtime/webhooks/durabletask/instances"
    assert host.http.get(url, params={"code": value} if value else {}).status_code == status
    assert host.http.get(url, headers={"x-functions-key": value or ""}).status_code == status


def test_the_key_opens_it_in_the_query_and_in_the_header(host: RunningHost) -> None:
    url = f"{host.base}/runtime/webhooks/durabletask/instances"
    assert host.http.get(url, params={"code": host.endpoints["system_key"]}).status_code == 200
    assert host.http.get(url, headers={"x-functions-key": host.endpoints["system_key"]}).status_code == 200
    assert host.http.get(url, params={"code": host.endpoints["master_key"]}).status_code == 200


def test_the_check_status_response_of_the_client(host: RunningHost) -> None:
    answer = host.http.post(f"{host.api}/start/hello", json="you")
    assert answer.status_code == 202
    assert answer.headers["retry-after"] == "10"
    urls = answer.json()
    assert answer.headers["location"] == urls["statusQueryGetUri"]
    assert set(urls) == {
        "id",
        "statusQueryGetUri",
        "sendEventPostUri",
        "terminatePostUri",
        "rewindPostUri",
        "purgeHistoryDeleteUri",
        "restartPostUri",
        "suspendPostUri",
        "resumePostUri",
    }
    host.until(urls["id"])
    status = host.http.get(urls["statusQueryGetUri"])
    assert status.status_code == 200
    assert status.json()["output"] == "hello you"
    assert host.http.get(urls["statusQueryGetUri"].replace("code=", "code=x")).status_code == 401


def test_starting_over_http(host: RunningHost) -> None:
    one = name()
    answer = host.management("POST", f"orchestrators/chain/{one}", json={"steps": 1})
    assert answer.status_code == 202
    assert answer.json()["id"] == one
    assert answer.json()["statusQueryGetUri"].startswith(
        f"{host.base}/runtime/webhooks/durabletask/instances/{one}?taskHub="
    )
    status = host.until(one)
    assert (status["name"], status["input"], status["output"]) == ("chain", {"steps": 1}, 1)
    assert status["createdTime"].endswith("Z")
    assert len(status["createdTime"]) == len("2026-01-01T00:00:00Z")


def test_starting_and_waiting_for_the_result(host: RunningHost) -> None:
    waiting = {"timeout": "20", "pollingInterval": "1"}
    answer = host.management("POST", "orchestrators/fan_out", json="4", params=waiting)
    assert (answer.status_code, answer.json()) == (200, 12)
    answer = host.management("POST", "orchestrators/raises", params=waiting)
    assert (answer.status_code, answer.json()["runtimeStatus"]) == (200, "Failed")
    answer = host.management("POST", "orchestrators/events", params={"timeout": "0.05", "pollingInterval": "0.01"})
    assert answer.status_code == 202
    assert answer.json()["id"]


def test_refusals(host: RunningHost) -> None:
    assert host.management("POST", "orchestrators/hello", content="{no").status_code == 400
    # What ends too early is another exception of Newtonsoft.Json's, which the extension doesn't expect.
    cut_off = host.management("POST", "orchestrators/hello", content='{"a": 1')
    assert (cut_off.status_code, cut_off.json()["ExceptionType"]) == (500, "Newtonsoft.Json.JsonSerializationException")
    assert host.management("GET", "orchestrators/hello").status_code == 404
    assert host.management("GET", "nowhere").status_code == 404
    assert host.management("PUT", "instances").status_code == 404
    for path in ("", "/raiseEvent/x", "/terminate", "/suspend", "/resume"):
        method = "POST" if path else "GET"
        assert host.management(method, f"instances/{name()}{path}").status_code == 404
    assert host.management("DELETE", f"instances/{name()}").status_code == 404


def test_an_id_in_use_is_refused_also_after_a_kill(host: RunningHost) -> None:
    one = host.begin("events", 1, name())
    host.until(one, "Running")
    for _ in range(2):
        answer = host.http.post(f"{host.api}/start/events", params={"id": one}, json=1)
        assert answer.status_code == 500
        direct = host.management("POST", f"orchestrators/events/{one}")
        assert direct.status_code == 409
        assert direct.json() == {"Message": "An Orchestration instance with the status Running already exists."}
        host.restart()
    host.management("POST", f"instances/{one}/raiseEvent/news", json="now")
    assert host.until(one)["output"] == ["now"]
    assert host.begin("hello", "again", one) == one
    assert host.until(one)["output"] == "hello again"


def test_status_while_it_runs(host: RunningHost) -> None:
    one = host.begin("events", 2)
    host.until(one, "Running")
    answer = host.management("GET", f"instances/{one}")
    assert answer.status_code == 202
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["location"] == str(answer.request.url)
    assert answer.json()["input"] == "2"
    assert host.status(one, showInput="false")["input"] is None


def test_the_history(host: RunningHost) -> None:
    one = host.begin("parent", {"input": {"steps": 1}})
    host.until(one)
    assert "historyEvents" not in host.status(one)
    events = host.status(one, showHistory="true")["historyEvents"]
    assert [event["EventType"] for event in events] == [
        "ExecutionStarted",
        "SubOrchestrationInstanceCompleted",
        "ExecutionCompleted",
    ]
    assert events[0]["FunctionName"] == "parent"
    assert events[1]["FunctionName"] == "chain"
    assert "ScheduledTime" in events[1]
    assert "Result" not in events[1]
    shown = host.status(one, showHistory="true", showHistoryOutput="true")["historyEvents"]
    assert shown[1]["Result"] == 1
    assert shown[2]["Result"] == {"child": 1}
    hidden = host.status(one, showHistory="true", showInput="false")["historyEvents"]
    assert all("Input" not in event for event in hidden)


def test_failures_are_200_or_500_as_asked(host: RunningHost) -> None:
    one = host.begin("raises")
    host.until(one)
    assert host.management("GET", f"instances/{one}").status_code == 200
    asked = {"returnInternalServerErrorOnFailure": "true"}
    assert host.management("GET", f"instances/{one}", params=asked).status_code == 500


def test_listing_with_filters_and_pages(host: RunningHost) -> None:
    prefix = name()[:12]
    before = dt.datetime.now(dt.UTC).isoformat()
    done = [host.begin("hello", n, f"{prefix}-done-{n}") for n in range(5)]
    open_ = [host.begin("events", 1, f"{prefix}-open-{n}") for n in range(2)]
    for one in done:
        host.until(one)
    for one in open_:
        host.until(one, "Running")
    host.restart()

    def listed(**params: str) -> list[str]:
        answer = host.management("GET", "instances", params={"instanceIdPrefix": prefix} | params)
        assert answer.status_code == 200
        return [one["instanceId"] for one in answer.json()]

    assert listed() == [*done, *open_]
    assert listed(runtimeStatus="Completed") == done
    assert listed(runtimeStatus="Running,Failed") == open_
    assert listed(createdTimeFrom=before) == [*done, *open_]
    assert listed(createdTimeTo=before) == []
    pages: list[list[str]] = []
    token = ""
    while True:
        headers = {"x-ms-continuation-token": token} if token else {}
        params = {"instanceIdPrefix": prefix, "top": "3"}
        answer = host.management("GET", "instances", params=params, headers=headers)
        pages.append([one["instanceId"] for one in answer.json()])
        token = answer.headers.get("x-ms-continuation-token", "")
        if not token:
            break
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [one for page in pages for one in page] == [*done, *open_]


@pytest.mark.parametrize("token", ["", "rubbish", "bnVsbA==", "WzEsMl0="])
@pytest.mark.parametrize("number", ["x", "nan", "inf", "1e3", "-1", "0"])
def test_no_query_is_too_strange_for_an_answer(host: RunningHost, number: str, token: str) -> None:
    params = {"top": number, "createdTimeFrom": number, "runtimeStatus": number, "showInput": number}
    answer = host.management("GET", "instances", params=params, headers={"x-ms-continuation-token": token})
    assert answer.status_code in (200, 400)
    waiting = {"timeout": number, "pollingInterval": number}
    assert host.management("POST", "orchestrators/hello", params=waiting).status_code in (200, 202)
    assert host.management("GET", "entities", params=params).status_code == 200


def test_events(host: RunningHost) -> None:
    one = host.begin("events", 2)
    assert host.management("POST", f"instances/{one}/raiseEvent/news", json={"n": 1}).status_code == 202
    host.restart()
    assert host.management("POST", f"instances/{one}/raiseEvent/news", json=[2]).status_code == 202
    assert host.until(one)["output"] == [{"n": 1}, [2]]
    assert host.management("POST", f"instances/{one}/raiseEvent/news", json=3).status_code == 410


def test_events_are_json(host: RunningHost) -> None:
    one = host.begin("events", 1)
    path = f"instances/{one}/raiseEvent/news"
    assert host.management("POST", path, content="1", headers={"content-type": "text/plain"}).status_code == 400
    assert host.management("POST", path, content="{", headers={"content-type": "application/json"}).status_code == 400


def test_terminate_suspend_and_resume_survive_a_kill(host: RunningHost) -> None:
    one, other = host.begin("events", 1), host.begin("events", 1)
    for each in (one, other):
        host.until(each, "Running")
        assert host.management("POST", f"instances/{each}/suspend", params={"reason": "lunch"}).status_code == 202
        host.until(each, "Suspended")
    assert host.management("POST", f"instances/{one}/raiseEvent/news", json="kept").status_code == 202
    host.restart()
    assert host.status(one)["runtimeStatus"] == "Suspended"
    assert host.management("POST", f"instances/{one}/resume", params={"reason": "back"}).status_code == 202
    assert host.until(one)["output"] == ["kept"]
    assert host.management("POST", f"instances/{other}/terminate", params={"reason": "no more"}).status_code == 202
    status = host.until(other)
    assert (status["runtimeStatus"], status["output"]) == ("Terminated", "no more")
    for operation in ("terminate", "suspend", "resume"):
        assert host.management("POST", f"instances/{other}/{operation}").status_code == 410


def test_purging_one_and_many(host: RunningHost) -> None:
    one = host.begin("hello", 1)
    host.until(one)
    answer = host.management("DELETE", f"instances/{one}")
    assert (answer.status_code, answer.json()) == (200, {"instancesDeleted": 1})
    assert host.management("GET", f"instances/{one}").status_code == 404

    since = dt.datetime.now(dt.UTC).isoformat()
    many = [host.begin("hello", n) for n in range(3)]
    still = host.begin("events", 1)
    for each in many:
        host.until(each)
    host.restart()
    assert host.management("DELETE", "instances").status_code == 400
    answer = host.management("DELETE", "instances", params={"createdTimeFrom": since, "runtimeStatus": "Completed"})
    assert (answer.status_code, answer.json()) == (200, {"instancesDeleted": 3})
    only_these = {"createdTimeFrom": since, "runtimeStatus": "Completed,Running"}
    assert host.management("DELETE", "instances", params=only_these).status_code == 404
    assert host.status(still)["runtimeStatus"] in ("Running", "Pending")
    # Without a status of finished ones everything goes: DurableTask.AzureStorage drops the others from the filter.
    answer = host.management("DELETE", "instances", params={"createdTimeFrom": since, "runtimeStatus": "Failed"})
    assert answer.status_code == 404
    answer = host.management("DELETE", "instances", params={"createdTimeFrom": since, "runtimeStatus": "Running"})
    assert (answer.status_code, answer.json()) == (200, {"instancesDeleted": 1})
    assert host.management("GET", f"instances/{still}").status_code == 404


def test_nothing_that_a_function_raises_ends_the_host(host: RunningHost) -> None:
    """SystemExit ends the worker, which is started again."""
    process = host.process
    words = "Activity function '{}' failed: {}: "
    assert host.result("outcome_of", "cancel_itself").startswith(words.format("cancel_itself", "FunctionExitError"))
    assert host.result("outcome_of", "leave").startswith(words.format("leave", "WorkerProcessExitException"))
    leaves = host.until(host.begin("leaves"))
    assert leaves["runtimeStatus"] == "Failed"
    assert "(python exited with code 3 (0x3))" in leaves["output"]
    assert host.result("outcome_of", "echo") == 3
    assert process is host.process
    assert process is not None
    assert process.poll() is None


def test_wait_for_completion_by_the_client(host: RunningHost) -> None:
    answer = host.http.post(f"{host.api}/wait/chain", json={"steps": 2})
    assert (answer.status_code, answer.text) == (200, "2")


def test_restart_and_rewind(host: RunningHost) -> None:
    one = host.begin("hello", "you")
    host.until(one)
    answer = host.management("POST", f"instances/{one}/restart")
    assert answer.status_code == 202
    assert answer.json()["id"] != one
    assert host.until(answer.json()["id"])["output"] == "hello you"
    assert host.management("POST", f"instances/{one}/rewind").status_code == 412
    failed = host.begin("raises")
    host.until(failed)
    assert host.management("POST", f"instances/{failed}/rewind", params={"reason": "again"}).status_code == 202
    host.until(failed)
    assert host.management("POST", f"instances/{name()}/restart").status_code == 400


def test_call_http_polls_until_it_has_the_result(host: RunningHost) -> None:
    assert host.result("calls_out", f"{host.api}/job") == ["done after 3", 200]


def test_entities(host: RunningHost) -> None:
    key = name()
    path = f"entities/tally/{key}"
    assert host.management("GET", path).status_code == 404
    assert host.http.post(f"{host.api}/tally/{key}").status_code == 200
    assert host.result("counts", key)[0] == 8
    host.restart()
    assert host.management("GET", path).json() == 8
    assert host.management("POST", path, params={"op": "add"}, json="4").status_code == 202
    assert host.result("counts", key)[2] == 15
    listed = host.management("GET", "entities/tally", params={"fetchState": "true", "top": "1000"}).json()
    assert {"name": "tally", "key": key} in [one["entityId"] for one in listed]
    assert host.management("POST", "entities/nobody/1", params={"op": "add"}).status_code == 400
    assert host.management("DELETE", path).status_code == 202
    assert host.result("counts", key)[2] == 3


@pytest.mark.parametrize(
    ("given", "shown"), [("a%20b", "a+b"), ("a+b", "a+b"), ("%40x~", "%40x%7E"), ("p%3Aq", "p%3Aq")]
)
def test_ids_are_escaped_as_by_dotnet(host: RunningHost, given: str, shown: str) -> None:
    one = f"{name()}{given}"
    answer = host.management("POST", f"orchestrators/hello/{one}", json="you")
    assert answer.headers["location"].split("?")[0].endswith(f"/instances/{one[:32]}{shown}")
    assert host.http.get(answer.json()["statusQueryGetUri"]).json()["instanceId"] == answer.json()["id"]


def test_another_task_hub_knows_nothing_of_this_one(host: RunningHost) -> None:
    one = host.begin("hello", "you")
    host.until(one)
    elsewhere = {"TaskHub": "Elsewhere"}
    for method, path, status in (
        ("GET", f"instances/{one}", 404),
        ("DELETE", f"instances/{one}", 404),
        ("POST", f"instances/{one}/terminate", 404),
        ("POST", f"instances/{one}/rewind", 404),
        ("POST", f"instances/{one}/restart", 400),
        ("GET", "instances", 200),
    ):
        answer = host.management(method, path, params=elsewhere)
        assert answer.status_code == status, path
    assert answer.json() == []
    started = host.management("POST", f"orchestrators/hello/{one}", params=elsewhere)
    assert "taskHub=Elsewhere&" in started.json()["statusQueryGetUri"]
    assert host.http.get(started.json()["statusQueryGetUri"]).json()["runtimeStatus"] == "Pending"
    assert host.status(one, taskHub="testhub", connection="storage")["output"] == "hello you"


def test_a_connection_is_the_name_of_app_settings(host: RunningHost) -> None:
    one = host.begin("hello", "you")
    assert host.management("GET", f"instances/{one}", params={"connection": "JOURNAL"}).status_code in (200, 202)
    refused = host.management("POST", f"instances/{one}/terminate", params={"connection": "Absent"})
    assert refused.status_code == 500
    assert refused.json()["ExceptionMessage"] == "Unable to resolve the Azure Storage connection named 'Absent'."
    assert host.management("GET", "nowhere", params={"connection": "Absent"}).status_code == 404


def test_restarting_and_waiting_in_the_wrong_order(host: RunningHost) -> None:
    """One check, two wordings: each operation catches the exception in its own way."""
    one = host.begin("hello", "you")
    host.until(one)
    waiting = {"timeout": "1", "pollingInterval": "2"}
    words = "Total timeout 1 should be bigger than retry timeout 2"
    started = host.management("POST", "orchestrators/hello", params=waiting)
    assert (started.status_code, started.json()) == (400, {"Message": words})
    restarted = host.management("POST", f"instances/{one}/restart", params=waiting)
    assert (restarted.status_code, restarted.json()["ExceptionMessage"]) == (400, words)
    assert restarted.json()["Message"] == "InstanceId does not match a valid orchestration instance."


def test_ids_that_begin_like_an_entitys_are_purged_unseen(host: RunningHost) -> None:
    one = f"@{name()}"
    path = f"instances/%40{one[1:]}"
    assert host.management("DELETE", path).json() == {"instancesDeleted": 0}
    host.management("POST", f"orchestrators/hello/%40{one[1:]}", json="you")
    host.until(path.removeprefix("instances/"))
    assert host.management("DELETE", path).json() == {"instancesDeleted": 1}


def test_a_page_that_is_the_last_has_an_empty_token_for_the_client_alone(host: RunningHost) -> None:
    """The host drops empty headers of what its extensions answer; the SDK asks past the host."""
    path = "instances?instanceIdPrefix=no-such"
    assert "x-ms-continuation-token" not in host.management("GET", path).headers
    keys = json.loads((host.state / "keys.json").read_text())
    assert host.http.get(f"{host.base}/runtime/rpc/{keys['rpc']}/{path}").headers["x-ms-continuation-token"] == ""


def test_a_body_in_chunks_reaches_the_web_hook(host: RunningHost) -> None:
    answer = host.management("POST", "orchestrators/hello", content=iter([b'"', b'you"']))
    assert host.until(answer.json()["id"])["input"] == "you"


def test_lists_are_in_the_order_of_ids_and_take_a_broken_token_for_none(host: RunningHost) -> None:
    prefix = name()
    for each in ("b", "a", "c"):
        host.until(host.begin("hello", each, prefix + each))

    def page(token: str) -> tuple[list[str], str]:
        headers = {"x-ms-continuation-token": token}
        answer = host.management("GET", "instances", params={"instanceIdPrefix": prefix, "top": "2"}, headers=headers)
        return [one["instanceId"][32:] for one in answer.json()], answer.headers.get("x-ms-continuation-token", "")

    first, token = page("")
    assert (first, page("!!")[0], page(token)) == (["a", "b"], ["a", "b"], (["c"], ""))
    by_number = host.management("GET", "instances", params={"instanceIdPrefix": prefix, "runtimeStatus": "1"})
    assert len(by_number.json()) == 3


def test_histories_show_what_is_under_way_and_what_failed(host: RunningHost) -> None:
    one = host.begin("events", 1)
    host.until(one, "Running")
    for path, params in (("suspend", {"reason": "tea"}), ("resume", {"reason": "done"})):
        assert host.management("POST", f"instances/{one}/{path}", params=params).status_code == 202
        host.until(one, "Suspended" if path == "suspend" else "Running")
    host.management("POST", f"instances/{one}/raiseEvent/news", json=1)
    host.until(one)
    rows = {row["EventType"]: row for row in host.status(one, showHistory="true")["historyEvents"]}
    assert (rows["ExecutionSuspended"]["Reason"], rows["ExecutionResumed"]["Reason"]) == ("tea", "done")
    assert {"Name": "news", "ParentTraceContext": None}.items() <= rows["EventRaised"].items()
    failed = host.begin("outcome_of", "fail")
    host.until(failed)
    [row] = [
        row for row in host.status(failed, showHistory="true")["historyEvents"] if row["EventType"] == "TaskFailed"
    ]
    assert (row["FailureDetails"], row["Input"]) == (None, None)
    assert json.loads(row["Details"])["InnerException"]["Message"].startswith("Result: Failure\nException: ")

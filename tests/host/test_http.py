"""HTTP and timer triggers, keys, the host's own pages: through a host in a process of its own."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.host.hosting import APPS, RunningHost, running


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    state = tmp_path_factory.mktemp("web") / "state"
    settings = {
        "AzureWebJobs.a_disabled_function.Disabled": "true",
        "EVERY_SECOND": "* * * * * *",
        "FROM_FILE": "environment",
        "PYTHON_THREADPOOL_THREAD_COUNT": "4",
    }
    with running(APPS / "web", state, JOURNAL=str(state.with_suffix(".journal")), **settings) as one:
        yield one


def journal(host: RunningHost) -> list[str]:
    file = host.state.with_suffix(".journal")
    return file.read_text().splitlines() if file.exists() else []


def wait_until(true: Callable[[], bool], seconds: float = 15) -> None:
    patience = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < patience
        time.sleep(0.01)


def test_the_api_address_has_the_route_prefix(web: RunningHost) -> None:
    assert web.api == f"http://127.0.0.1:{web.port}/v9"


def test_requests_reach_the_function_whole(web: RunningHost) -> None:
    answer = web.http.post(f"{web.api}/mirror?a=1&b=x%20y", content="körper", headers={"X-Mine": "yes"})
    assert answer.status_code == 207
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-back"] == "yes"
    assert answer.json() == {
        "method": "POST",
        "url": f"{web.api}/mirror?a=1&b=x%20y",
        "params": {"a": "1", "b": "x y"},
        "header": "yes",
        "body": "körper",
    }


def test_head_is_a_method_of_its_own(web: RunningHost) -> None:
    answer = web.http.head(f"{web.api}/mirror")
    assert (answer.status_code, answer.content) == (207, b"")
    assert web.http.head(f"{web.api}/named_by_function").status_code == 404


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("items/12", "number 12"),
        ("items/12a", "name 12a"),
        ("items/99999999999", "name 99999999999"),
        ("items/special", "special"),
        ("ITEMS/Special", "special"),
        ("items/a%20b", "name a b"),
        ("maybe/1", '{"first": "1"}'),
        ("maybe/1/2", '{"first": "1", "second": "2"}'),
        ("maybe/1/", '{"first": "1"}'),
        ("pages/a/b/c", "page a/b/c"),
        ("pages", "page None"),
        ("pages/a%2Fb%20c", "page a%2Fb c"),
    ],
)
def test_routes(web: RunningHost, path: str, text: str) -> None:
    answer = web.http.get(f"{web.api}/{path}")
    assert (answer.status_code, answer.text) == (200, text)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("path", ["items", "items/1/2", "nowhere", "", "../api/items/1"])
def test_a_path_without_a_function_is_404(web: RunningHost, path: str) -> None:
    answer = web.http.get(f"{web.api}/{path}")
    assert (answer.status_code, answer.content) == (404, b"")


def test_a_method_that_no_function_takes_is_404_as_in_azure(web: RunningHost) -> None:
    for method in ("GET", "DELETE", "OPTIONS"):
        assert web.http.request(method, f"{web.api}/named_by_function").status_code == 404
    assert web.http.post(f"{web.api}/named_by_function", json={"text": "yes"}).text == "yes"


def test_a_function_without_methods_takes_all(web: RunningHost) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS", "PATCH"):
        assert web.http.request(method, f"{web.api}/items/1").status_code == 200


def test_no_result_is_an_error_as_in_azure(web: RunningHost) -> None:
    answer = web.http.get(f"{web.api}/nothing")
    assert (answer.status_code, answer.content) == (500, b"")
    assert "Executed 'Functions.nothing' (Failed, Id=" in web.logs
    assert "TypeError: the function returned None" in web.logs


def test_functions_are_asked_in_the_order_of_their_names_as_in_azure(web: RunningHost) -> None:
    assert web.http.get(f"{web.api}/order/exact").text == "first by name"
    assert "'first_by_name' answers the route 'v9/order/exact' of 'second_by_name', too" in web.logs


def test_a_function_that_an_app_setting_disables_answers_nothing(web: RunningHost) -> None:
    assert web.http.get(f"{web.api}/order/switched-off").text == "first by name"
    functions = web.admin("GET", "functions").json()
    assert [one["name"] for one in functions if one["isDisabled"]] == ["a_disabled_function"]


def test_what_is_given_twice_arrives_as_one_and_what_is_empty_does_not(web: RunningHost) -> None:
    headers = [("X-Mine", "1"), ("X-Mine", "2")]
    seen = web.http.get(f"{web.api}/mirror?a=1&b=&a=2&c", headers=headers).json()
    assert (seen["params"], seen["header"]) == ({"a": "1,2"}, "1,2")


def test_a_response_can_be_set_on_a_parameter(web: RunningHost) -> None:
    answer = web.http.get(f"{web.api}/out")
    assert (answer.status_code, answer.text) == (202, "set")


@pytest.mark.parametrize("path", ["broken", "wrong"])
def test_a_failure_is_500_with_an_empty_body_and_a_traceback_in_the_log(web: RunningHost, path: str) -> None:
    answer = web.http.get(f"{web.api}/{path}")
    assert (answer.status_code, answer.content) == (500, b"")
    if path == "broken":
        assert "ValueError: this is broken" in web.logs
        assert "Executed 'Functions.broken' (Failed, Id=" in web.logs
        assert 'raise ValueError("this is broken")' in web.logs


def test_several_cookies(web: RunningHost) -> None:
    answer = web.http.get(f"{web.api}/cookies")
    assert answer.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("level/function", None, 401),
        ("level/function", "wrong", 401),
        ("level/function", "function_key", 200),
        ("level/function", "master_key", 200),
        ("level/function", "system_key", 401),
        ("level/admin", None, 401),
        ("level/admin", "function_key", 401),
        ("level/admin", "master_key", 200),
    ],
)
def test_keys(web: RunningHost, path: str, key: str | None, status: int) -> None:
    value = web.endpoints.get(key or "", key or "")
    header = {"x-functions-key": value} if value else {}
    query = {"code": value} if value else {}
    assert web.http.get(f"{web.api}/{path}", headers=header).status_code == status
    assert web.http.get(f"{web.api}/{path}", params=query).status_code == status


def test_the_context_and_the_log(web: RunningHost) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    seen = web.http.get(f"{web.api}/about", headers={"traceparent": trace}).json()
    assert seen["function"] == "about"
    assert seen["directory"] == str(APPS / "web")
    assert seen["retries"] == 0
    assert seen["trace"] == trace
    assert seen["setting"] == "environment"
    assert seen["thread"] != "MainThread"
    line = next(one for one in web.logs.splitlines() if f"about {seen['invocation']}" in one)
    assert f"[about {seen['invocation']}] app:" in line


def test_a_thread_of_the_apps_own_can_say_for_which_invocation_it_works(web: RunningHost) -> None:
    invocation = web.http.get(f"{web.api}/about/thread").text
    assert f"[about_thread {invocation}] app: from a thread of its own" in web.logs


def test_async_functions_share_the_workers_main_thread(web: RunningHost) -> None:
    one, other = (web.http.get(f"{web.api}/about/async").json() for _ in range(2))
    assert one["thread"] == other["thread"] == "MainThread"
    assert one["invocation"] != other["invocation"]


def test_the_host_answers_while_an_async_function_blocks(web: RunningHost) -> None:
    assert web.http.get(f"{web.api}/asks/{web.port}").text == "200"


def test_as_many_functions_at_once_as_there_are_threads(web: RunningHost) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: int(httpx.get(f"{web.api}/crowd", timeout=30).text), range(8)))
    assert max(seen) <= 4
    assert max(seen) > 1


def test_timers_run_at_the_start_and_never_twice_at_a_time(web: RunningHost) -> None:
    wait_until(lambda: journal(web).count("begin False") >= 3)
    lines = [line.split()[0] for line in journal(web) if line.split()[0] in ("begin", "end")]
    assert all(line == ("begin", "end")[number % 2] for number, line in enumerate(lines))


def test_a_function_can_be_run_by_hand(web: RunningHost) -> None:
    assert web.admin("POST", "functions/yearly", json={}).status_code == 202
    wait_until(lambda: "yearly" in journal(web))
    assert web.admin("POST", "functions/failing", json={"input": ""}).status_code == 202
    wait_until(lambda: "RuntimeError: not today" in web.logs)
    assert web.admin("POST", "functions/nobody", json={}).status_code == 404


def test_a_timer_is_tried_again_as_its_retry_policy_has_it(web: RunningHost) -> None:
    assert web.admin("POST", "functions/stubborn", json={}).status_code == 202
    wait_until(lambda: sum(line.startswith("stubborn") for line in journal(web)) == 3)
    assert [line for line in journal(web) if line.startswith("stubborn")] == [
        "stubborn 0 of 2 after None",
        "stubborn 1 of 2 after FunctionFailedError('RuntimeError: again')",
        "stubborn 2 of 2 after FunctionFailedError('RuntimeError: again')",
    ]


def test_what_the_host_says_of_itself(web: RunningHost) -> None:
    assert web.http.get(web.base).status_code == 200
    status = web.admin("GET", "host/status").json()
    assert status["state"] == "Running"
    functions = {one["name"]: one for one in web.admin("GET", "functions").json()}
    # The real host writes https into its list, whatever it was asked by.
    assert functions["mirror"]["invoke_url_template"] == f"{web.api}/mirror".replace("http:", "https:")
    assert web.admin("GET", "functions/mirror").json()["invoke_url_template"] == f"{web.api}/mirror"
    assert functions["page"]["config"]["bindings"][0]["type"] == "httpTrigger"
    assert functions["yearly"]["invoke_url_template"] is None
    assert web.http.get(f"{web.base}/admin/host/status", params={"code": "wrong"}).status_code == 401


def test_local_settings_fill_in_what_the_environment_does_not_have(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "function_app.py").write_text(
        "import os\n"
        "import azure.functions as func\n"
        "app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)\n"
        "@app.route(route='settings')\n"
        "def settings(req: func.HttpRequest) -> str:\n"
        "    return os.environ['MINE'] + ' ' + os.environ['YOURS']\n"
    )
    values = {"IsEncrypted": False, "Values": {"MINE": "file", "YOURS": "file"}}
    (app / "local.settings.json").write_text(json.dumps(values))
    with running(app, tmp_path / "state", YOURS="environment") as one:
        assert one.http.get(f"{one.api}/settings").text == "file environment"


def test_a_timer_that_fell_due_while_the_host_was_down_is_made_up_for_once(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "function_app.py").write_text(
        "import logging\n"
        "import azure.functions as func\n"
        "app = func.FunctionApp()\n"
        "@app.timer_trigger(arg_name='timer', schedule='0 0 3 1 1 *')\n"
        "def watched(timer: func.TimerRequest) -> None:\n"
        "    logging.warning('past due: %s', timer.past_due)\n"
        "@app.timer_trigger(arg_name='timer', schedule='0 0 3 1 1 *', use_monitor=False)\n"
        "def unwatched(timer: func.TimerRequest) -> None:\n"
        "    logging.warning('never')\n"
    )
    state = tmp_path / "state"
    state.mkdir()
    missed = {"last": 1.0, "next": 2.0}
    (state / "timers.json").write_text(json.dumps({"watched": missed, "unwatched": missed}))
    with running(app, state) as one:
        wait_until(lambda: "past due: True" in one.logs)
        one.restart()
        assert one.http.get(one.base).status_code == 200
    assert one.logs.count("past due") == 1
    assert "never" not in one.logs


def test_an_apps_own_json_lines_stay_json_and_tell_the_invocation(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "function_app.py").write_text(
        "import json\n"
        "import logging\n"
        "import azure.functions as func\n"
        "class Lines(logging.Formatter):\n"
        "    def format(self, record):\n"
        "        return json.dumps({'message': record.getMessage()})\n"
        "for handler in logging.getLogger().handlers:\n"
        "    handler.setFormatter(Lines())\n"
        "app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)\n"
        "@app.route(route='speak')\n"
        "def speak(req: func.HttpRequest, context: func.Context) -> str:\n"
        "    logging.warning('spoken')\n"
        "    return context.invocation_id\n"
    )
    with running(app, tmp_path / "state") as one:
        invocation = one.http.get(f"{one.api}/speak").text
        lines = [json.loads(line) for line in one.logs.splitlines() if "spoken" in line]
    assert lines == [{"function": "speak", "invocation_id": invocation, "message": "spoken"}]


def test_an_asgi_app_is_served(tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "host.json").write_text('{"extensions": {"http": {"routePrefix": ""}}}')
    (app / "function_app.py").write_text(
        "import azure.functions as func\n"
        "from starlette.applications import Starlette\n"
        "from starlette.responses import PlainTextResponse\n"
        "from starlette.routing import Route\n"
        "async def hello(request):\n"
        "    return PlainTextResponse(f\"hello {request.path_params['name']}\")\n"
        "site = Starlette(routes=[Route('/hello/{name}', hello)])\n"
        "app = func.AsgiFunctionApp(app=site, http_auth_level=func.AuthLevel.ANONYMOUS)\n"
    )
    with running(app, tmp_path / "state") as one:
        assert one.api == one.base
        assert one.http.get(f"{one.api}/hello/you").text == "hello you"

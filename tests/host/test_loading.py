"""What can be loaded, and what is said of what can't."""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.functions.app import LoadError, functions_of, load_app
from local.functions.paths import decoded
from local.functions.routes import RouteError, parse
from local.functions.settings import SettingsError, apply_local_settings, host_settings, resolved, threads_for_functions
from local.functions.timers import Schedule, ScheduleError
from tests.host.hosting import running

USUAL = min(32, (os.cpu_count() or 1) + 4)
APP = "import azure.durable_functions as df\napp = df.DFApp()\n"


@pytest.fixture
def host_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the host logs. Its logger passes nothing on to those above it once a host has run in this process."""
    host = logging.getLogger("host")
    if not host.propagate:
        host.addHandler(caplog.handler)
    yield caplog
    host.removeHandler(caplog.handler)


@pytest.fixture(autouse=True)
def own_imports() -> Iterator[None]:
    """Importing an app leaves traces that the next test must not see."""
    path, modules = list(sys.path), dict(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        if name in ("helper", "function_app"):
            del sys.modules[name]
    if "function_app" in modules:
        sys.modules["function_app"] = modules["function_app"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import azure.functions as func\n\ndef broken(:\n", "function_app.py:3: "),
        (
            "import json\n\nimport nowhere_at_all\n",
            "function_app.py:3: ModuleNotFoundError: No module named 'nowhere_at_all'",
        ),
        ("from helper import wrong\n", "helper.py:2: ZeroDivisionError: division by zero"),
        ("raise KeyboardInterrupt\n", "function_app.py:1: KeyboardInterrupt: "),
        ("answer = 42\0\n", "function_app.py:1: source code string cannot contain null bytes"),
        (
            APP + "@app.route(route='a')\ndef page(req): ...\n" * 2,
            "function_app.py:5: Function page does not have a unique",
        ),
        (
            f"{APP}@app.activity_trigger(input_name='x', activity='Act')\ndef one(x): ...\n"
            "@app.activity_trigger(input_name='x')\ndef act(x): ...\n",
            "function_app.py:5: cannot load the act function: ",
        ),
        (
            f"{APP}@app.function_name('f')\ndef page(req): ...\n",
            "function_app.py:3: Function f does not have a trigger.",
        ),
        (
            f"{APP}@app.function_name('a b')\n@app.route(route='a')\ndef page(req): ...\n",
            "function_app.py:3: cannot load the a b function: 'a b' is not a valid function name.",
        ),
        (
            f"{APP}@app.retry(strategy='fixed_delay', max_retry_count='x', delay_interval='00:00:01')\n"
            "@app.timer_trigger(arg_name='t', schedule='0 * * * * *')\ndef tick(t): ...\n",
            "function_app.py:3: cannot load the tick function: its retry policy can't be read: ",
        ),
        (
            f"{APP}@app.route(route='a')\ndef page(req: int): ...\n",
            'function_app.py:3: cannot load the page function: type of req binding "httpTrigger" does not match its Python '
            'annotation "int"',
        ),
        (
            f"{APP}@app.route(route='a')\ndef page(req) -> dict: ...\n",
            'function_app.py:3: cannot load the page function: Python return annotation "dict" does not match binding type '
            '"http"',
        ),
        (
            f"{APP}@app.route(route='a')\ndef page(req) -> str | None: ...\n",
            "function_app.py:3: cannot load the page function: has invalid non-type return annotation str | None",
        ),
        (
            f"{APP}@app.route(route='a')\ndef page(req) -> None: ...\n",
            'function_app.py:3: cannot load the page function: Python return annotation "NoneType" does not match binding '
            'type "http"',
        ),
        (
            f"{APP}@app.orchestration_trigger(context_name='story')\ndef tell(story): ...\n",
            "function_app.py:3: cannot load the tell function: the following parameters are bound but not declared in "
            "Python: ['story']",
        ),
        ("answer = 42\n", "function_app.py:1: Could not find top level function app instances in function_app.py."),
        (
            "import azure.functions as func\napp = func.FunctionApp()\n\n@app.route(route='x')\ndef page(req, more):\n"
            "    return 'x'\n",
            "function_app.py:4: cannot load the page function: the following parameters are declared in Python but not "
            "bound: ['more']",
        ),
        (
            "import azure.durable_functions as df\napp = df.DFApp()\n\n@app.activity_trigger(input_name='given')\n"
            "def act(given: dict | None):\n    return 'x'\n",
            "function_app.py:4: cannot load the act function: binding given has invalid non-type annotation",
        ),
    ],
)
def test_an_app_that_cannot_be_loaded_is_told_of_with_file_and_line(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "function_app.py").write_text(source)
    (tmp_path / "helper.py").write_text("right = 1\nwrong = right / 0\n")
    with pytest.raises(LoadError) as caught:
        load_app(tmp_path)
    assert f"{tmp_path}/{message}" in str(caught.value)


def test_what_needs_something_that_only_azure_has_is_left_out(
    tmp_path: Path, host_log: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "function_app.py").write_text(
        f"{APP}@app.queue_trigger(arg_name='m', queue_name='q', connection='c')\ndef take(m): ...\n"
        "@app.route(route='a')\n@app.queue_output(arg_name='m', queue_name='q', connection='c')\ndef give(req, m): ...\n"
        "@app.route(route='b')\ndef page(req): ...\n"
    )
    assert [one.name for one in load_app(tmp_path)] == ["page"]
    assert [record.getMessage() for record in host_log.records] == [
        f"{tmp_path}/function_app.py:3: the 'take' function is in error: this host has no queueTrigger",
        f"{tmp_path}/function_app.py:5: the 'give' function is in error: this host has no queue",
    ]


def test_a_route_that_begins_as_the_hosts_own_is_in_error(tmp_path: Path, host_log: pytest.LogCaptureFixture) -> None:
    (tmp_path / "function_app.py").write_text(
        f"{APP}@app.route(route='/Admins/{{name}}')\ndef page(req): ...\n"
        "@app.route()\ndef administrators(req): ...\n@app.route(route='b/admin')\ndef other(req): ...\n"
    )
    assert [one.name for one in load_app(tmp_path)] == ["other"]
    assert [record.getMessage() for record in host_log.records] == [
        f"{tmp_path}/function_app.py:{line}: the '{name}' function is in error: The specified route conflicts with one or "
        "more built in routes."
        for line, name in ((3, "page"), (5, "administrators"))
    ]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("host.json", '{"extensions": {"durableTask": {"maxConcurrentActivityFunctions": "x"}}}', "a number from 1 on"),
        ("host.json", '{"extensions": {"http": []}, "x":,}', "not valid JSON"),
        ("host.json", '{"extensions": {"http": [1]}}', "http must be an object"),
        ("local.settings.json", '{"Values": [1]}', "Values must be an object"),
    ],
)
def test_settings_files_that_cannot_be_used_are_told_of(tmp_path: Path, file: str, text: str, message: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(SettingsError, match=f"{file}: .*{message}"):
        (apply_local_settings if file == "local.settings.json" else host_settings)(tmp_path, {})


def test_an_empty_folder_has_no_app(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"there is no function_app\.py"):
        load_app(tmp_path)


def test_the_functions_of_an_app_can_be_asked_for_twice() -> None:
    import azure.functions as func

    app = func.FunctionApp()

    @app.function_name("chosen")
    @app.route(route="x")
    def page(req: func.HttpRequest) -> str:
        return "x"

    assert [one.name for one in functions_of(app)] == ["chosen"]
    assert functions_of(app) is functions_of(app)


def test_host_settings(tmp_path: Path) -> None:
    assert host_settings(tmp_path, {}).route_prefix == "api"
    assert host_settings(tmp_path, {"WEBSITE_SITE_NAME": "site"}).hub_name == "site"
    (tmp_path / "host.json").write_text(
        '{"extensions": {"http": {"routePrefix": ""}, "durableTask": {"hubName": "%HUB%"}}}'
    )
    assert host_settings(tmp_path, {"HUB": "mine"}).hub_name == "mine"
    assert host_settings(tmp_path, {"HUB": "mine"}).route_prefix == ""
    with pytest.raises(SettingsError, match="there is no app setting HUB"):
        host_settings(tmp_path, {})
    (tmp_path / "host.json").write_text("{")
    with pytest.raises(SettingsError, match=r"host\.json: not valid JSON"):
        host_settings(tmp_path, {})


def test_local_settings_are_texts_as_they_stand_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text('{"Values": {"A": "x", "B": true, "C": 5, "D": null, "E": "new"}}')
    environment = {"E": "old"}
    apply_local_settings(tmp_path, environment)
    assert environment == {"A": "x", "B": "true", "C": "5", "E": "old"}


def test_settings_in_expressions() -> None:
    assert resolved("%A%-%B%", {"A": "1", "B": "2"}) == "1-2"


@pytest.mark.parametrize(("given", "threads"), [("3", 3), ("99", 99), ("0", USUAL), ("x", USUAL), ("", USUAL)])
def test_threads(given: str, threads: int) -> None:
    assert threads_for_functions({"PYTHON_THREADPOOL_THREAD_COUNT": given}) == threads


@pytest.mark.parametrize(
    ("expression", "after", "due"),
    [
        ("0 */5 * * * *", 0, 300),
        ("*/15 * * * * *", 1, 15),
        ("30 0 0 1 1 *", 31, 31536030),
        ("5 4 * * *", 0, 14700),
        ("00:00:30", 100, 130),
        ("1.00:00:01", 0, 86401),
        ("24:00:00", 0, 24 * 86400),
        ("0 0 0 13 * Fri", 0, 43 * 86400),
        ("0 0 0 * January Monday", 0, 4 * 86400),
    ],
)
def test_schedules(expression: str, after: float, due: float) -> None:
    assert Schedule(expression).next_after(after) == due


@pytest.mark.parametrize(
    "expression", ["nonsense", "* * *", "61 * * * * *", "* * * * * * * *", "0 0 0 L * *", "@daily", "00:00:00", "1:2"]
)
def test_schedules_that_cannot_be_read(expression: str) -> None:
    with pytest.raises(ScheduleError):
        Schedule(expression)


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("a/{b}", "/a/1", {"b": "1"}),
        ("a/{b?}", "/a", {}),
        ("a/{b=7}", "/a", {"b": "7"}),
        ("a/{*b}", "/a/1/2", {"b": "1/2"}),
        ("a/{b:length(2,3)}", "/a/12", {"b": "12"}),
        ("a/{b:length(2,3)}", "/a/1234", None),
        ("a/{b:range(5,7)}", "/a/6", {"b": "6"}),
        ("a/{b:min(5)}", "/a/4", None),
        ("a/{b:int:max(5)}", "/a/4", {"b": "4"}),
        ("a/{b:guid}", "/a/3f2504e0-4f89-11d3-9a0c-0305e82c3301", {"b": "3f2504e0-4f89-11d3-9a0c-0305e82c3301"}),
        ("a/{b:guid}", "/a/x", None),
        ("a/{b:bool}", "/a/True", {"b": "True"}),
        ("a/{b:alpha}", "/a/1", None),
        ("a/{b:datetime}", "/a/2026-01-01", {"b": "2026-01-01"}),
        ("a/{b:regex(^x\\d+$)}", "/a/x12", {"b": "x12"}),
        ("a/{b:double}", "/a/1.5", {"b": "1.5"}),
        ("{a}-{b}", "/1-2", {"a": "1", "b": "2"}),
        ("{a}-{b}", "/1-2-3", {"a": "1-2", "b": "3"}),
        ("{name}.{ext?}", "/a.b.txt", {"name": "a.b", "ext": "txt"}),
        ("{name}.{ext?}", "/a", {"name": "a"}),
        ("a/{b:INT}", "/a/1", {"b": "1"}),
        ("a/{b:file}", "/a/x.txt", {"b": "x.txt"}),
        ("a/{b:nonfile}", "/a/x.txt", None),
        ("a/{b:regex(^\\d{{3}}$)}", "/a/123", {"b": "123"}),
        ("a/{the-name}", "/a/1", {"the-name": "1"}),
        ("ä b/{c}", "/%C3%A4%20b/%C3%A4%2fb", {"c": "ä%2fb"}),
        ("", "/", {}),
    ],
)
def test_route_templates(template: str, path: str, values: dict[str, str] | None) -> None:
    assert parse(template).match(decoded(path)) == values


@pytest.mark.parametrize("template", ["{a:unknown}", "{a", "{a}/{a}", "{a:regex([)}"])
def test_route_templates_that_cannot_be_read(template: str) -> None:
    with pytest.raises(RouteError):
        parse(template)


def test_a_host_without_the_setting_that_host_json_names_answers_503(tmp_path: Path) -> None:
    """As in Azure: the process is there, no function runs, whatever is asked."""
    root = tmp_path / "app"
    root.mkdir()
    (root / "function_app.py").write_text(APP)
    (root / "host.json").write_text('{"version": "2.0", "extensions": {"durableTask": {"hubName": "%TASK_HUB%"}}}')
    with running(root, tmp_path / "state") as host:
        base = host.endpoints["api"].removesuffix("/api")
        for method, path in (("GET", "/"), ("POST", "/api/anything"), ("GET", "/admin/host/status")):
            answer = host.http.request(
                method, f"{base}{path}", headers={"x-functions-key": host.endpoints["master_key"]}
            )
            assert (answer.status_code, answer.text) == (503, "Function host is not running."), path
        assert "there is no app setting TASK_HUB" in host.log.read_text()
        assert host.stop() < 2

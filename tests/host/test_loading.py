"""What can be loaded, and what is said of what can't."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.functions.app import LoadError, functions_of, load_app
from local.functions.routes import RouteError, parse
from local.functions.settings import SettingsError, host_settings, resolved, threads_for_functions
from local.functions.timers import Schedule, ScheduleError


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


def test_settings_in_expressions() -> None:
    assert resolved("%A%-%B%", {"A": "1", "B": "2"}) == "1-2"


@pytest.mark.parametrize(("given", "threads"), [("3", 3), ("0", 1), ("99", 32)])
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
    ],
)
def test_schedules(expression: str, after: float, due: float) -> None:
    assert Schedule(expression).next_after(after) == due


@pytest.mark.parametrize("expression", ["nonsense", "* * *", "61 * * * * *", "* * * * * * * *"])
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
        ("", "/", {}),
    ],
)
def test_route_templates(template: str, path: str, values: dict[str, str] | None) -> None:
    assert parse(template).match(path) == values


@pytest.mark.parametrize("template", ["{a:unknown}", "{a", "{1}"])
def test_route_templates_that_cannot_be_read(template: str) -> None:
    with pytest.raises(RouteError):
        parse(template)

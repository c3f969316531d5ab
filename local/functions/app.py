"""Finds a function app and says what is in it.

`load_app` imports function_app.py as the Python worker does and takes the one FunctionApp that it defines;
`functions_of` reads the functions off an app object. The worker's rules on parameters and annotations hold.
"""

import importlib.util
import inspect
import sys
import traceback
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure.functions import FunctionRegister
from azure.functions.decorators.function_app import Function as SdkFunction

HTTP, TIMER = "httpTrigger", "timerTrigger"
ORCHESTRATION, ACTIVITY, ENTITY = "orchestrationTrigger", "activityTrigger", "entityTrigger"
DURABLE_CLIENT = "durableClient"
TRIGGERS = (HTTP, TIMER, ORCHESTRATION, ACTIVITY, ENTITY)


class LoadError(Exception):
    """The app can't be loaded; the message says where and why."""


@dataclass(frozen=True)
class Function:
    name: str
    call: Callable[..., Any]
    trigger: dict[str, Any]
    bindings: list[dict[str, Any]]
    takes_context: bool
    is_async: bool
    directory: str = ""
    clients: tuple[str, ...] = field(default=())

    @property
    def kind(self) -> str:
        return str(self.trigger["type"])

    @property
    def trigger_name(self) -> str:
        return str(self.trigger["name"])


_read: dict[int, tuple[FunctionRegister, list[Function]]] = {}


def functions_of(app: FunctionRegister, directory: Path | str = ".") -> list[Function]:
    """The functions of an app object. The SDK gives them out once only; they are remembered."""
    if id(app) not in _read:
        _read[id(app)] = (app, [_function(one, str(directory)) for one in app.get_functions()])
    return _read[id(app)][1]


def _function(function: SdkFunction, directory: str) -> Function:
    name = function.get_function_name() or function.get_user_function().__name__
    bindings = [_plain(binding.get_dict_repr()) for binding in function.get_bindings()]
    sdk_trigger = function.get_trigger()
    if sdk_trigger is None:
        raise LoadError(f"cannot load the {name} function: it has no trigger")
    trigger = next(one for one in bindings if one["name"] == sdk_trigger.name and one["type"] == sdk_trigger.type)
    if trigger["type"] not in TRIGGERS:
        raise LoadError(f"cannot load the {name} function: this host has no {trigger['type']}")
    # Names that the app chose for the durable function itself win over the name of the Python function.
    chosen = next((trigger[key] for key in ("orchestration", "activity", "entityName") if trigger.get(key)), None)
    call = function.get_user_function()
    takes_context = _check_parameters(name, call, bindings)
    clients = tuple(one["name"] for one in bindings if one["type"] == DURABLE_CLIENT)
    return Function(
        str(chosen or name),
        call,
        trigger,
        bindings,
        takes_context,
        inspect.iscoroutinefunction(call),
        directory,
        clients,
    )


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """The SDK's enumerations by their names, as in function.json."""

    def plain(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [plain(one) for one in value]
        return str(value) if hasattr(value, "name") and hasattr(value, "value") else value

    return {key: plain(value) for key, value in document.items() if value is not None}


def _where(call: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(call), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}: " if code else ""


def _check_parameters(name: str, call: Callable[..., Any], bindings: list[dict[str, Any]]) -> bool:
    bound = {one["name"] for one in bindings if one["name"] != "$return"}
    parameters = set(inspect.signature(call).parameters)
    takes_context = "context" in parameters and "context" not in bound
    if takes_context:
        parameters.remove("context")
    prefix = f"{_where(call)}cannot load the {name} function: "
    # Orchestrator and entity functions are wrapped by the SDK: their parameter's name isn't the binding's.
    wrapped = hasattr(call, "orchestrator_function") or hasattr(call, "entity_function")
    if not wrapped and parameters - bound:
        raise LoadError(
            f"{prefix}the following parameters are declared in Python but not bound: {sorted(parameters - bound)}"
        )
    if not wrapped and bound - parameters:
        raise LoadError(
            f"{prefix}the following parameters are bound but not declared in Python: {sorted(bound - parameters)}"
        )
    if wrapped:
        return False
    for parameter, annotation in _annotations(call).items():
        if parameter in bound and not isinstance(annotation, type) and not _is_out(annotation):
            raise LoadError(f"{prefix}binding {parameter} has invalid non-type annotation {annotation!r}")
    return takes_context


def _annotations(call: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(call)
    except NameError as error:
        raise LoadError(f"{_where(call)}an annotation can't be resolved: {error}") from None


def _is_out(annotation: Any) -> bool:
    return getattr(typing.get_origin(annotation), "__name__", "") == "Out"


def load_app(script_root: Path) -> list[Function]:
    script = script_root / "function_app.py"
    if not script.exists():
        raise LoadError(f"{script}: there is no function_app.py")
    packages = script_root / ".python_packages" / "lib" / "site-packages"
    sys.path[:0] = [str(script_root), *([str(packages)] if packages.is_dir() else [])]
    spec = importlib.util.spec_from_file_location("function_app", script)
    if spec is None or spec.loader is None:
        raise LoadError(f"{script}: can't be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules["function_app"] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise LoadError(f"{error.filename}:{error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise LoadError(f"{_place_of(error, script_root)}: {type(error).__name__}: {error}") from error
    apps = {id(one): one for one in vars(module).values() if isinstance(one, FunctionRegister)}
    if not apps:
        raise LoadError(f"{script}:1: Could not find top level function app instances in function_app.py.")
    if len(apps) > 1:
        raise LoadError(f"{script}:1: More than one top level function app instances are defined.")
    try:
        return functions_of(next(iter(apps.values())), script_root)
    except ValueError as error:
        raise LoadError(f"{script}:1: {error}") from error


def _place_of(error: BaseException, script_root: Path) -> str:
    """File and line of the app's own code that was being run, else of where the error arose."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if Path(frame.filename).is_relative_to(script_root) and "site-packages" not in frame.filename
    ]
    last = (own or frames)[-1]
    return f"{last.filename}:{last.lineno}"

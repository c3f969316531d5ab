"""Finds a function app and says what is in it.

`load_app` imports function_app.py as the Python worker does and takes the one FunctionApp that it defines;
`functions_of` reads the functions off an app object. The worker's rules on parameters and annotations hold.
"""

import importlib.util
import inspect
import logging
import re
import sys
import traceback
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.functions import FunctionRegister
from azure.functions.decorators.function_app import Function as SdkFunction
from azure.functions.meta import get_binding_registry

from local.functions.settings import span

HTTP, TIMER = "httpTrigger", "timerTrigger"
ORCHESTRATION, ACTIVITY, ENTITY = "orchestrationTrigger", "activityTrigger", "entityTrigger"
DURABLE_CLIENT = "durableClient"
TRIGGERS = (HTTP, TIMER, ORCHESTRATION, ACTIVITY, ENTITY)
HTTP_OUTPUT = "http"
FUNCTION_NAME = re.compile(r"[a-z][a-z0-9_\-]{0,127}", re.IGNORECASE)

log = logging.getLogger("host")


class LoadError(Exception):
    """The app can't be loaded; the message says where and why."""


class IndexingError(LoadError):
    """A function doesn't suit its bindings. The real worker indexes none of the app's functions then."""


def runs_in_the_worker(*_: Any, **__: Any) -> Any:
    """Stands for a function's code in the host."""
    raise RuntimeError("a function of the app was called in the host: its code runs in the worker")


@dataclass(frozen=True)
class Retry:
    """A retry policy: how often, -1 for ever, and the seconds to wait, at first and at most."""

    most: int
    first: float
    longest: float

    def pause(self, attempt: int) -> float:
        """Before the next attempt, after as many as have failed."""
        return min(self.first * 2.0 ** min(attempt - 1, 64), self.longest)


@dataclass(frozen=True)
class Function:
    name: str
    call: Callable[..., Any]
    trigger: dict[str, Any]
    bindings: list[dict[str, Any]]
    takes_context: bool
    is_async: bool
    directory: str = ""
    place: str = ""
    """File and line."""
    clients: tuple[str, ...] = ()
    output: str | None = None
    """The parameter that takes an HTTP response instead of its being returned."""
    retry: Retry | None = None
    entry_point: str = ""
    """The name of the app's own function: the SDK wraps orchestrators and entities."""

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
        found = [_function(one, str(directory)) for one in _registered(app)]
        functions = [one for one in found if one]
        _check_names(functions)
        _read[id(app)] = (app, functions)
    return _read[id(app)][1]


def _registered(app: FunctionRegister) -> list[SdkFunction]:
    root = logging.getLogger()
    root.addFilter(_is_no_notice)
    try:
        return list(app.get_functions())
    except ValueError as error:
        named = re.match(r"Function (.+?) does not have", str(error))
        places = [
            _place(builder._function.get_user_function())
            for builder in app._function_builders
            if named and builder._function.get_function_name() == named[1]
        ]
        raise LoadError(f"{places[-1] if places else ''}{error}") from error
    finally:
        root.removeFilter(_is_no_notice)


def _is_no_notice(record: logging.LogRecord) -> bool:
    """The SDK says so of every app without HTTP functions."""
    return not str(record.msg).startswith("Auth level is not applied")


def _check_names(functions: list[Function]) -> None:
    """Names are compared without regard to case; orchestrators, activities and entities have names of their own."""
    taken: dict[tuple[str, str], Function] = {}
    for one in functions:
        name = (one.kind if one.kind in (ORCHESTRATION, ACTIVITY, ENTITY) else "", one.name.lower())
        if name in taken:
            raise LoadError(
                f"{one.place}cannot load the {one.name} function: {taken[name].place}already has one of that name"
            )
        taken[name] = one


def _function(function: SdkFunction, directory: str) -> Function | None:
    """None when it needs something that only Azure has: as in the real host, the others are served without it."""
    name = function.get_function_name() or function.get_user_function().__name__
    call = function.get_user_function()
    place = _place(call)
    cannot = f"{place}cannot load the {name} function: "
    bindings = [_plain(binding.get_dict_repr()) for binding in function.get_bindings()]
    sdk_trigger = function.get_trigger()
    if sdk_trigger is None:
        raise LoadError(f"{cannot}it has no trigger")
    if not FUNCTION_NAME.fullmatch(name):
        raise LoadError(f"{cannot}'{name}' is not a valid function name.")
    trigger = next(one for one in bindings if one["name"] == sdk_trigger.name and one["type"] == sdk_trigger.type)
    # Names that the app chose for the durable function itself win over the name of the Python function.
    chosen = next((trigger[key] for key in ("orchestration", "activity", "entityName") if trigger.get(key)), None)
    takes_context = _check_parameters(name, call, bindings)
    if trigger["type"] == HTTP and str(trigger.get("route") or name).strip("/").lower().startswith("admin"):
        log.error(
            "%sthe '%s' function is in error: The specified route conflicts with one or more built in routes.",
            place,
            name,
        )
        return None
    unknown = sorted({one["type"] for one in bindings if one is not trigger} - {DURABLE_CLIENT, HTTP_OUTPUT})
    if trigger["type"] not in TRIGGERS:
        unknown.insert(0, trigger["type"])
    if unknown:
        log.error("%sthe '%s' function is in error: this host has no %s", place, name, ", ".join(unknown))
        return None
    return Function(
        str(chosen or name),
        call,
        trigger,
        bindings,
        takes_context,
        inspect.iscoroutinefunction(call),
        directory,
        place,
        tuple(one["name"] for one in bindings if one["type"] == DURABLE_CLIENT),
        next((one["name"] for one in bindings if one["type"] == HTTP_OUTPUT and one["name"] != "$return"), None),
        _retry(function, cannot),
        _own(call).__name__,
    )


def _retry(function: SdkFunction, cannot: str) -> Retry | None:
    policy = function.get_settings_dict("retry_policy")
    if not policy:
        return None
    try:
        if policy["strategy"] == "fixed_delay":
            shortest = longest = span(policy["delay_interval"])
        else:
            shortest, longest = span(policy["minimum_interval"]), span(policy["maximum_interval"])
        return Retry(int(policy["max_retry_count"]), shortest, longest)
    except (KeyError, TypeError, ValueError) as error:
        raise LoadError(f"{cannot}its retry policy can't be read: {error}") from None


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """The SDK's enumerations by their names, as in function.json."""

    def plain(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [plain(one) for one in value]
        return str(value) if hasattr(value, "name") and hasattr(value, "value") else value

    return {key: plain(value) for key, value in document.items() if value is not None}


def _own(call: Callable[..., Any]) -> Callable[..., Any]:
    wrapped = getattr(call, "orchestrator_function", None) or getattr(call, "entity_function", None) or call
    own: Callable[..., Any] = inspect.unwrap(wrapped)
    return own


def _place(call: Callable[..., Any]) -> str:
    code = getattr(_own(call), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}: " if code else ""


def _check_parameters(name: str, call: Callable[..., Any], bindings: list[dict[str, Any]]) -> bool:
    bound = {one["name"] for one in bindings if one["name"] != "$return"}
    parameters = set(inspect.signature(call).parameters)
    takes_context = "context" in parameters and "context" not in bound
    if takes_context:
        parameters.remove("context")
    prefix = f"{_place(call)}cannot load the {name} function: "
    # What the SDK makes of an orchestrator or an entity takes `context`, so their binding must have that name.
    wrapped = hasattr(call, "orchestrator_function") or hasattr(call, "entity_function")
    if parameters - bound:
        raise IndexingError(
            f"{prefix}the following parameters are declared in Python but not bound: {sorted(parameters - bound)}"
        )
    if bound - parameters:
        raise IndexingError(
            f"{prefix}the following parameters are bound but not declared in Python: {sorted(bound - parameters)}"
        )
    if wrapped:
        return False
    annotations = _annotations(call)
    for parameter, annotation in annotations.items():
        if parameter in bound and not isinstance(annotation, type) and not _is_out(annotation):
            raise IndexingError(f"{prefix}binding {parameter} has invalid non-type annotation {annotation!r}")
    for binding in bindings:
        _check_types(binding, annotations, prefix)
    return takes_context


def _check_types(binding: dict[str, Any], annotations: dict[str, Any], prefix: str) -> None:
    """A trigger's parameter and a returned response must be what the library's converters can make."""
    name, kind = binding["name"], binding["type"]
    converter = get_binding_registry().get(kind)
    if kind in (HTTP, TIMER) and not _suits(annotations.get(name), converter.check_input_type_annotation):
        given = annotations[name].__name__
        raise IndexingError(f'{prefix}type of {name} binding "{kind}" does not match its Python annotation "{given}"')
    if (kind, name) == (HTTP_OUTPUT, "$return"):
        given = annotations.get("return")
        if not isinstance(given, type | None):
            raise IndexingError(f"{prefix}has invalid non-type return annotation {given!r}")
        if given and not _suits(given, converter.check_output_type_annotation):
            raise IndexingError(
                f'{prefix}Python return annotation "{given.__name__}" does not match binding type "{kind}"'
            )


def _suits(annotation: Any, check: Callable[[type], bool]) -> bool:
    return annotation in (None, str, bytes) or check(annotation)


def _annotations(call: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(call)
    except NameError as error:
        raise LoadError(f"{_place(call)}an annotation can't be resolved: {error}") from None


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
        where = f"{error.filename}:{error.lineno}" if error.filename else _place_of(error, script_root)
        raise LoadError(f"{where}: {error.msg}") from error
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        raise LoadError(f"{_place_of(error, script_root)}: {type(error).__name__}: {error}") from error
    apps = {id(one): one for one in vars(module).values() if isinstance(one, FunctionRegister)}
    if not apps:
        raise LoadError(f"{script}:1: Could not find top level function app instances in function_app.py.")
    if len(apps) > 1:
        raise LoadError(f"{script}:1: More than one top level function app instances are defined.")
    functions = functions_of(next(iter(apps.values())), script_root)
    if not functions:
        log.warning("No job functions found.")
    return functions


def _place_of(error: BaseException, script_root: Path) -> str:
    """File and line of the app's own code that was being run, else of where the error arose."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if Path(frame.filename).is_relative_to(script_root) and "site-packages" not in frame.filename
    ]
    last = own[-1] if own else None
    return f"{last.filename}:{last.lineno}" if last else f"{script_root / 'function_app.py'}:1"

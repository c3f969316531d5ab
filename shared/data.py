"""Dataclasses as JSON data and back: what crosses an activity boundary, and what the tables keep as JSON. Pure."""

from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

# Not `str | int | float` where it is asked: that makes a type anew for each value.
_PLAIN = (str, int, float, NoneType)
_LISTS = (list, tuple)


def as_data(value: Any) -> Any:
    """A dataclass as a dict of JSON values, at any depth, a class as its name; anything else as it is.

    A field whose default is empty (None, "", False, no element) is left out while it is empty. Numbers are always written,
    so that a changed default changes nothing that is stored.
    """
    if isinstance(value, _PLAIN):
        return value
    if known := _fields_of(value.__class__):
        found = {}
        for name, empty in known:
            part = getattr(value, name)
            if not (part == empty and type(part) is type(empty)):
                found[name] = as_data(part)
        return found
    if isinstance(value, dict):
        return {key: as_data(part) for key, part in value.items()}
    if isinstance(value, _LISTS):
        return [as_data(part) for part in value]
    return value.__name__ if isinstance(value, type) else value


def from_data(kind: type[T], data: Any) -> T:
    """The dataclass that `as_data` wrote. Unknown keys are ignored: a later version may have written them.

    TypeError when a value is of another type than its field, or one without default is missing.
    """
    if not isinstance(data, dict):
        raise TypeError(f"{kind.__name__} can't be read from {data!r:.100}")
    return kind(**{name: typed(hint, data[name], name) for name, hint in hints_of(kind).items() if name in data})


def taken_from(source: Any, kind: type[T], **given: Any) -> T:
    """A dataclass with what is given, and its other fields from the source's attributes of the same names."""
    names = [each.name for each in fields(cast(Any, kind)) if hasattr(source, each.name)]
    return kind(**{name: getattr(source, name) for name in names} | given)


class StoredAs:
    """Says of JSON that a row keeps as it is (`Annotated[dict[str, Any], StoredAs(ErrorCause)]`) which shape it has."""

    def __init__(self, shape: Any) -> None:
        self.shape = shape

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return handler.generate_schema(self.shape)


def hints_of(kind: type) -> dict[str, Any]:
    """The type of each field, in their order; with its annotation, if it is an `Annotated` one."""
    return _hints_of(kind)


@cache
def _hints_of(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {each.name: hints[each.name] for each in fields(kind)}


@cache
def _fields_of(kind: Any) -> tuple[tuple[str, Any], ...]:
    """Each field of a dataclass with what it is left out for: its default where that is empty. None of any other type."""
    return tuple((each.name, _empty_default(each)) for each in fields(kind)) if is_dataclass(kind) else ()


def _empty_default(field: Field[Any]) -> Any:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    is_empty = default is None or default is False or default in ("", [], {}, ())
    return default if is_empty else MISSING


@cache
def without_none(hint: Any) -> Any:
    """`T` for `T | None`; any other type as it is."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    return next(each for each in get_args(hint) if each is not NoneType)


@cache
def _shape_of(hint: Any) -> tuple[Any, Any, tuple[Any, ...]]:
    """The type itself, without `None` and annotations, what it is made from (`list` of `list[str]`), and its parts."""
    inner = without_none(hint)
    if get_origin(inner) is Annotated:
        inner = get_args(inner)[0]
    return inner, get_origin(inner) or inner, get_args(inner)


def typed(hint: Any, value: Any, name: str) -> Any:
    """The value as its type has it: lists as tuples, dicts as dataclasses, whole numbers as floats, a name as the class
    below the one of the type, or as that one when a later version wrote it."""
    if hint is Any or value.__class__ is hint or (value is None and without_none(hint) != hint):
        return value
    inner, origin, parts = _shape_of(hint)
    if isinstance(inner, type) and _fields_of(inner):
        return from_data(inner, value)
    if origin in (tuple, list) and isinstance(value, _LISTS):
        return origin(typed(parts[0], each, name) for each in value)
    if origin is dict and isinstance(value, dict):
        return {key: typed(parts[1], each, name) for key, each in value.items()}
    if origin is float and type(value) is int:
        return float(value)
    if origin is type and isinstance(value, str):
        return {each.__name__: each for each in parts[0].__subclasses__()}.get(value, parts[0])
    if isinstance(value, origin) and (origin is bool or not isinstance(value, bool)):
        return value
    raise TypeError(f"{name} is {value!r:.100}")

"""Route templates of HTTP triggers, as ASP.NET Core reads them: parameters, constraints, defaults, catch-alls."""

import re
from collections.abc import Callable
from dataclasses import dataclass

_PART = re.compile(r"\{(\*{0,2})([^*?:=/{}]+)((?::[^:{}=?(]+(?:\((?:[^()]|\([^()]*\))*\))?)*)(=[^}?]*)?(\?)?\}")


class RouteError(Exception):
    """A template that can't be read."""


def _is_number(kind: type) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            kind(value)
        except ValueError:
            return False
        return True

    return check


def _within(bits: int) -> Callable[[str], bool]:
    limit = 2 ** (bits - 1)
    return lambda value: bool(re.fullmatch(r"[+-]?\d+", value)) and -limit <= int(value) < limit


_SIMPLE: dict[str, Callable[[str], bool]] = {
    "int": _within(32),
    "long": _within(64),
    "bool": lambda value: value.lower() in ("true", "false"),
    "alpha": lambda value: bool(re.fullmatch(r"[A-Za-z]*", value)),
    "guid": lambda value: bool(
        re.fullmatch(r"[{(]?[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}[)}]?", value)
    ),
    "decimal": lambda value: bool(re.fullmatch(r"[+-]?([\d,]+\.?\d*|\.\d+)", value)),
    "double": _is_number(float),
    "float": _is_number(float),
    "datetime": lambda value: bool(re.match(r"\d{1,4}[-/]\d{1,2}[-/]\d{1,4}", value)),
    "required": lambda value: value != "",
    "exists": lambda value: True,
    "file": lambda value: _names_a_file(value),
    "nonfile": lambda value: not _names_a_file(value),
}


def _names_a_file(value: str) -> bool:
    """The last segment has a dot and something after it."""
    return bool(re.search(r"\.[^./]+$", value))


def _constraint(text: str) -> Callable[[str], bool]:
    name, _, rest = text.partition("(")
    name = name.lower()
    arguments = rest[:-1] if rest else ""
    if name in _SIMPLE and not arguments:
        return _SIMPLE[name]
    if name == "regex":
        # Braces are written twice in a template.
        try:
            pattern = re.compile(arguments.replace("{{", "{").replace("}}", "}"), re.IGNORECASE)
        except re.error as error:
            raise RouteError(f"the regular expression of '{text}' can't be read: {error}") from None
        return lambda value: bool(pattern.search(value))
    try:
        numbers = [int(one) for one in arguments.split(",")]
    except ValueError:
        raise RouteError(f"unknown constraint '{text}'") from None
    first, last = numbers[0], numbers[-1]
    whole = _within(64)
    table: dict[str, Callable[[str], bool]] = {
        "length": lambda value: first <= len(value) <= last,
        "minlength": lambda value: len(value) >= first,
        "maxlength": lambda value: len(value) <= first,
        "min": lambda value: whole(value) and int(value) >= first,
        "max": lambda value: whole(value) and int(value) <= first,
        "range": lambda value: whole(value) and first <= int(value) <= last,
    }
    if name not in table:
        raise RouteError(f"unknown constraint '{text}'")
    return table[name]


@dataclass(frozen=True)
class Route:
    template: str
    pattern: re.Pattern[str]
    names: list[str]
    """Of the parameters, in the order of the pattern's groups."""
    checks: dict[str, list[Callable[[str], bool]]]
    defaults: dict[str, str]
    rank: tuple[int, ...]
    """The lower, the more is said: literals, then constrained parameters, parameters, catch-alls."""

    def match(self, path: str) -> dict[str, str] | None:
        """The values of the parameters in a decoded path, None when it is another's."""
        found = self.pattern.fullmatch(path)
        if not found:
            return None
        values = {name: value for name, value in zip(self.names, found.groups(), strict=True) if value}
        for name, checks in self.checks.items():
            if name in values and not all(check(values[name]) for check in checks):
                return None
        return self.defaults | values

    @property
    def example(self) -> str:
        """A path that the route would take if its parameters had no constraints."""
        return "/" + _PART.sub(lambda part: part[2], self.template)


def parse(template: str) -> Route:
    pattern, rank, names = "", [], list[str]()
    checks: dict[str, list[Callable[[str], bool]]] = {}
    defaults: dict[str, str] = {}
    for segment in template.strip("/").split("/") if template.strip("/") else []:
        text, optional, place, score = "", False, 0, 1
        parts = list(_PART.finditer(segment))
        # `{name}.{ext?}`: without an extension the dot isn't needed either.
        extension = (
            parts[-1] if len(parts) > 1 and parts[-1][5] and segment[: parts[-1].start()].endswith(".") else None
        )
        for part in parts:
            stars, name, constraints, default, mark = part.groups()
            if name in names:
                raise RouteError(f"the parameter '{name}' appears more than once in the route '{template}'")
            names.append(name)
            literal = re.escape(segment[place : part.start()])
            if part is extension:
                text += rf"{literal[:-2]}(?:\.([^/.]+))?"
            else:
                # The first parameters of a segment take as much as they can.
                text += literal + ("(.*)" if stars else "([^/]+?)" if extension else "([^/]+)")
                optional = optional or bool(mark or default or stars)
            place = part.end()
            if default:
                defaults[name] = default[1:]
            checks[name] = [_constraint(one) for one in _constraints_in(constraints)]
            score = max(score, 5 if stars else 3 if checks[name] else 4)
        text += re.escape(segment[place:])
        if "{" in segment[place:] or (place == 0 and "{" in segment):
            raise RouteError(f"the segment '{segment}' of the route '{template}' can't be read")
        pattern += f"(?:/{text})?" if optional else f"/{text}"
        rank.append(score)
    whole = re.compile(pattern + "/?", re.IGNORECASE | re.DOTALL)
    return Route(template, whole, names, checks, defaults, tuple(rank))


def _constraints_in(text: str) -> list[str]:
    found, depth, start = [], 0, 0
    for place, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == ":" and depth == 0:
            if place > start:
                found.append(text[start:place])
            start = place + 1
    return [*found, text[start:]] if text[start:] else found

"""`$filter` of the lists of resources and groups: what ARM knows there, and that it refuses the rest."""

from __future__ import annotations

import re
from collections.abc import Callable

from local.azure import errors, ids
from local.azure.store import Json

Test = Callable[[Json], bool]
_COMPARED = re.compile(r"^\s*(?P<name>\w+)\s+(?P<how>eq|ne)\s+'(?P<text>(?:[^']|'')*)'\s*$", re.IGNORECASE)
_CALLED = re.compile(
    r"^\s*(?:substringof\(\s*'(?P<part>(?:[^']|'')*)'\s*,\s*(?P<inside>\w+)\s*\)"
    r"|startswith\(\s*(?P<begun>\w+)\s*,\s*'(?P<start>(?:[^']|'')*)'\s*\))\s*$",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"'(?:[^']|'')*'")
_VALUES: dict[str, Callable[[Json], str]] = {
    "resourcetype": lambda shown: str(shown["type"]),
    "name": lambda shown: str(shown["name"]),
    "location": lambda shown: str(shown.get("location", "")),
    "resourcegroup": lambda shown: ids.group_of(shown["id"]),
}


def _split(text: str, word: str) -> list[str]:
    """The clauses between `and`s or `or`s that are in no quotes."""
    masked = _QUOTED.sub(lambda match: "'" + "_" * (len(match[0]) - 2) + "'", text)
    parts, at = [], 0
    for match in re.finditer(rf"\s+{word}\s+", masked, re.IGNORECASE):
        parts.append(text[at : match.start()])
        at = match.end()
    return [*parts, text[at:]]


def parsed(text: str) -> Test:
    """What a resource has to be to fit. An empty text fits all."""
    if not text.strip():
        return lambda _: True
    either = [_all_of(each, text) for each in _split(text, "or")]
    return lambda shown: any(test(shown) for test in either)


def _all_of(text: str, whole: str) -> Test:
    """`tagName eq 'a' and tagValue eq 'b'` are one condition; it can't be combined with others [D]."""
    clauses = [_clause(each, whole) for each in _split(text, "and")]
    tag = {name: value for name, how, value in clauses if name in ("tagname", "tagvalue") and how == "eq"}
    tests = [_test(*each) for each in clauses if each[0] not in ("tagname", "tagvalue")]
    if tag and (tests or "tagname" not in tag or len(tag) != len(clauses)):
        raise _invalid(whole)
    if tag:
        return lambda shown: _has_tag(shown, tag["tagname"], tag.get("tagvalue"))
    return lambda shown: all(test(shown) for test in tests)


def _clause(text: str, whole: str) -> tuple[str, str, str]:
    if match := _COMPARED.match(text):
        name, how, value = match["name"].lower(), match["how"].lower(), match["text"]
    elif match := _CALLED.match(text):
        inside = match["inside"]
        name, how = (inside or match["begun"]).lower(), "has" if inside else "starts"
        value = match["part"] if inside else match["start"]
    else:
        raise _invalid(whole)
    if name not in _VALUES and not (how == "eq" and name in ("tagname", "tagvalue")):
        raise _invalid(whole)
    return name, how, value.replace("''", "'")


def _test(name: str, how: str, value: str) -> Test:
    read, wanted = _VALUES[name], value.lower()
    if how == "has":
        return lambda shown: wanted in read(shown).lower()
    if how == "starts":
        return lambda shown: read(shown).lower().startswith(wanted)
    return lambda shown: (read(shown).lower() == wanted) == (how == "eq")


def _has_tag(shown: Json, name: str, value: str | None) -> bool:
    """Tag names are compared without letter case, values with it."""
    tags = {each.lower(): text for each, text in (shown.get("tags") or {}).items()}
    return name.lower() in tags and (value is None or tags[name.lower()] == value)


def _invalid(text: str) -> errors.ArmError:
    return errors.by_gateway(
        400, "InvalidFilterInQueryString", f"Invalid $filter '{text}' specified in the query string."
    )

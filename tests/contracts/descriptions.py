"""Microsoft's published descriptions of ARM, as a judge of what was asked and answered.

They are data beside the checkout (`../shared/specs` from its root) and no part of it. What they were written for is one
api-version; newer ones add properties, so the version of a request is not looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import jsonschema_rs

from tests.contracts.azure import ROOT

SPECS = ROOT.parent / "shared" / "specs" / "specification"
_FILES = (
    "network/resource-manager/Microsoft.Network/stable/2024-01-01/*.json",
    "compute/resource-manager/Microsoft.Compute/ComputeRP/stable/2024-07-01/*.json",
    "compute/resource-manager/Microsoft.Compute/DiskRP/stable/2024-03-02/*.json",
    "compute/resource-manager/Microsoft.Compute/Skus/stable/2021-07-01/*.json",
    "resources/**/*.json",
)
Json = dict[str, Any]


@cache
def _document(path: Path) -> Json:
    return json.loads(path.read_text(encoding="utf-8"))


def _retrieve(uri: str) -> Json:
    return _document(Path(urlsplit(uri).path))


def _followed(schema: Json, base: str) -> tuple[Json, str]:
    """A schema behind its reference, and the file that it is in."""
    while "$ref" in schema:
        base, fragment = urldefrag(urljoin(base, schema["$ref"]))
        schema = _retrieve(base)
        for part in fragment.strip("/").split("/"):
            schema = schema[part]
    return schema, base


def _absolute(schema: Any, base: str) -> Any:
    """The same with every reference naming its file."""
    if isinstance(schema, dict):
        return {name: urljoin(base, each) if name == "$ref" else _absolute(each, base) for name, each in schema.items()}
    return [_absolute(each, base) for each in schema] if isinstance(schema, list) else schema


def _properties(schema: Json, base: str) -> dict[str, tuple[Json, str]]:
    schema, base = _followed(schema, base)
    found = {name: (inner, base) for name, inner in (schema.get("properties") or {}).items()}
    for each in schema.get("allOf") or []:
        found |= _properties(each, base)
    return found


def _open(schema: Json, base: str) -> bool:
    """Whether a schema says that it holds anything."""
    schema, base = _followed(schema, base)
    if schema.get("additionalProperties"):
        return True
    if schema.get("type") == "object" and not _properties(schema, base):
        return True
    return any(_open(each, base) for each in schema.get("allOf") or [])


def unknown(value: Any, schema: Json, base: str, at: str = "") -> Iterator[str]:
    """The properties of a value that its description doesn't know."""
    schema, base = _followed(schema, base)
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from unknown(each, schema.get("items") or {}, base, f"{at}[{number}]")
    elif isinstance(value, dict):
        known = _properties(schema, base)
        for name, inner in value.items():
            if name in known:
                yield from unknown(inner, *known[name], f"{at}.{name}")
            elif known and not _open(schema, base):
                yield f"{at}.{name}"


class Descriptions:
    """All operations that are described."""

    def __init__(self, root: Path = SPECS) -> None:
        self._operations: list[tuple[re.Pattern[str], str, Json, str]] = []
        self._judges: dict[int, jsonschema_rs.Draft4Validator] = {}
        documents: list[tuple[str, Json]] = []
        for pattern in _FILES:
            for path in sorted(root.glob(pattern)):
                if "examples" in path.parts:
                    continue
                documents.append((path.as_uri(), _document(path)))
                for template, methods in (_document(path).get("paths") or {}).items():
                    expression = re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template)) + "/?$", re.IGNORECASE)
                    for method, operation in methods.items():
                        if method != "parameters":
                            self._operations.append((expression, method.upper(), operation, path.as_uri()))
        # Each judge would take the documents over by itself, which costs more than all its judgements.
        self._registry = jsonschema_rs.Registry(documents, draft=jsonschema_rs.Draft4, retriever=_retrieve)

    def find(self, method: str, path: str) -> tuple[Json, str] | None:
        """The operation that a request is, and the file that describes it."""
        for expression, known, operation, base in self._operations:
            if known == method and expression.match(path):
                return operation, base
        return None

    def faults(self, entry: Json) -> list[str]:
        """What is wrong with one entry of the journal, in the eyes of its description."""
        found = self.find(entry["method"], entry["path"])
        if found is None:
            return []
        operation, base = found
        wrong = []
        for parameter in operation.get("parameters") or []:
            parameter, origin = _followed(parameter, base)
            if parameter.get("in") == "body" and entry["request"] is not None and entry["status"] < 400:
                wrong += self._wrong("request", entry["request"], parameter["schema"], origin)
        answers = operation["responses"]
        described = answers.get(str(entry["status"]))
        if described is None and entry["status"] < 400:
            wrong.append(f"status {entry['status']} is none of {', '.join(answers)}")
        if described is None:
            described = answers.get("default")
        if described and described.get("schema") and entry["response"] is not None:
            wrong += self._wrong("response", entry["response"], described["schema"], base)
        return [f"{entry['method']} {entry['path']} {entry['status']}: {each}" for each in wrong]

    def _wrong(self, what: str, value: Any, schema: Json, base: str) -> list[str]:
        judge = self._judges.get(id(schema))
        if judge is None:
            judge = jsonschema_rs.Draft4Validator(
                _absolute(schema, base), registry=self._registry, validate_formats=False
            )
            self._judges[id(schema)] = judge
        wrong = [
            f"{what}{'/'.join(map(str, ['', *each.instance_path]))}: {each.message}"
            for each in judge.iter_errors(value)
        ]
        return wrong + [f"{what}{each} is unknown" for each in unknown(value, schema, base)]

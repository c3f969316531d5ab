"""A document that was sent to Azure, written out as a Bicep resource, so that the compiler checks its properties."""

import json
import re
from typing import Any

_NAME = re.compile(r"[A-Za-z_]\w*")


def literal(value: Any, indent: int = 0) -> str:
    """A JSON value as Bicep writes it."""
    inside, end = "\n" + "  " * (indent + 1), "\n" + "  " * indent
    match value:
        case dict():
            pairs = [
                f"{name if _NAME.fullmatch(name) else literal(name)}: {literal(each, indent + 1)}"
                for name, each in value.items()
            ]
            return "{" + "".join(inside + pair for pair in pairs) + end + "}" if pairs else "{}"
        case list():
            return "[" + "".join(inside + literal(each, indent + 1) for each in value) + end + "]" if value else "[]"
        case str():
            text = value.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${")
            return "'" + text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + "'"
        case float():
            return f"json('{value}')"
        case _:
            return json.dumps(value)


def declaration(number: int, resource_id: str, api_version: str, body: dict[str, Any]) -> str:
    """One declaration. The id says type and name: `…/providers/{namespace}/{type}/{name}/{type}/{name}`."""
    namespace, *parts = resource_id.partition("/providers/")[2].split("/")
    kind, name = "/".join([namespace, *parts[::2]]), "/".join(parts[1::2])
    return predicted_declaration(number, {**body, "type": kind, "name": name, "apiVersion": api_version})


def predicted_declaration(number: int, resource: dict[str, Any]) -> str:
    """One declaration, of a resource as a snapshot has it."""
    declared = {"name": resource["name"]} | {
        key: value for key, value in resource.items() if key not in ("id", "name", "type", "apiVersion")
    }
    return f"resource r{number} '{resource['type']}@{resource['apiVersion']}' = {literal(declared)}\n"

"""Query parameters and path parameters, read strictly; and the pages of a list."""

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

from shared.errors import ValidationException
from shared.spoke.records import SpokeStatus
from triggers.http.requests import MAX_KEY_LENGTH

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
_DEPLOYMENT_ID = re.compile(r"[a-z0-9-]{1,120}")


@dataclass(frozen=True)
class Parameter:
    """A parameter as the OpenAPI document describes it. A function gets those query parameters that its route declares."""

    name: str
    description: str
    schema: dict[str, Any]
    where: str = "query"


class Filters(NamedTuple):
    """Which spokes a list has: of this state, client, hub and gateway, of any where it is None."""

    status: str | None = None
    client_name: str | None = None
    hub: str | None = None
    gateway: str | None = None


MODE = Parameter("mode", "plan: say what would happen, touch nothing.", {"enum": ["plan", "deploy"]})
FORCE = Parameter("force", "true: delete in spite of what isn't ours.", {"enum": ["true", "false"]})
# A deleted spoke has no row.
STATUS = Parameter(
    "status", "Only spokes in this state.", {"enum": [state for state in get_args(SpokeStatus) if state != "deleted"]}
)
CLIENT_NAME = Parameter("client_name", "Only this client's, as it was written in the request.", {"type": "string"})
HUB = Parameter("hub", "Only spokes of this hub.", {"type": "string"})
GATEWAY = Parameter("gateway", "Only spokes on this gateway.", {"type": "string"})
LIMIT = Parameter("limit", f"Default {DEFAULT_LIMIT}.", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT})
CONTINUATION = Parameter("continuation", "Of the page before, with the same filters.", {"type": "string"})
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "The same key and body give the same deployment for 24 hours; the same key with another body gives 422.",
    {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[ -~]+$"},
    where="header",
)
# By their names in a route's path.
IN_PATHS = {
    "spoke_id": Parameter("spoke_id", "The spoke's number.", {"type": "integer", "minimum": 1}, where="path"),
    "deployment_id": Parameter("deployment_id", "The id that POST answered.", {"type": "string"}, where="path"),
}


def flag(params: Mapping[str, str], parameter: Parameter) -> bool:
    """`?force=true`; absent is false."""
    text = params.get(parameter.name, "false")
    value = {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    if value is None:
        raise _bad(parameter.name, text, f"{parameter.name} must be true or false.")
    return value


def one_of(params: Mapping[str, str], parameter: Parameter) -> str | None:
    """A parameter that must be one of the words of its schema; None when absent."""
    name, allowed = parameter.name, parameter.schema["enum"]
    text = params.get(name)
    if text is not None and text not in allowed:
        words = " or ".join(allowed) if len(allowed) < 3 else "one of " + ", ".join(allowed)
        raise _bad(name, text, f"{name} must be {words}.")
    return text


def filters(params: Mapping[str, str]) -> Filters:
    """`?status=&client_name=&hub=&gateway=`; an empty hub or gateway alone is none."""
    hub, gateway = params.get(HUB.name), params.get(GATEWAY.name)
    where = (hub, gateway) if hub or gateway else ()
    return Filters(one_of(params, STATUS), params.get(CLIENT_NAME.name), *where)


def limit(params: Mapping[str, str]) -> int:
    """How many to a page."""
    text = params.get(LIMIT.name, str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MAX_LIMIT):
        raise _bad(LIMIT.name, text, f"limit must be a whole number from 1 to {MAX_LIMIT}.")
    return int(text)


def spoke_id(route_params: Mapping[str, str]) -> int:
    """The id in a path. What can't be an id is unknown like any other."""
    text = route_params.get("spoke_id", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 9) or text != str(int(text)):
        raise unknown_spoke(text)
    return int(text)


def deployment_id(route_params: Mapping[str, str]) -> str:
    """The id in a path, when it can be one: it becomes a table key."""
    text = route_params.get("deployment_id", "")
    if not _DEPLOYMENT_ID.fullmatch(text):
        raise unknown_deployment(text)
    return text


def subject(route_params: Mapping[str, str]) -> dict[str, Any]:
    """What a call is about, for its log lines: the ids in its path that can be ids."""
    about: dict[str, Any] = {}
    for read in (spoke_id, deployment_id):
        with contextlib.suppress(ValidationException):
            about[read.__name__] = read(route_params)
    return about


def unknown_spoke(value: Any) -> ValidationException:
    return ValidationException(
        f"There is no spoke {str(value)[:80]}.",
        code="SpokeNotFound",
        hint="GET /api/spokes lists the spokes there are.",
        field="spoke_id",
        value=value if isinstance(value, int) else str(value)[:80],
    )


def unknown_deployment(value: str) -> ValidationException:
    return ValidationException(
        f"There is no deployment {value[:120]}.",
        code="DeploymentNotFound",
        hint="GET /api/spokes/{spoke_id}/deployments lists a spoke's runs.",
        field="deployment_id",
        value=value[:120],
    )


def continuation_after(params: Mapping[str, str], filters: Filters) -> int:
    """The id after which the page begins: 0 for the first page. A token belongs to the filters it was made with."""
    text = params.get(CONTINUATION.name)
    if text is None:
        return 0
    try:
        after = int(text.partition("-")[0])
    except ValueError:
        after = 0
    # What is taken is the very token that would be made, nothing that only looks like one.
    if after < 1 or text != continuation_token(after, filters):
        raise _bad(CONTINUATION.name, text, "continuation must be the one of the page before, with the same filters.")
    return after


def continuation_token(after: int, filters: Filters) -> str:
    """The token of the page that begins after this id."""
    # Without hub and gateway it is what it was before there were these filters.
    content = json.dumps([after, *(filters if filters.hub or filters.gateway else filters[:2])])
    return f"{after}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _bad(name: str, value: str, sentence: str) -> ValidationException:
    return ValidationException(sentence, code="InvalidParameter", field=name, value=value[:80])

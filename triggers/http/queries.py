"""Query parameters and path parameters, read strictly; and the pages of a list."""

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from shared.errors import ValidationException

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
SPOKE_STATES = (
    "accepted",
    "in_progress",
    "rolling_back",
    "deleting",
    "completed",
    "failed",
    "rollback_failed",
)
_DEPLOYMENT_ID = re.compile(r"[a-z0-9-]{1,120}")


def flag(params: Mapping[str, str], name: str) -> bool:
    """`?force=true`; absent is false."""
    words = {"true": True, "1": True, "false": False, "0": False}
    text = params.get(name)
    if text is None:
        return False
    if text.lower() not in words:
        raise _bad(name, text, f"{name} must be true or false.")
    return words[text.lower()]


def one_of(params: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str | None:
    """A parameter that must be one of some words; None when absent."""
    text = params.get(name)
    if text is not None and text not in allowed:
        raise _bad(
            name,
            text,
            f"{name} must be {' or '.join(allowed) if len(allowed) < 3 else 'one of ' + ', '.join(allowed)}.",
        )
    return text


def hub_filters(params: Mapping[str, str]) -> tuple[str | None, ...]:
    """`?hub=&gateway=`; nothing when neither is there, so that the tokens of pages stay what they were."""
    names = (params.get("hub"), params.get("gateway"))
    return names if any(names) else ()


def limit(params: Mapping[str, str]) -> int:
    """How many to a page."""
    text = params.get("limit")
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MAX_LIMIT):
        raise _bad("limit", text, f"limit must be a whole number from 1 to {MAX_LIMIT}.")
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


def continuation_after(params: Mapping[str, str], filters: tuple[str | None, ...]) -> int:
    """The id after which the page begins: 0 for the first page. A token belongs to the filters it was made with."""
    text = params.get("continuation")
    if text is None:
        return 0
    try:
        after = int(text.partition("-")[0])
    except ValueError:
        after = 0
    # What is taken is the very token that would be made, nothing that only looks like one.
    if after < 1 or text != continuation_token(after, filters):
        raise _bad("continuation", text, "continuation must be the one of the page before, with the same filters.")
    return after


def continuation_token(after: int, filters: tuple[str | None, ...]) -> str:
    """The token of the page that begins after this id."""
    content = json.dumps([after, *filters])
    return f"{after}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _bad(name: str, value: str, sentence: str) -> ValidationException:
    return ValidationException(sentence, code="InvalidParameter", field=name, value=value[:80])

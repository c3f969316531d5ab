"""JSON bodies as they come: read strictly, because what two parsers read differently is never intended."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from shared.errors import ValidationException
from shared.tables.idempotency import IdempotencyKey

MAX_BODY_BYTES = 40 * 1024
MAX_DEPTH = 16
MAX_KEY_LENGTH = 255
_KEY = re.compile(r"[\x20-\x7e]+")


def body_of(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object of a request to a route that needs one.

    411 when the host has lost it, 413 when it is too long, 415 when it doesn't say JSON, 400 when it isn't.
    """
    # A body that is chunked reaches a function empty on Azure Functions (azure-functions-host#4926, #7930).
    if not body and (headers.get("Transfer-Encoding") or not headers.get("Content-Length")):
        raise ValidationException(
            "The body arrived empty: it was sent in chunks, or without saying how long it is.",
            code="LengthRequired",
            hint="Send it whole, with a Content-Length header. curl: --data @file instead of --upload-file -.",
            field="Content-Length",
            value=None,
        )
    if len(body) > MAX_BODY_BYTES:
        raise _refused(f"The body is {len(body)} bytes long; {MAX_BODY_BYTES} (40 KiB) is the most.", "BodyTooLarge")
    _check_says_json(headers)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused(f"The body is not UTF-8: byte {error.start} can't be read.") from error
    try:
        document = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_no_constants, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        raise _refused(f"The body is not JSON: line {error.lineno}, column {error.colno}: {error.msg}.") from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:  # a number of thousands of digits, which Python refuses to read
        raise _refused("The body holds a number that is too long.") from error
    if not isinstance(document, dict):
        raise _refused("The body must be a JSON object.")
    if _is_deeper_than(document, MAX_DEPTH):
        raise _too_deep()
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise _refused("The body holds half a surrogate pair (such as \\ud800), which is no character.") from error
    return document


def idempotency_key(header: str | None, body: dict[str, Any]) -> IdempotencyKey | None:
    """The `Idempotency-Key` header with the fingerprint of the body: equal for bodies that say the same."""
    if header is None:
        return None
    key = header.strip()
    if not _KEY.fullmatch(key) or len(key) > MAX_KEY_LENGTH:
        raise ValidationException(
            f"Idempotency-Key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters.",
            field="Idempotency-Key",
            value=None,
        )
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return IdempotencyKey(_sha256(key), _sha256(canonical))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check_says_json(headers: Mapping[str, str]) -> None:
    content_type, coding = headers.get("Content-Type"), headers.get("Content-Encoding")
    kind, _, parameters = (content_type or "").lower().partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\";\s]+)", parameters)
    if kind.strip() != "application/json" or (charset and charset.group(1) not in ("utf-8", "utf8")):
        raise _not_json("Content-Type", content_type, "curl: -H 'Content-Type: application/json'")
    if (coding or "identity").strip().lower() != "identity":
        raise _not_json("Content-Encoding", coding, "Send the body as it is, not compressed.")


def _not_json(header: str, value: str | None, hint: str) -> ValidationException:
    return ValidationException(
        "The body must be JSON in UTF-8, and the Content-Type header must say application/json.",
        code="NotJson",
        hint=hint,
        field=header,
        value=(value or "")[:80] or None,
    )


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Linear in the number of fields: a body of 40 KiB can hold thousands."""
    document: dict[str, Any] = {}
    for name, value in pairs:
        if name in document:
            raise _refused(f"The body holds {name[:80]!a} twice.", field=name[:80])
        document[name] = value
    return document


def _no_constants(name: str) -> Any:
    raise _refused(f"{name} is no JSON number.")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _refused("The body holds a number that is too big.")
    return number


def _is_deeper_than(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper_than(part, levels - 1) for part in parts)


def _too_deep() -> ValidationException:
    return _refused(f"The body is nested more than {MAX_DEPTH} levels deep.")


def _refused(sentence: str, code: str = "MalformedJson", field: str = "body") -> ValidationException:
    return ValidationException(sentence, code=code, field=field, value=None)

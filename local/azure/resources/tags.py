"""Tags: ARM's rules for them ([D])."""

from __future__ import annotations

from typing import Any

from local.azure import errors

_NOT_IN_A_NAME = set("<>%&\\?/")
# Kept by Azure for its own use (REST reference, Tags - Create Or Update); there is no recording of the refusal.
_RESERVED_PREFIXES = ("microsoft", "azure", "windows")


def check(tags: Any) -> None:
    """At most 50, names of at most 512 characters without `< > % & \\ ? /` and reserved prefixes, values of at most 256."""
    if tags is None:
        return
    if not isinstance(tags, dict):
        raise errors.invalid_content("Error converting value to type 'tags'.")
    if len(tags) > 50:
        raise errors.by_gateway(
            400, "TooManyTags", f"The number of tags '{len(tags)}' exceeds the maximum of '50' tags on a resource."
        )
    if len({name.lower() for name in tags}) < len(tags):
        raise errors.by_gateway(400, "InvalidTagName", "The tag names must be unique, without regard to letter case.")
    for name, value in tags.items():
        if not name or len(name) > 512 or _NOT_IN_A_NAME & set(name):
            raise errors.by_gateway(
                400,
                "InvalidTagNameCharacters",
                f"The tag name '{name}' is invalid: it has at most 512 characters and none of '<,>,%,&,\\,?,/'.",
            )
        if name.lower().startswith(_RESERVED_PREFIXES):
            raise errors.by_gateway(
                400,
                "InvalidTagName",
                f"The tag name '{name}' is invalid: the prefixes '{','.join(_RESERVED_PREFIXES)}' are reserved.",
            )
        if value is not None and (not isinstance(value, str) or len(value) > 256):
            raise errors.by_gateway(
                400,
                "InvalidTagValueLength",
                f"Tag value too large. Following tag value '{value}' exceeded the maximum length. Maximum allowed "
                "length for tag value - '256' characters.",
            )

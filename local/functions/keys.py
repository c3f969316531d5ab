"""The host's keys, made once and kept in the state directory."""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path


class StateError(Exception):
    """What an earlier host left in the state directory can't be read; the message says which file."""

    def __init__(self, file: Path, reason: object) -> None:
        super().__init__(f"{file}: can't be read: {reason}. Without the state directory the host begins anew.")


@dataclass(frozen=True)
class Keys:
    function: str
    """The default host key: opens functions of level `function`."""
    master: str
    """Opens everything."""
    system: str
    """The system key of the Durable extension."""
    rpc: str
    """A part of the address at which the SDK's client reaches the extension; known to the app only."""


def kept_keys(state: Path) -> Keys:
    file = state / "keys.json"
    if file.exists():
        try:
            return Keys(**json.loads(file.read_text("utf-8")))
        except (TypeError, ValueError) as error:
            raise StateError(file, error) from None
    keys = Keys(*(secrets.token_urlsafe(32) for _ in range(4)))
    draft = file.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(asdict(keys), stream)
    draft.replace(file)
    return keys

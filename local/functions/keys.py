"""The host's keys, made once and kept in the state directory, and what a key opens.

| key                | opens                                                        |
|--------------------|--------------------------------------------------------------|
| of one function    | that function, if its level is `function`                    |
| host ("default")   | every function of level `function`                           |
| system             | the web hook of one extension, here Durable's                |
| master             | everything: functions of level `admin` and /admin/, too      |
"""

import base64
import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from starlette.requests import Request

from local.functions.paths import query_values

SYSTEM_KEY_NAME = "durabletask_extension"
BYTES_OF_A_KEY = 40

ANONYMOUS, FUNCTION, SYSTEM, ADMIN = "anonymous", "function", "system", "admin"


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

    def of_function(self, name: str) -> str:
        """A function's own default key: made from the master key, so that it need not be kept."""
        digest = hmac.digest(self.master.encode(), name.lower().encode(), "sha512")
        return _written(digest[:BYTES_OF_A_KEY])

    def level_of(self, request: Request, function: str | None = None) -> str:
        """What the key of a request opens at most. A function's own key counts where that function is asked for."""
        given = key_of(request)
        candidates = [(self.master, ADMIN), (self.system, SYSTEM), (self.function, FUNCTION)]
        if function is not None:
            candidates.append((self.of_function(function), FUNCTION))
        return next((level for key, level in candidates if given and same(given, key)), ANONYMOUS)


def key_of(request: Request) -> str:
    """The header's, even if it is empty; without a header that of the query."""
    if "x-functions-key" in request.headers:
        return request.headers["x-functions-key"]
    return next(iter(query_values(request, "code")), "")


def same(given: str, key: str) -> bool:
    return hmac.compare_digest(given.encode(), key.encode())


def _written(key: bytes) -> str:
    """As Azure writes keys: with two `=` at the end, which an address has to escape."""
    return base64.urlsafe_b64encode(key).decode()


def kept_keys(state: Path) -> Keys:
    file = state / "keys.json"
    if file.exists():
        try:
            return Keys(**json.loads(file.read_text("utf-8")))
        except (TypeError, ValueError) as error:
            raise StateError(file, error) from None
    function, master, system, rpc = (secrets.token_bytes(BYTES_OF_A_KEY) for _ in range(4))
    made = Keys(_written(function), _written(master), _written(system), rpc.hex())
    draft = file.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(asdict(made), stream)
    draft.replace(file)
    return made

"""Which URLs a request to Azure Resource Manager may go to: the app's token is for ARM alone. Pure.

Ids and URLs come from rows, from ARM's own answers and through orchestrations, which anybody with the Durable system key
can start with any input. None of them decides which host gets the token, or which resource an id is made to name.
"""

import re
import unicodedata
from urllib.parse import unquote, urlsplit

PUBLIC_ARM = "management.azure.com"

# Nothing here is left for parsers to disagree on: no user information, escapes or other letters in the host.
_ABSOLUTE = re.compile(
    r"https://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
    r"|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?].*)?",
    re.IGNORECASE,
)
_HTTPS = 443
# What ends a path, or is a separator to some parsers. Of a URL with braces azure-core drops whole sections, the host's too:
# it takes them for places to be filled in.
_FORBIDDEN = "?#\\{}"
# More than any escaping that could be taken for a name.
_MOST_ESCAPES = 8


class RefusedTargetError(Exception):
    """A request that must not leave. Its text says why."""


def is_absolute(target: str) -> bool:
    """Whether a target is a URL that ARM answered with, and not a resource id."""
    return "://" in target.split("?")[0]


def url_of(target: str, endpoint: str) -> str:
    """The URL of a resource id or path (`/subscriptions/…`), or of an operation or a page, which is replayed verbatim.

    Raises RefusedTargetError for another host than ARM's, and for what would name another resource than it says.
    """
    if is_absolute(target):
        _check_url(target, endpoint)
        return target
    if not target.startswith("/") or target.startswith("//"):
        raise RefusedTargetError("it doesn't begin with one slash")
    _check_path(target)
    return endpoint + target


def _check_url(url: str, endpoint: str) -> None:
    parts = _ABSOLUTE.fullmatch(url)
    if parts is None:
        raise RefusedTargetError("it is no plain https URL")
    if not _is_arms(parts["host"].lower(), int(parts["port"] or _HTTPS), endpoint):
        raise RefusedTargetError(f"{parts['host'][:100]} is not Azure Resource Manager")
    path, _, query = (parts["rest"] or "").partition("?")
    _check_path(path)
    if set(query) & {*_FORBIDDEN, " "} - {"?"} or not query.isprintable():
        raise RefusedTargetError("its query holds what no URL of Azure's does")


def _is_arms(host: str, port: int, endpoint: str) -> bool:
    ours = urlsplit(endpoint)
    own_host, own_port = (ours.hostname or "").lower(), ours.port or _HTTPS
    if port != own_port:
        return False
    return host.strip("[]") == own_host or (own_host == PUBLIC_ARM and host.endswith(f".{PUBLIC_ARM}"))


def _check_path(path: str) -> None:
    """No query, fragment or step upwards: in the path as it is, and after each unescaping that a proxy on the way may do."""
    for _ in range(_MOST_ESCAPES):
        if not path.isprintable():
            raise RefusedTargetError("it holds a control character")
        if found := sorted(set(path) & set(_FORBIDDEN)):
            raise RefusedTargetError(f"it holds {' and '.join(found)}")
        if {".", ".."} & {segment.strip(" ") for segment in unicodedata.normalize("NFKC", path).split("/")}:
            raise RefusedTargetError("one of its segments is . or ..")
        plain = unquote(path, errors="surrogateescape")
        if plain == path:
            return
        path = plain
    raise RefusedTargetError("it is escaped too often")

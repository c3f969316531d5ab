"""Paths and queries as ASP.NET Core reads them, of which a request's raw path knows nothing yet."""

import re
from urllib.parse import quote

from starlette.requests import Request

# A request may name its host in the first line, too.
ORIGIN = re.compile("^https?://[^/?]*", re.IGNORECASE)
_ESCAPES = re.compile("(?:%[0-9a-fA-F]{2})+")
_ESCAPE_LENGTH = len("%41")
# What PathString leaves as it is: unreserved characters, delimiters and what is escaped already.
_SAFE_IN_A_PATH = "!$&'()*+,;=:@/~"
_ESCAPED = re.compile("(%[0-9a-fA-F]{2})")


def decoded(path: str) -> str:
    """Kestrel's path: escapes are read as UTF-8, but for `%2F`, which separates nothing, and what is no UTF-8; dots are
    resolved (`/a/../b` is `/b`)."""
    plain = _ESCAPES.sub(lambda run: _as_utf8(run[0], but=b"/"), path)
    return _without_dots(plain) if "/." in plain else plain


def _as_utf8(escapes: str, but: bytes = b"") -> str:
    given = bytes.fromhex(escapes.replace("%", ""))
    text, place = "", 0
    while place < len(given):
        length = next((n for n in range(1, 5) if _is_one_character(given[place : place + n], n)), 0)
        if length and given[place : place + 1] != but:
            text += given[place : place + length].decode()
        else:
            length = 1
            text += escapes[place * _ESCAPE_LENGTH : (place + 1) * _ESCAPE_LENGTH]
        place += length
    return text


def _is_one_character(given: bytes, length: int) -> bool:
    try:
        return len(given) == length and len(given.decode()) == 1
    except UnicodeDecodeError:
        return False


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")
    for place, segment in enumerate(segments):
        last = place == len(segments) - 1
        if segment not in (".", ".."):
            kept.append(segment)
            continue
        if segment == ".." and len(kept) > 1:
            kept.pop()
        if last:
            kept.append("")
    return "/".join(kept)


def escaped(path: str) -> str:
    """A decoded path as it stands in an address; what is escaped stays so."""
    return "".join(
        part if place % 2 else quote(part, safe=_SAFE_IN_A_PATH) for place, part in enumerate(_ESCAPED.split(path))
    )


def path_of(request: Request) -> str:
    raw: bytes = request.scope["raw_path"]
    return decoded(ORIGIN.sub("", raw.decode("latin-1").partition("?")[0]))


def url_of(request: Request) -> str:
    query = request.scope["query_string"].decode("latin-1")
    return f"{origin_of(request)}{escaped(path_of(request))}{'?' if query else ''}{query}"


def origin_of(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', '')}"


def query_of(request: Request) -> dict[str, list[str]]:
    """The values of each parameter. Names differ by more than case; what is no UTF-8 stays escaped."""
    found: dict[str, tuple[str, list[str]]] = {}
    for part in request.scope["query_string"].decode("latin-1").split("&"):
        name, value = (_unescaped(one) for one in part.partition("=")[::2])
        if name or value:
            found.setdefault(name.lower(), (name, []))[1].append(value)
    return dict(found.values())


def _unescaped(text: str) -> str:
    return _ESCAPES.sub(lambda run: _as_utf8(run[0]), text.replace("+", " "))


def query_value(request: Request, name: str) -> str | None:
    """A parameter whatever the case of its name; what is given more than once is one text, with commas."""
    found = query_values(request, name)
    return ",".join(found) if found else None


def query_values(request: Request, name: str) -> list[str]:
    return next((values for each, values in query_of(request).items() if each.lower() == name.lower()), [])

"""What the hooks share: the environment that azd gives them, tokens of azd's own login, and calls with JSON.

Python's standard library only: a hook runs before anything of the project is installed.
"""

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any, NoReturn

ARM = os.environ.get("ARM_ENDPOINT", "https://management.azure.com").rstrip("/")
SITES = "2025-03-01"
SECONDS = 60


def setting(name: str, default: str = "") -> str:
    """A value of the azd environment."""
    return os.environ.get(name, default).strip()


def seconds(name: str, default: float) -> float:
    """A duration of the azd environment."""
    try:
        return float(setting(name) or default)
    except ValueError:
        stop(f"{name} must be a number of seconds: {setting(name)!r} isn't.")


def stop(sentence: str) -> NoReturn:
    """Ends the hook, and azd with it."""
    print(sentence, file=sys.stderr)
    sys.exit(1)


def request(method: str, url: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any]:
    """Status and JSON of an answer; status 0, why, and what to do, when there is none."""
    data = None if body is None else json.dumps(body).encode()
    try:
        asked = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method=method)
        with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
            return answer.status, _parsed(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, _parsed(refused.read())
    except (OSError, http.client.HTTPException, ValueError) as unreachable:
        return 0, _why(url, getattr(unreachable, "reason", unreachable))


def arm(method: str, path: str, api_version: str, body: Any = None) -> tuple[int, Any]:
    """A call to Azure Resource Manager with azd's login. `path` may hold a query; a URL of ARM is taken as it is."""
    url = path if path.startswith(ARM) else f"{ARM}{path}{'&' if '?' in path else '?'}api-version={api_version}"
    return request(method, url, {"Authorization": f"Bearer {_token()}"}, body)


def site() -> str:
    """The id of the function app."""
    return (
        f"/subscriptions/{setting('AZURE_SUBSCRIPTION_ID')}/resourceGroups/{setting('AZURE_RESOURCE_GROUP')}"
        f"/providers/Microsoft.Web/sites/{setting('AZURE_FUNCTION_APP')}"
    )


def function_key() -> tuple[str, str]:
    """The app's default function key, FUNCTION_KEY of the environment or asked of Azure; or none, and why."""
    if key := setting("FUNCTION_KEY"):
        return key, ""
    status, answer = arm("POST", f"{site()}/host/default/listKeys", SITES)
    key = (answer.get("functionKeys") or {}).get("default", "") if status == 200 else ""
    return key, "" if key else f"The app's function key can't be read ({status}): {error_of(answer)}"


def api(path: str, key: str) -> tuple[int, Any]:
    """A GET of the app's API."""
    return request("GET", f"{setting('API_URL').rstrip('/')}{path}", {"x-functions-key": key})


def error_of(answer: Any) -> str:
    """What Azure says of a refusal, or why there is no answer."""
    error = answer.get("error") if isinstance(answer, dict) else answer
    return str(error.get("message", error) if isinstance(error, dict) else error or "no reason given")


def _why(url: str, reason: Any) -> str:
    host = url.partition("://")[2].partition("/")[0] or url
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {host} isn't trusted here ({reason}). Behind a proxy that has a certificate of its own, "
            "name the file with it as SSL_CERT_FILE."
        )
    if isinstance(reason, socket.gaierror):
        return f"the name {host} doesn't resolve ({reason}). A new name takes some minutes; else look at DNS, VPN and proxy."
    return f"{host} can't be reached: {reason}"


def _token() -> str:
    scope = "https://management.azure.com/.default"
    try:
        asked = subprocess.run(
            ["azd", "auth", "token", "--output", "json", "--scope", scope],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as absent:
        stop(f"The Azure Developer CLI can't be run as `azd`: put it on the PATH. {absent}")
    if asked.returncode:
        stop(f"azd gives no token; log in with `azd auth login`. {asked.stderr.strip()}")
    return str(json.loads(asked.stdout)["token"])


def _parsed(text: bytes) -> dict[str, Any]:
    """An answer's JSON object; an empty one of anything else, such as a proxy's page."""
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}

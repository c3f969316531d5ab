"""What the hooks share: the environment that azd gives them, tokens of azd's own login, and calls with JSON.

Python's standard library only: a hook runs before anything of the project is installed.
"""

import json
import os
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


def stop(sentence: str) -> NoReturn:
    """Ends the hook, and azd with it."""
    print(sentence, file=sys.stderr)
    sys.exit(1)


def request(method: str, url: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any]:
    """Status and JSON of an answer; status 0 and the reason when there is none."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
            return answer.status, _parsed(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, _parsed(refused.read())
    except OSError as unreachable:
        return 0, str(unreachable)


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


def function_key() -> str:
    """The app's default function key: FUNCTION_KEY of the environment, else asked of Azure."""
    if key := setting("FUNCTION_KEY"):
        return key
    status, answer = arm("POST", f"{site()}/host/default/listKeys", SITES)
    return str(answer["functionKeys"]["default"]) if status == 200 else ""


def api(path: str, key: str) -> tuple[int, Any]:
    """A GET of the app's API."""
    return request("GET", f"{setting('API_URL').rstrip('/')}{path}", {"x-functions-key": key})


def _token() -> str:
    scope = "https://management.azure.com/.default"
    asked = subprocess.run(
        ["azd", "auth", "token", "--output", "json", "--scope", scope],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        stop(f"azd gives no token; log in with `azd auth login`. {asked.stderr.strip()}")
    return str(json.loads(asked.stdout)["token"])


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text or b"{}")
    except ValueError:
        return {}

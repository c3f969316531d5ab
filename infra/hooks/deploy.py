"""azd's hooks after `azd provision` and around `azd deploy`. Each can be repeated.

provisioned  waits as `after` does when the app is published already: its settings and rights may have changed. Before the
             first publish nothing can answer; `azd up` publishes next, and then `after` waits
before       says what the deployment warns of, and stops a publish that can't work
after        waits until GET /health is 200; else prints what fails and what to do, and ends with 1
"""

import sys
import time
from typing import Any

from calls import SITES, api, arm, error_of, function_key, seconds, setting, site, stop

# Role assignments take some minutes until they hold everywhere.
WAIT_SECONDS = seconds("HEALTH_WAIT_SECONDS", 900)
EVERY_SECONDS = seconds("HEALTH_POLL_SECONDS", 10)

WHAT_TO_DO = {
    "settings": "Correct the setting: `azd env set APP_SETTINGS '{...}'`, then `azd provision`.",
    "tables": "The identity needs Storage Table Data Contributor on the records' account, and with VNET_ENABLED=true the account "
    "its private endpoint: `azd provision` makes both.",
    "records": "Read the hint: the table of records is new while Azure holds spokes.",
    "writers": "Nothing: a successor is started by itself.",
    "credential": "AZURE_CLIENT_ID must be the app's identity, and the identity assigned to the app: `azd provision`.",
    "arm": "The identity needs its role on the hub's resource group: `azd provision`, then wait some minutes.",
    "hub": "HUB_RESOURCE_GROUP and HUB_VNET_NAME must name the hub's VNet, and the identity needs its role on it.",
    "permissions": "A role assignment takes some minutes. One that is missing: `azd provision` makes it again.",
    "gateway": "HUB_AGW_NAME must name the hub's gateway, which must run, and the identity needs its role on it.",
}


def provisioned() -> None:
    status, answer = arm("GET", f"{site()}/functions", SITES)
    if status != 200:
        print(
            f"Whether the app is published can't be told ({status}): {error_of(answer)}\n"
            "`azd hooks run postdeploy` waits until it is healthy."
        )
    elif answer.get("value"):
        after()
    else:
        print("The app isn't published yet: `azd deploy` does, and waits until it is healthy.")


def before() -> None:
    if warning := setting("APP_WARNING"):
        print(f"Warning: {warning}")
    if setting("APP_PLAN") == "ElasticPremium":
        stop(
            "On Elastic Premium without keys the app reads its package from "
            f'{setting("APP_PACKAGE_URL")}: publish it as docs/deploying.md says under "Elastic Premium".'
        )


def after() -> None:
    if not setting("API_URL"):
        stop("There is no app yet: `azd provision` makes it.")
    print(f"Waiting until {setting('API_URL')}/health is 200. Role assignments take some minutes.")
    end = time.monotonic() + WAIT_SECONDS
    key, why, said = "", "", ""
    while True:
        if not key:
            key, why = function_key()
        status, answer = api("/health", key)
        if status == 200 and answer.get("status") in ("ok", "degraded"):
            print(f"The app is healthy ({answer['status']}).")
            return
        if (problem := why or _problem(status, answer)) != said:
            said = problem
            print(problem)
        if time.monotonic() >= end:
            stop(f"Not healthy after {WAIT_SECONDS:g} seconds. When it is corrected, run `azd hooks run postdeploy`.")
        time.sleep(EVERY_SECONDS)


def _problem(status: int, answer: Any) -> str:
    """What fails, and what to do about it."""
    if status == 503 and (lines := _failing(answer)):
        return "\n".join(lines)
    reasons = {
        0: f"There is no answer: {answer}",
        200: "What answers isn't the app: look at API_URL, and at a proxy on the way.",
        401: "The function key isn't taken yet, or FUNCTION_KEY is not the app's.",
        404: "The app has no function /health yet: its package is still being unpacked, or was not published.",
        503: "The Functions host doesn't run yet: it can't reach its storage, or a setting keeps it from starting.",
    }
    return reasons.get(status, f"/health answered {status}.")


def _failing(answer: dict[str, Any]) -> list[str]:
    return [
        _line(name, finding)
        for name, finding in (answer.get("dependencies") or {}).items()
        if finding["status"] == "failing"
    ]


def _line(name: str, finding: dict[str, Any]) -> str:
    kind = name.partition(" ")[0]  # with several hubs: `hub <its name>`
    hint = (finding.get("details") or {}).get("hint", "")
    return (
        f"{name} fails: {finding['message']} {hint}".rstrip()
        + f"\n  What to do: {WHAT_TO_DO.get(kind, 'See docs/troubleshooting.md.')}"
    )


if __name__ == "__main__":
    {"provisioned": provisioned, "before": before, "after": after}[sys.argv[1]]()

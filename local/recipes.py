"""What each process of the local stack is told: its command, its environment, and how it says that it is ready."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from local.app_roles import app_roles, scopes
from local.azure.hub import Hub, read
from local.processes import LOOPBACK, Recipe, json_line_with, words

ROOT = Path(__file__).resolve().parent.parent
AZURITE = ROOT / "local" / "node_modules" / "azurite" / "dist" / "src"
AZURITE_PRELOAD = ROOT / "local" / "azurite_preload.cjs"
# The account that every Azurite has, and its key: both are published, neither is a secret.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class StackError(Exception):
    """The stack can't be started, or not kept up; the message says why and what to do."""


def tables_connection_string(endpoint: str) -> str:
    return (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
        f"TableEndpoint={endpoint}/{ACCOUNT};"
    )


def clean_environment(caller: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what would lead a child to real Azure, to a proxy or to other certificates."""
    ours_to_say = (
        "AZURE_",
        "ARM_",
        "IDENTITY_",
        "MSI_",
        "APPLICATIONINSIGHTS_",
        "HUB_",
        "TABLES_",
        "AZUREWEBJOBS",
        "PYTEST_",
    )
    proxies = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY"}
    certificates = {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    kept = {
        name: value
        for name, value in caller.items()
        if not name.upper().startswith(ours_to_say) and name.upper() not in proxies | certificates
    }
    return kept | {"NO_PROXY": f"{LOOPBACK},localhost", "PYTHONUNBUFFERED": "1"}


def app_settings(azure: Mapping[str, Any], tables: str, time_scale: float, hubs: Path | None = None) -> dict[str, str]:
    """The app's settings, as an operator would give them: but for the addresses, nothing says that this isn't Azure."""

    def scaled(seconds: float, least: float = 0.02) -> str:
        return f"{max(seconds * time_scale, least):g}"

    several = {} if hubs is None else {"HUBS": hubs.read_text(encoding="utf-8")}
    return several | {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "PYTHON_THREADPOOL_THREAD_COUNT": "32",
        "TASK_HUB": "HubSpokeV1",
        "ARM_ENDPOINT": azure["arm"],
        "REQUESTS_CA_BUNDLE": azure["ca"],
        "IDENTITY_ENDPOINT": azure["identity_endpoint"],
        "IDENTITY_HEADER": azure["identity_header"],
        "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        "AZURE_SUBSCRIPTION_ID": azure["subscription_id"],
        "HUB_RESOURCE_GROUP": "hub-rg",
        "HUB_VNET_NAME": "hub-vnet",
        "HUB_AGW_NAME": "hub-agw",
        "HUB_LOCATION": "eastus",
        "SPOKE_DOMAIN": "spokes.example.com",
        "TABLES_CONNECTION_STRING": tables,
        "LOG_LEVEL": "INFO",
        "POLL_MAX_SECONDS": scaled(5),
        "POLL_DEFAULT_SECONDS": scaled(5),
        "AGW_GATHER_SECONDS": scaled(2),
        "WRITER_POLL_SECONDS": scaled(1),
        "RETRY_FIRST_SECONDS": scaled(5),
        "RETRY_MAX_SECONDS": scaled(60, least=0.1),
    }


def azurite_recipe(state: Path, port: int, *, blob_and_queue: tuple[int, int] | None = None) -> Recipe:
    """The table service, and with Core Tools, which keep their own records there, the blob and queue services too."""
    node = shutil.which("node")
    if node is None or not AZURITE.is_dir():
        raise StackError("Azurite is not installed. Run `make setup` (it needs Node.js 18 or newer).")
    state.mkdir(parents=True, exist_ok=True)
    options = ["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--location", str(state)]
    options += ["--tableHost", LOOPBACK, "--tablePort", str(port)]
    program, ready = AZURITE / "table" / "main.js", "Azurite Table service successfully started"
    if blob_and_queue is not None:
        program, ready = AZURITE / "azurite.js", "Azurite Table service is successfully listening"
        for service, its_port in zip(("blob", "queue"), blob_and_queue, strict=True):
            options += [f"--{service}Host", LOOPBACK, f"--{service}Port", str(its_port)]
    return Recipe(
        name="azurite",
        command=[node, "--require", str(AZURITE_PRELOAD), str(program), *options],
        environment=clean_environment(os.environ),
        directory=state,
        ready=words(ready),
        stop_signal=signal.SIGINT,  # it writes its tables to disk on this one only
        seconds_to_stop=20,
    )


def tables_proxy_recipe(port: int, target: str) -> Recipe:
    return Recipe(
        name="tables_proxy",
        command=[sys.executable, "-m", "local.tables_proxy", "--port", str(port), "--target", target],
        environment=clean_environment(os.environ),
        directory=ROOT,
        ready=json_line_with("tables"),
    )


def azure_recipe(
    state: Path, port: int, time_scale: float, gateway_limit: int | None, hubs: Path | None = None
) -> Recipe:
    """The local Azure, in which the app's identity has the rights of `infra/roles` and no others."""
    command = [sys.executable, "-m", "local.azure", "--port", str(port), "--state", str(state)]
    command += ["--time-scale", f"{time_scale:g}"]
    if gateway_limit is not None:
        command += ["--gateway-limit", str(gateway_limit)]
    if hubs is not None:
        command += ["--hubs", str(hubs)]
    state.mkdir(parents=True, exist_ok=True)
    roles = state / "roles.json"
    roles.write_text(json.dumps(app_roles(scopes(read(hubs) if hubs else (Hub(),))), indent=1), encoding="utf-8")
    command += ["--roles", str(roles)]
    return Recipe("azure", command, clean_environment(os.environ), ROOT, json_line_with("arm"), announces_keys=True)


def functions_recipe(
    state: Path, port: int, script_root: Path, settings: Mapping[str, str], time_scale: float = 0.02
) -> Recipe:
    command = [sys.executable, "-m", "local.functions", "--script-root", str(script_root)]
    command += ["--port", str(port), "--state", str(state), "--time-scale", str(time_scale)]
    state.mkdir(parents=True, exist_ok=True)
    environment = clean_environment(os.environ) | dict(settings)
    return Recipe("functions", command, environment, ROOT, json_line_with("api"), announces_keys=True)


def path_of_core_tools() -> str:
    func = shutil.which("func")
    if func is None:
        raise StackError(
            "Azure Functions Core Tools (`func`) are not installed. `make run` does without them. To have them: "
            "npm install --global azure-functions-core-tools@4"
        )
    return func


def core_tools_recipe(port: int, script_root: Path, settings: Mapping[str, str], storage: str) -> Recipe:
    """Azure Functions Core Tools. They ask for no keys on a developer's machine, and are asked whether they serve."""
    func = path_of_core_tools()
    environment = clean_environment(os.environ) | dict(settings)
    environment["AzureWebJobsStorage"] = storage
    environment["languageWorkers__python__defaultExecutablePath"] = sys.executable

    def ready(said: str) -> dict[str, Any] | None:
        try:
            status = httpx.get(f"http://{LOOPBACK}:{port}/admin/host/status", timeout=1, trust_env=False)
        except httpx.TransportError:
            return None
        if status.status_code != 200 or status.json().get("state") != "Running":
            return None
        keys = dict.fromkeys(("function_key", "system_key", "master_key"), "none-needed")
        return {"api": f"http://{LOOPBACK}:{port}/api", **keys}

    return Recipe(
        name="functions",
        command=[func, "start", "--port", str(port)],
        environment=environment,
        directory=script_root,
        ready=ready,
        seconds_to_start=300,  # the first start downloads the extension bundle
        seconds_to_stop=15,
    )

"""azd's hooks, run as azd runs them: against the local stack, and a provider of role assignments of their own."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.recipes import ROOT
from local.stack import Stack
from tests.e2e.client import Api, request_for

# A path at which a page answers 200, as a proxy's sign-in does.
A_PAGE = "a-page"
AUTHORIZATION = "/subscriptions/{0}/providers/Microsoft.Authorization"
OURS = "6e3f"
SUBSCRIPTIONS = ["sub-a", "sub-b"]


class Authorization(ThreadingHTTPServer):
    """Role assignments and definitions as Azure Resource Manager lists and deletes them, a page at a time."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Call)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.kept: dict[str, dict[str, Any]] = {}
        self.refusals = 0
        for subscription in SUBSCRIPTIONS:
            scope = AUTHORIZATION.format(subscription)
            for name, principal in (("mine-1", OURS), ("mine-2", OURS), ("other", "7777")):
                self.kept[f"{scope}/roleAssignments/{name}"] = {"principalId": principal}
            for name in ("A role (dev abc)", "Another (dev abc)", "A role (prod abc)"):
                self.kept[f"{scope}/roleDefinitions/{name.replace(' ', '-')}"] = {"roleName": name}


class _Call(BaseHTTPRequestHandler):
    server: Authorization

    def do_POST(self) -> None:
        self._answer(403, {"error": {"code": "AuthorizationFailed", "message": "listKeys is not allowed"}})

    def do_GET(self) -> None:
        if A_PAGE in self.path:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Sign in</html>")
            return
        path, _, query = self.path.partition("?")
        found = [
            {"id": each, "properties": properties}
            for each, properties in self.server.kept.items()
            if each.startswith(path) and properties.get("principalId", OURS) == OURS
        ]
        first = int(query.partition("page=")[2] or 0)
        page: dict[str, Any] = {"value": found[first : first + 2]}
        if first + 2 < len(found):
            page["nextLink"] = f"{self.server.address}{path}?page={first + 2}"
        self._answer(200, page)

    def do_DELETE(self) -> None:
        path = self.path.partition("?")[0]
        is_assigned = "/roleDefinitions/" in path and any(
            path.startswith(each.partition("/roleAssignments/")[0]) and properties.get("principalId") == OURS
            for each, properties in self.server.kept.items()
        )
        if is_assigned or self.server.refusals:
            self.server.refusals = max(self.server.refusals - 1, 0)
            self._answer(409, {"error": {"code": "RoleDefinitionHasAssignments"}})
        else:
            self._answer(200 if self.server.kept.pop(path, None) else 204, {})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        assert self.headers["Authorization"] == "Bearer of-azd"
        self.send_response(status)
        self.end_headers()
        if status != 204:
            self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on standard error."""


@pytest.fixture
def authorization() -> Iterator[Authorization]:
    with Authorization() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Hooks:
    """The hooks in a directory of their own, with an azd that is logged in."""

    def __init__(self, directory: Path, stack: Stack) -> None:
        self.directory = directory
        azd = directory / "azd"
        azd.write_text('#!/bin/sh\necho \'{"token": "of-azd"}\'\n')
        azd.chmod(0o755)
        self.environment = {
            "PATH": f"{directory}:{os.environ['PATH']}",
            "NO_PROXY": "127.0.0.1",
            "AZURE_ENV_NAME": "dev",
            "API_URL": stack.endpoints["api"],
            "FUNCTION_KEY": stack.endpoints["function_key"],
            "HEALTH_POLL_SECONDS": "0.05",
            "HEALTH_WAIT_SECONDS": "20",
        }

    def shell(self, hook: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """The hook as azure.yaml has it for POSIX, in the project's folder, as azd runs it."""
        azure = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
        posix = azure["hooks"][hook]["posix"]
        return subprocess.run(
            [posix["shell"], "-c", posix["run"]],
            env=self.environment | changes,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def run(self, hook: str, when: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, ROOT / "infra" / "hooks" / f"{hook}.py", when],
            env=self.environment | changes,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def hooks(tmp_path: Path, stack: Stack) -> Hooks:
    return Hooks(tmp_path, stack)


def test_a_deploy_that_stays_unhealthy_names_what_fails_and_what_to_do(hooks: Hooks, api: Api) -> None:
    gateway = next(each for each in api.arm_resources() if each["id"].endswith("/applicationGateways/hub-agw"))
    stopped = gateway | {"properties": gateway["properties"] | {"operationalState": "Stopped"}}
    api.arm.put("/_local/resources", json=stopped).raise_for_status()
    try:
        ended = hooks.run("deploy", "after", HEALTH_WAIT_SECONDS="0")
    finally:
        api.arm.put("/_local/resources", json=gateway).raise_for_status()
    assert ended.returncode == 1
    assert "gateway fails: The Application Gateway hub-agw is Stopped" in ended.stdout
    assert "What to do: HUB_AGW_NAME must name" in ended.stdout
    assert "azd hooks run postdeploy" in ended.stderr


def test_a_deploy_waits_until_the_app_is_healthy_and_can_be_repeated(hooks: Hooks) -> None:
    for _ in range(2):
        ended = hooks.run("deploy", "after")
        assert ended.returncode == 0, ended.stderr
        assert "The app is healthy (ok)." in ended.stdout


def test_after_provisioning_an_app_that_is_published_is_waited_for(hooks: Hooks, authorization: Authorization) -> None:
    """Of the first deployment nothing can answer yet: azd publishes next. Run by the shell, as azd does."""
    names = {"AZURE_SUBSCRIPTION_ID": "sub-a", "AZURE_RESOURCE_GROUP": "rg-dev", "AZURE_FUNCTION_APP": "func-dev"}
    names["ARM_ENDPOINT"] = authorization.address
    first = hooks.shell("postprovision", **names)
    assert (first.returncode, first.stderr) == (0, "")
    assert "isn't published yet" in first.stdout
    functions = "/subscriptions/sub-a/resourceGroups/rg-dev/providers/Microsoft.Web/sites/func-dev/functions"
    authorization.kept[f"{functions}/get_health"] = {}
    for hook in ("postprovision", "predeploy", "postdeploy"):
        for _ in range(2):
            ended = hooks.shell(hook, **names)
            assert ended.returncode == 0, ended.stderr
        assert hook == "predeploy" or "The app is healthy" in ended.stdout
    failing = hooks.shell("postprovision", **names, API_URL="http://127.0.0.1:9/api", HEALTH_WAIT_SECONDS="0")
    assert failing.returncode == 1
    assert "There is no answer" in failing.stdout


def test_a_missing_right_is_printed_with_what_to_do(hooks: Hooks, api: Api) -> None:
    """As it is when role assignments don't hold yet; then they do."""
    action = "Microsoft.Network/networkInterfaces/write"
    roles = api.arm.get("/_local/roles").json()
    for role in roles["roleDefinitions"]:
        (permission,) = role["properties"]["permissions"]
        permission["actions"] = [each for each in permission["actions"] if each != action]
    api.arm.put("/_local/roles", json=roles).raise_for_status()
    try:
        ended = hooks.shell("postdeploy", HEALTH_WAIT_SECONDS="0")
    finally:
        api.arm.delete("/_local/roles").raise_for_status()
    assert ended.returncode == 1
    assert f"permissions fails: The app's identity lacks {action} over /subscriptions/" in ended.stdout
    assert "What to do: A role assignment takes some minutes." in ended.stdout
    assert hooks.shell("postdeploy").returncode == 0


def test_a_wrong_key_is_told(hooks: Hooks) -> None:
    wrong = hooks.run("deploy", "after", FUNCTION_KEY="wrong", HEALTH_WAIT_SECONDS="0")
    assert wrong.returncode == 1
    assert "function key" in wrong.stdout


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:9/api", "127.0.0.1:9 can't be reached: [Errno"),
        ("http://[::1/api", "[::1 can't be reached"),
        ("http://func-dev.invalid/api", "the name func-dev.invalid doesn't resolve"),
        ("{arm}/api", "isn't trusted here"),
        ("nonsense", "nonsense/health can't be reached: unknown url type"),
        ("{page}", "What answers isn't the app"),
        ("", "There is no app yet: `azd provision`"),
    ],
)
def test_an_app_that_does_not_answer_is_told_with_what_to_do(
    hooks: Hooks, stack: Stack, authorization: Authorization, url: str, sentence: str
) -> None:
    url = url.format(arm=stack.endpoints["arm"], page=f"{authorization.address}/{A_PAGE}")
    ended = hooks.run("deploy", "after", API_URL=url, HEALTH_WAIT_SECONDS="0")
    assert ended.returncode == 1
    assert sentence in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    # No deployment has succeeded, so no app has made a spoke.
    down = hooks.run("down", "before", API_URL=url)
    assert down.returncode == (1 if url else 0), down.stderr
    assert "Traceback" not in down.stderr
    assert "FORCE_DOWN=true azd down" in down.stderr or not url


def test_a_key_that_cannot_be_read_is_told(hooks: Hooks, authorization: Authorization) -> None:
    ended = hooks.run("deploy", "after", FUNCTION_KEY="", ARM_ENDPOINT=authorization.address, HEALTH_WAIT_SECONDS="0")
    assert ended.returncode == 1
    assert "The app's function key can't be read (403): listKeys is not allowed" in ended.stdout


def test_nothing_but_azd_and_python_has_to_be_on_the_path(hooks: Hooks) -> None:
    """Neither `az` nor `curl`; and a missing azd is a sentence."""
    (hooks.directory / "python3").symlink_to(sys.executable)
    for name in ("sh", "cat"):
        (hooks.directory / name).symlink_to(shutil.which(name) or name)
    alone = {"PATH": str(hooks.directory), "AZURE_ENV_NAME": "my env"}
    ended = hooks.shell("postdeploy", **alone)
    assert (ended.returncode, ended.stderr) == (0, "")
    (hooks.directory / "azd").unlink()
    absent = hooks.shell("postdeploy", **alone, FUNCTION_KEY="")
    assert absent.returncode == 1
    assert "can't be run as `azd`: put it on the PATH" in absent.stderr
    assert "Traceback" not in absent.stderr


def test_premium_is_not_published_by_azd_and_a_warning_is_passed_on(hooks: Hooks) -> None:
    assert hooks.run("deploy", "before").returncode == 0
    warned = hooks.run("deploy", "before", APP_WARNING="customRoles=false")
    assert (warned.returncode, warned.stdout.strip()) == (0, "Warning: customRoles=false")
    premium = hooks.run(
        "deploy", "before", APP_PLAN="ElasticPremium", APP_PACKAGE_URL="https://st.blob/packages/app.zip"
    )
    assert premium.returncode == 1
    assert "https://st.blob/packages/app.zip" in premium.stderr


def test_down_stops_while_spokes_are_left_and_when_the_records_are_locked(hooks: Hooks, api: Api) -> None:
    noted = {"APP_PRINCIPAL_ID": OURS, "APP_ROLE_SUFFIX": "dev abc", "APP_SUBSCRIPTION_IDS": ",".join(SUBSCRIPTIONS)}
    assert hooks.run("down", "before", **noted).returncode == 0
    locked = hooks.run("down", "before", APP_RECORDS_LOCKED="true", APP_RECORDS_ACCOUNT="rec1", **noted)
    assert locked.returncode == 1
    assert "az lock delete --name keep-the-records" in locked.stderr
    silent = hooks.run("down", "before", API_URL="http://127.0.0.1:9/api", **noted)
    assert silent.returncode == 1
    api.accepted(request_for(60, "left", vm_size="Standard_Nope"))
    left = hooks.run("down", "before", **noted)
    assert left.returncode == 1
    assert "1 spokes are left" in left.stderr
    assert hooks.run("down", "before", FORCE_DOWN="true", **noted).returncode == 0
    api.wait_until(60, "failed")
    assert api.delete(60).status_code == 202


def test_down_removes_our_assignments_and_definitions_and_nothing_else(
    hooks: Hooks, authorization: Authorization
) -> None:
    hooks.environment |= {"AZURE_ENV_NAME": "my env", "ARM_ENDPOINT": authorization.address, "FORCE_DOWN": "true"}
    noted = {"APP_PRINCIPAL_ID": OURS, "APP_ROLE_SUFFIX": "dev abc", "APP_SUBSCRIPTION_IDS": ",".join(SUBSCRIPTIONS)}
    for _ in range(2):
        assert hooks.run("down", "before", **noted).returncode == 0
    assert (hooks.directory / ".azure" / "my env" / "roles-to-remove.json").is_file()
    authorization.refusals = 1
    broken_off = hooks.run("down", "after")
    assert broken_off.returncode == 1
    assert "azd hooks run postdown" in broken_off.stderr
    again = hooks.run("down", "after")
    assert again.returncode == 0, again.stderr
    assert {each.rpartition("/")[2] for each in authorization.kept} == {"other", "A-role-(prod-abc)"}
    once_more = hooks.run("down", "after")
    assert (once_more.returncode, once_more.stdout.strip()) == (0, "There are no roles to remove.")

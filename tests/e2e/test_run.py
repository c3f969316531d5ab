"""What a visitor meets: `make run`, its end, what the next start finds, and the README's walk beside it.

One story on one state directory, told by the tests in their order: the sample's deployment fails, the next run deploys
it and serves, it is deleted and deployed anew, and the last run finds it.
"""

import io
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from local import run
from local.recipes import ROOT
from local.stack import Stack
from shared.saga.steps import STEPS
from tests.e2e.client import Api, sample
from tests.e2e.conftest import TIME_SCALE

# The reader of the README waits a while; here, until nothing is under way.
SLEEP = """
sleep() {
  until ! call "$API/spokes" | grep -E '"status":"(accepted|in_progress|rolling_back|deleting)"' >/dev/null; do command sleep 0.3; done
}
"""


def command(state: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "local.run", "--state", str(state), "--time-scale", str(TIME_SCALE), *options]


def run_once(state: Path, *options: str) -> tuple[int, str]:
    ended = subprocess.run(
        command(state, "--once", *options), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


class Visit:
    """`make run`, once it serves: what it has shown, and where its stack is."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.process = subprocess.Popen(
            command(state), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.shown = ""
        for line in self.process.stdout:
            self.shown += line
            if "Serving until" in line:
                break
        assert "Serving until" in self.shown, self.shown
        self.stopping = False
        self.endpoints: dict[str, Any] = json.loads((state / "endpoints.json").read_text(encoding="utf-8"))

    def ends_by(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        assert (self.process.returncode, errors) == (0, "")
        assert json.loads((self.state / "stack.json").read_text(encoding="utf-8"))["processes"] == {}

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README's reader has it."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (folder / "samples").symlink_to(ROOT / "samples")
    return folder


@pytest.fixture(scope="module")
def failed(folder: Path) -> tuple[int, str]:
    """How the first run has ended, of an app that doesn't know the hub's gateway."""
    return run_once(folder / ".local", "--set", "HUB_AGW_NAME=no-such-gateway")


@pytest.fixture(scope="module")
def visit(folder: Path, failed: tuple[int, str]) -> Iterator[Visit]:
    """The second run, which goes on serving."""
    visit = Visit(folder / ".local")
    yield visit
    visit.close()


def test_a_deployment_that_fails_says_why_and_ends_so(failed: tuple[int, str]) -> None:
    code, shown = failed
    assert code == 1
    assert "no-such-gateway" in shown
    assert "spoke 1 of acme-corp is failed" in shown


def test_the_sample_is_deployed_and_served(visit: Visit) -> None:
    assert "was there already" not in visit.shown
    assert "spoke 1 of acme-corp is completed" in visit.shown
    assert all(f"{step.name}: completed" in visit.shown for step in STEPS)
    assert "http://acme-corp.spokes.example.com/" in visit.shown
    assert "10.11.1." in visit.shown
    assert re.search(
        r"Durable Functions: \d+ activity calls, \d+ orchestrator episodes, \d+ queue messages", visit.shown
    )
    assert f"export API={visit.endpoints['api']} KEY={visit.endpoints['function_key']}" in visit.shown


def walk() -> str:
    """The README's curl walk, as it stands."""
    blocks: list[str] = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if "endpoints.json" in block]
    return found


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.usefixtures("visit")
def test_the_readmes_walk_works_as_pasted_and_can_be_pasted_again(folder: Path) -> None:
    for _ in range(2):
        pasted = subprocess.run(
            ["bash", "-c", SLEEP + walk()], cwd=folder, capture_output=True, text=True, timeout=120, check=True
        )
        assert pasted.stderr == ""
        alive, health, capacity, openapi, *rest = [line for line in pasted.stdout.splitlines() if line]
        assert [json.loads(alive), json.loads(health)["status"]] == [{"status": "alive"}, "ok"]
        assert json.loads(capacity)["unknown"] == []
        assert openapi.startswith('{"openapi":"3.1.0"')
        answers = [json.loads(line) for line in rest]
        plan, made, progress, older, doomed, spoke, failed, listed, retried, *ends = answers
        assert plan["would_succeed"], plan
        assert [each["spoke_id"] for each in (made, progress, older, doomed)] == [2, 2, 3, 4]
        assert (spoke["status"], spoke["agw"]["configured"]) == ("completed", True)
        assert (failed["status"], failed["left_behind"]) == ("failed", [])
        assert "Standard_B9s" in failed["error"]["message"]
        assert [each["spoke_id"] for each in listed["spokes"]] == [1, 2, 3]
        assert retried["deployment_id"] != doomed["deployment_id"]
        *removals, gone, runs, run = ends
        assert [each["status"] for each in removals] == ["in_progress", "in_progress", "deleted"]
        assert gone["details"]["code"] == "SpokeNotFound"
        assert [each["kind"] for each in runs["deployments"]][:2] == ["delete", "deploy"]
        assert (run["deployment_id"], run["status"]) == (removals[0]["deployment_id"], "deleted")


def test_the_sample_is_deployed_anew_after_a_delete(visit: Visit) -> None:
    with Api(visit) as api:
        api.deleted(1)
    visitor = run.Api(cast(Stack, visit))
    spoke, was_there = run.deploy(visitor, sample("acme-corp"), Console(file=io.StringIO()))
    visitor.client.close()
    assert (spoke["spoke_id"], spoke["status"], was_there) == (1, "completed", False)


def test_it_ends_by_ctrl_c_and_the_next_start_finds_the_sample(visit: Visit) -> None:
    visit.ends_by(signal.SIGINT)
    code, shown = run_once(visit.state)
    assert code == 0, shown
    assert "was there already" in shown
    assert "spoke 1 of acme-corp is completed" in shown
    assert "Durable Functions:" not in shown


# That of the stack ends by either: test_stack.py.
@pytest.mark.full
def test_it_ends_by_sigterm_too(tmp_path: Path) -> None:
    visit = Visit(tmp_path)
    try:
        assert "was there already" not in visit.shown
        visit.ends_by(signal.SIGTERM)
    finally:
        visit.close()

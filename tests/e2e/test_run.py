"""What a visitor meets: `make run`, its end, and what the next start finds."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local.recipes import ROOT
from local.stack import Stack
from shared.saga.steps import STEPS
from tests.e2e.client import Api


def command(state: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "local.run", "--state", str(state), "--time-scale", "0.01", *options]


def run_once(state: Path, *options: str) -> tuple[int, str]:
    ended = subprocess.run(
        command(state, "--once", *options), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


def test_the_sample_is_deployed_then_found_then_deployed_anew_after_a_delete(tmp_path: Path) -> None:
    code, shown = run_once(tmp_path)
    assert code == 0, shown
    assert "spoke 1 of acme-corp is completed" in shown
    assert all(f"{step.name}: completed" in shown for step in STEPS)
    assert "http://acme-corp.spokes.example.com/" in shown
    assert "10.11.1." in shown
    assert re.search(r"Durable Functions: \d+ activity calls, \d+ orchestrator episodes, \d+ queue messages", shown)

    code, shown = run_once(tmp_path)
    assert code == 0, shown
    assert "was there already" in shown
    assert "spoke 1 of acme-corp is completed" in shown

    with Stack(tmp_path, time_scale=0.01) as stack, Api(stack) as api:
        assert len(api.deployments(1).json()["deployments"]) == 1
        api.deleted(1)

    code, shown = run_once(tmp_path)
    assert code == 0, shown
    assert "was there already" not in shown
    assert "spoke 1 of acme-corp is completed" in shown


def test_a_deployment_that_fails_says_why_and_ends_so(tmp_path: Path) -> None:
    code, shown = run_once(tmp_path, "--set", "HUB_AGW_NAME=no-such-gateway")
    assert code == 1
    assert "no-such-gateway" in shown
    assert "spoke 1 of acme-corp is failed" in shown


# That of the stack ends by either: test_stack.py.
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.full)])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    visit = subprocess.Popen(command(tmp_path), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert visit.stdout is not None
        shown = ""
        for line in visit.stdout:
            shown += line
            if "Serving until" in line:
                break
        endpoints = json.loads((tmp_path / "endpoints.json").read_text(encoding="utf-8"))
        assert f"export API={endpoints['api']} KEY={endpoints['function_key']}" in shown
        visit.send_signal(number)
        _, errors = visit.communicate(timeout=60)
        assert (visit.returncode, errors) == (0, "")
        assert json.loads((tmp_path / "stack.json").read_text(encoding="utf-8"))["processes"] == {}
    finally:
        if visit.poll() is None:
            visit.terminate()
            visit.communicate(timeout=60)

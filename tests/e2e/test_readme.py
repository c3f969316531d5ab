"""What the README tells its reader to paste does what the comments beside it say."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.recipes import ROOT
from local.stack import Stack
from tests.e2e.client import Api, sample

# The reader waits a while; here, until nothing is under way.
SLEEP = """
sleep() {
  until ! call "$API/spokes" | grep -E '"status":"(accepted|in_progress|rolling_back|deleting)"' >/dev/null; do command sleep 0.1; done
}
"""


def walk() -> str:
    """The curl walk, as it stands."""
    blocks: list[str] = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if "endpoints.json" in block]
    return found


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_walk_works_as_pasted_and_can_be_pasted_again(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    with Stack(tmp_path / ".local", time_scale=0.01) as stack, Api(stack) as api:
        api.accepted(sample("acme-corp"))
        for _ in range(2):
            pasted = subprocess.run(
                ["bash", "-c", SLEEP + walk()], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
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

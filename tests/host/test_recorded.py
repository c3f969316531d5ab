"""The host answers what the real one answered: see tests/host/recorded and docs/testing.md."""

import json
from pathlib import Path

from tests.host.hosting import running
from tests.host.recorded.asking import APP, Host, Recorded, asked_again, comparable, recording

# Questions whose answers may differ, each with its reason: only what no user of ours could ever see. None at present.
EXCEPTIONS: dict[str, str] = {}


def difference(recorded: Recorded, answered: Recorded) -> str:
    before, now = (
        json.dumps(comparable(one["answer"]), sort_keys=True, ensure_ascii=False) for one in (recorded, answered)
    )
    return "" if before == now else f"{recorded['name']}\n    recorded {before}\n    here     {now}"


def test_every_answer_is_the_recorded_one(tmp_path: Path) -> None:
    """Asked in the order of the recording: later questions are about what earlier ones started."""
    recorded = recording()
    with running(APP, tmp_path / "state") as host:
        keys = {name: host.endpoints[f"{name}_key"] for name in ("function", "system", "master")}
        answered = list(asked_again(Host(host.base, keys), recorded))
    differences = {one["name"]: difference(one, now) for one, now in zip(recorded, answered, strict=True)}
    unexpected = [told for name, told in differences.items() if told and name not in EXCEPTIONS]
    assert not unexpected, "\n".join(unexpected)
    assert all(differences.get(name) for name in EXCEPTIONS), "an exception is none any more"
    assert len(recorded) == 186

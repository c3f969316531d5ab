"""Histories of the stories, kept in `tests/stories/golden.json`, and their replay by the engine.

`python -m tests.stories.recorded_histories` records them with the present code.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.functions.app import Function, load_app
from local.functions.durable.decisions import Outcome
from local.functions.durable.episode import Episode, History, play
from local.functions.durable.stage import Stage, quiet_sdk
from local.recipes import ROOT
from shared.saga.instances import DELETE_SPOKE, DEPLOY_SPOKE
from tests.stories.saga_harness import RUN, SagaHarness, ScriptedActivities, script

FILE = Path(__file__).parent / "golden.json"
EXECUTION_COMPLETED, ORCHESTRATOR_STARTED = 1, 12
Event = dict[str, Any]

# name of the history -> story, kind of run, script
GOLDEN: dict[str, tuple[str, str, ScriptedActivities]] = {
    "deploy_spoke": (DEPLOY_SPOKE, "deploy", script()),
    "deploy_spoke_rolled_back": (DEPLOY_SPOKE, "deploy", script(fails={"create_vm"})),
    "deploy_spoke_rollback_failed": (DEPLOY_SPOKE, "deploy", script(fails={"update_agw", "delete_nic"})),
    "delete_spoke": (DELETE_SPOKE, "delete", script()),
}


@dataclass(frozen=True)
class Recorded:
    """One history, with how it ended."""

    story: str
    given: Any
    status: str
    output_says: str
    history: list[Event]


def recorded(name: str) -> Recorded:
    return Recorded(**json.loads(FILE.read_text(encoding="utf-8"))[name])


def replayed(functions: list[Function], golden: Recorded, history: list[Event] | None = None) -> Outcome:
    """What today's story makes of a history: its last episode is played upon all before."""
    events = history or golden.history
    last = max(n for n, event in enumerate(events) if event["EventType"] == ORCHESTRATOR_STARTED)
    texts = [json.dumps(event) for event in events[:last]]
    with Stage(functions, ":memory:") as stage, quiet_sdk():
        instance = stage.store.instance(stage.start(golden.story, golden.given, RUN))
        assert instance is not None
        return play(Episode(instance, History.read(texts), events[last:], []), stage.engine.catalogue, print)


def main() -> None:
    functions, documents = load_app(ROOT), dict[str, Event]()
    for name, (story, kind, given_script) in GOLDEN.items():
        with tempfile.TemporaryDirectory() as folder:
            harness = SagaHarness(functions, f"{folder}/durable.sqlite", given_script)
            harness.begin(kind)
            status = harness.stage.run_to_end(RUN)
            # The end itself is what a replay has to find again.
            history = [e for e in harness.stage.history(RUN) if e["EventType"] != EXECUTION_COMPLETED]
            documents[name] = {
                "story": story,
                "given": status.input,
                "status": status.runtime_status,
                "output_says": "completed"
                if status.runtime_status == "Completed" and kind == "deploy"
                else "deleted"
                if kind == "delete"
                else str(status.output)[:200],
                "history": history,
            }
            harness.stage.close()
    FILE.write_text(json.dumps(documents, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

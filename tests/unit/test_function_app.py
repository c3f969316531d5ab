"""The table of contents: everything that the saga names is registered, and importing it stays cheap."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import function_app
from shared.saga import instances as protocol
from shared.saga import steps
from shared.saga.steps import STEPS, UNDOS

ROOT = Path(__file__).resolve().parents[2]

_LIST = """
import gc, json, sys
import function_app
heavy = [name for name in sys.modules if name.startswith(("azure.mgmt", "azure.identity", "azure.data", "pydantic", "cryptography"))]
functions = {}
for function in function_app.app.get_functions():
    trigger = function.get_trigger()
    functions[function.get_function_name()] = trigger.type
print(json.dumps({"heavy": heavy, "functions": functions, "collects": gc.isenabled()}))
"""


def _imported() -> dict[str, Any]:
    answer = subprocess.run([sys.executable, "-c", _LIST], cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def test_the_app_registers_what_the_saga_names_and_imports_no_sdk() -> None:
    found = _imported()
    assert (found["heavy"], found["collects"]) == ([], True)
    kinds = found["functions"]
    activities = {name for name, kind in kinds.items() if kind == "activityTrigger"}
    assert {step.name for step in STEPS} <= activities
    assert {undo.name for undo in UNDOS} <= activities
    assert {undo for step in STEPS for undo in step.undos} == {undo.name for undo in UNDOS}
    records = {steps.BEGIN_RUN, steps.BEGIN_ROLLBACK, steps.LIST_LEFT_BEHIND, steps.RECORD_OUTCOME, "give_up_step"}
    assert records <= activities
    stories = {name for name, kind in kinds.items() if kind == "orchestrationTrigger"}
    assert stories == {
        protocol.DEPLOY_SPOKE,
        protocol.DELETE_SPOKE,
        protocol.RUN_STEP,
        protocol.WRITE_GATEWAY,
        protocol.WRITE_HUB,
    }


def test_the_order_of_undo_lets_nothing_go_before_what_needs_it() -> None:
    order = [undo.name for undo in UNDOS]
    for undo in UNDOS:
        assert all(order.index(need) < order.index(undo.name) for need in undo.needs)


def test_the_worker_has_its_threads_for_orchestrators_alone() -> None:
    """What isn't `async` holds one of them: a slow activity would hold up every orchestrator."""
    blocking = {
        function.get_function_name()
        for function in function_app.app.get_functions()
        if not inspect.iscoroutinefunction(function.get_user_function())
    }
    assert blocking == {orchestrator.__name__ for orchestrator in function_app.ORCHESTRATORS}

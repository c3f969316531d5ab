"""Moments of a spoke's life: a case of the fault matrix begins where its call is made, not with the request.

What came before is the same for all of them, so each story is played once, and the world saved whenever an activity is
about to be called for the first time.
"""

from collections.abc import Callable

from tests.faults.simulation import Checkpoint, Simulation
from tests.faults.wire import Fault


def vm_fails() -> Fault:
    """What takes a deployment back once everything but its record is under way."""
    return Fault("create_vm: PUT virtualMachines/{vm}", {"mode": "fail_operation", "code": "AllocationFailed"})


def _deploy(simulation: Simulation) -> str:
    return simulation.deploy()


def _roll_back(simulation: Simulation) -> str:
    """Of a deployment whose VM is about to be created."""
    run = simulation.take_up(vm_fails())
    simulation.until(simulation.rolls_back)
    return run


def _delete(simulation: Simulation) -> str:
    """Of a spoke that is there."""
    return simulation.delete()


BEGINNING = "the beginning"
BEGIN: dict[str, Callable[[Simulation], str]] = {"deploy": _deploy, "rollback": _roll_back, "delete": _delete}


def checkpoints_of(story: str, simulation: Simulation) -> dict[str, Checkpoint]:
    """By activity, and that of the story's beginning. The world is played to its end."""
    run = BEGIN[story](simulation)
    checkpoints = {BEGINNING: simulation.save(run, story)}
    while True:
        for task in simulation.stage.pending:
            if task.name not in checkpoints:
                checkpoints[task.name] = simulation.save(run, f"{story} {task.name}")
        if not simulation.step():
            break
    simulation.check(run, "failed" if story == "rollback" else "deleted" if story == "delete" else "completed")
    return checkpoints

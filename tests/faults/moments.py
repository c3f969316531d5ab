"""Moments of a spoke's life: a case of the fault matrix begins where its call is made, not with the request.

What came before is the same for all of them, so each story is played once, and the world saved whenever an activity is
about to be called for the first time.
"""

from collections.abc import Callable

from tests.faults.wire import Mishap
from tests.faults.world import Moment, World


def vm_fails() -> Mishap:
    """What takes a deployment back once everything but its record is under way."""
    return Mishap("create_vm: PUT virtualMachines/{vm}", {"mode": "fail_operation", "code": "AllocationFailed"})


def _deploy(world: World) -> str:
    return world.deploy()


def _roll_back(world: World) -> str:
    run = world.deploy(1, vm_fails())
    world.until(lambda: world.run_row(run).status == "rolling_back")
    return run


def _delete(world: World) -> str:
    run = world.deploy()
    world.play_out()
    world.check(run, "completed")
    return world.delete()


BEGINNING = "the beginning"
STORIES: dict[str, Callable[[World], str]] = {"deploy": _deploy, "rollback": _roll_back, "delete": _delete}


def moments_of(story: str, world: World) -> dict[str, Moment]:
    """By activity, and that of the story's beginning. The world is played to its end."""
    run = STORIES[story](world)
    moments = {BEGINNING: world.save(run, story)}
    while True:
        for task in world.stage.pending:
            if task.name not in moments:
                moments[task.name] = world.save(run, f"{story} {task.name}")
        if not world.step():
            break
    world.check(run, "failed" if story == "rollback" else "deleted" if story == "delete" else "completed")
    return moments

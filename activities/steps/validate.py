"""Everything that only Azure can tell, asked before anything is built."""

from activities.decorators import Kind, activity
from shared.arm.client import arm
from shared.checks.findings import failure_from, warnings_in
from shared.checks.preflight import check
from shared.checks.subjects.sizes import security_type, size_named
from shared.recovery.orphans import confirm_new_records
from shared.saga.outcomes import Call, Done, Failed, Outcome
from shared.spoke.records import RunRow


@activity(Kind.ACT)
def validate_config(call: Call, run: RunRow) -> Outcome:
    """Fails with all findings together; answers `{"security_type", "warnings"}` for the steps that follow.

    Repeatable: it reads only, and marks new records as complete. A transient failure of ARM is raised, and `run_step` looks again.
    """
    found, snapshot = check(run.plan, arm())
    if failure := failure_from(found):
        return Failed(failure)
    if snapshot.was_read("resources"):
        confirm_new_records(snapshot.resources)
    warnings = warnings_in(found)
    result = {
        "security_type": security_type(size_named(run.plan.vm_size, snapshot.sizes)),
        "warnings": warnings,
    }
    return Done("Everything is in order" if not warnings else "In order, but: " + "; ".join(warnings), result)

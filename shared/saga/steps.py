"""The steps of the saga, each with its undo: public names, one order, one place."""

from dataclasses import dataclass, field, replace
from typing import Any

# What a step found out or made, for the steps after it and the spoke's record.
Result = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One step of a deployment.

    undos: the activities that take it back, noted before the act.  deadline: the field of `Policy` that ends it; None
    when nothing does, and no failure is final (the finished record must be written).
    data: results of earlier steps that its activity reads, as `Call.given`.
    """

    name: str
    undos: tuple[str, ...] = ()
    deadline: str | None = "step_deadline_seconds"
    data: Result = field(default_factory=dict, compare=False)

    def given(self, data: Result) -> "Step":
        """This step, with results of earlier ones."""
        return replace(self, data=data)


@dataclass(frozen=True)
class Undo:
    """One undo. `needs`: the undos that must have worked before this one; it begins when they have ended, and one that
    failed skips it."""

    name: str
    needs: tuple[str, ...] = ()
    deadline: str = "step_deadline_seconds"


VALIDATE_CONFIG = Step("validate_config", undos=("release_reservations",))
CREATE_VNET = Step("create_vnet", undos=("delete_vnet",))
CREATE_NSG = Step("create_nsg", undos=("delete_nsg",))
CREATE_SUBNETS = Step("create_subnets")
CREATE_NIC = Step("create_nic", undos=("delete_nic",))
CREATE_PEERING = Step("create_peering", undos=("delete_peering",), deadline="shared_deadline_seconds")
CREATE_VM = Step("create_vm", undos=("delete_vm", "delete_os_disk"), deadline="vm_deadline_seconds")
UPDATE_AGW = Step("update_agw", undos=("remove_from_agw",), deadline="shared_deadline_seconds")
SAVE_TO_STORAGE = Step("save_to_storage", deadline=None)

STEPS: tuple[Step, ...] = (
    VALIDATE_CONFIG,
    CREATE_VNET,
    CREATE_NSG,
    CREATE_SUBNETS,
    CREATE_NIC,
    CREATE_PEERING,
    CREATE_VM,
    UPDATE_AGW,
    SAVE_TO_STORAGE,
)

# The order of rollback and delete alike: traffic first, then what holds others, addresses last. Those that don't need each
# other run side by side.
_REMOVALS: tuple[Undo, ...] = (
    Undo("remove_from_agw", deadline="shared_deadline_seconds"),
    # Visitors never meet a VM that is gone. A site that was never on the gateway is removed at once.
    Undo("delete_vm", needs=("remove_from_agw",), deadline="vm_deadline_seconds"),
    Undo("delete_os_disk", needs=("delete_vm",)),
    Undo("delete_nic", needs=("delete_vm",)),
    Undo("delete_peering", deadline="shared_deadline_seconds"),
    Undo("delete_vnet", needs=("delete_nic", "delete_peering")),
    Undo("delete_nsg", needs=("delete_vnet",)),
)
# An address block may only go to the next client when nothing of this one is left in it.
UNDOS: tuple[Undo, ...] = (*_REMOVALS, Undo("release_reservations", needs=tuple(undo.name for undo in _REMOVALS)))

STEP_NUMBERS: dict[str, int] = {
    **{step.name: number for number, step in enumerate(STEPS, start=1)},
    **{undo.name: number for number, undo in enumerate(UNDOS, start=21)},
}

# Activities that move the run's own rows. They are no steps: they keep trying until the table answers.
BEGIN_RUN = "begin_run"
BEGIN_ROLLBACK = "begin_rollback"
LIST_LEFT_BEHIND = "list_left_behind"
RECORD_OUTCOME = "record_outcome"

# Every child that an orchestration of a run can have.
CHILDREN: tuple[str, ...] = (*STEP_NUMBERS, BEGIN_RUN, BEGIN_ROLLBACK, LIST_LEFT_BEHIND, RECORD_OUTCOME)

UNDO_NAMES: frozenset[str] = frozenset(undo.name for undo in UNDOS)

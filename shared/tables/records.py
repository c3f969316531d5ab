"""Runs, spokes and steps in the table `Spokes`: read, and changed under their ETags."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from shared.clock import nonce, timestamp
from shared.data import as_data
from shared.settings import Settings, at, current_settings
from shared.spoke.plan import SpokePlan
from shared.spoke.records import TERMINAL, RunRow, SpokeRow, StepRow, run_key, spoke_key, step_key
from shared.tables.client import ConcurrentUpdate, Partition, hub_rows, match, write_over
from shared.tables.codec import as_entity, from_entity
from shared.tables.places import forget_deployment_id, former_hub_of_run, hub_of_run, new_deployment_id

R = TypeVar("R", RunRow, SpokeRow, StepRow)


class Records:
    """The records of this hub. Raises `StorageException` when the table doesn't answer, `ConcurrentUpdate` on a lost race."""

    def __init__(self) -> None:
        self.hub_key = current_settings().hub_key
        self._rows = Partition(self.hub_key)

    def run(self, deployment_id: str) -> RunRow | None:
        """One run, None when there is none of that id."""
        return self._one(RunRow, run_key(deployment_id))

    def spoke(self, spoke_id: int) -> SpokeRow | None:
        """One spoke, None when there is none of that id."""
        return self._one(SpokeRow, spoke_key(spoke_id))

    def spokes(self) -> list[SpokeRow]:
        """All spokes, by id."""
        return sorted(self._all(SpokeRow, "spoke:"), key=lambda row: row.spoke_id)

    def runs(self) -> list[RunRow]:
        """All runs that are kept, in no order."""
        return self._all(RunRow, "run:")

    def unfinished_runs(self) -> list[RunRow]:
        """Runs that are in none of the end states."""
        return self._all(RunRow, "run:", " and ".join(f"status ne '{status}'" for status in sorted(TERMINAL)))

    def runs_looked_after(self) -> list[RunRow]:
        """Unfinished runs of this app's task hub, and of those that are retired: other apps look after the rest."""
        return [run for run in self.unfinished_runs() if current_settings().looks_after(run.task_hub)]

    def unconfirmed_runs(self) -> list[RunRow]:
        """Ended runs of the same task hubs whose orchestration has not been seen to have ended alike."""
        ended = " or ".join(f"status eq '{status}'" for status in sorted(TERMINAL))
        runs = self._all(RunRow, "run:", f"confirmed eq false and ({ended})")
        return [run for run in runs if current_settings().looks_after(run.task_hub)]

    def runs_of(self, spoke_id: int) -> list[RunRow]:
        """Every run of a spoke's id, newest first, those of its earlier lives included."""
        found = self._all(RunRow, "run:", f"spoke_id eq {int(spoke_id)}")
        return sorted(found, key=lambda run: (run.created_at, run.deployment_id), reverse=True)

    def steps(self, deployment_id: str) -> list[StepRow]:
        """The steps and undos of a run that have begun, by number."""
        return sorted(self._all(StepRow, f"step:{deployment_id}:"), key=lambda row: row.number)

    def step(self, deployment_id: str, number: int) -> StepRow | None:
        """One step's row, None when it hasn't begun."""
        return self._one(StepRow, step_key(deployment_id, number))

    def write_step(self, row: StepRow, over: StepRow | None) -> StepRow:
        """Writes a step's row over the one that was read, None for none; `ConcurrentUpdate` when it isn't as it was read."""
        write = write_over(as_entity(row, self.hub_key), over.etag if over else None)
        return replace(row, etag=self._rows.write(write)[0])

    def change_run(self, row: RunRow, **changes: Any) -> RunRow:
        """Changes a run under its ETag; `ConcurrentUpdate` when another call changed it since it was read."""
        return self.change_together(row, None, run_changes=changes)[0]

    def change_together(
        self,
        run: RunRow,
        spoke: SpokeRow | None,
        *,
        run_changes: dict[str, Any],
        spoke_changes: dict[str, Any] | None = None,
        forget_spoke: bool = False,
        steps: Sequence[StepRow] = (),
    ) -> tuple[RunRow, SpokeRow | None]:
        """Changes a run and its spoke in one transaction, each under its ETag, and writes steps with them. forget_spoke:
        deletes the spoke's row."""
        new_run = replace(run, **run_changes)
        new_spoke = replace(spoke, **(spoke_changes or {})) if spoke else None
        operations = [write_over(as_entity(new_run, self.hub_key), run.etag)]
        if spoke and new_spoke:
            entity, etag = as_entity(new_spoke, self.hub_key), spoke.etag
            operations.append(("delete", entity, match(etag)) if forget_spoke else write_over(entity, etag))
        operations += [("upsert", as_entity(step, self.hub_key), {"mode": "replace"}) for step in steps]
        etags = self._rows.write(*operations)
        spoke_left = replace(new_spoke, etag=etags[1]) if new_spoke and not forget_spoke else None
        return replace(new_run, etag=etags[0]), spoke_left

    def rewrite(self, row: RunRow | SpokeRow) -> None:
        """Stores a row as this version keeps it; `ConcurrentUpdate` when another call changed it since it was read."""
        self._rows.write(write_over(as_entity(row, self.hub_key), row.etag))

    def forget_run(self, run: RunRow) -> None:
        """Deletes a run with its steps, all or none; `ConcurrentUpdate` when one of them was changed since it was read."""
        row = self._rows.get(run_key(run.deployment_id))
        if row is None:
            return
        if row.metadata["etag"] != run.etag:
            raise ConcurrentUpdate
        steps = self._rows.range(f"step:{run.deployment_id}:", select=("PartitionKey", "RowKey"))
        self._rows.delete_together([row, *steps])
        forget_deployment_id(run.deployment_id)

    # --- inside ---

    def _one(self, kind: type[R], row_key: str) -> R | None:
        entity = self._rows.get(row_key)
        return from_entity(kind, entity) if entity else None

    def _all(self, kind: type[R], prefix: str, further: str = "") -> list[R]:
        return [from_entity(kind, entity) for entity in self._rows.range(prefix, further)]


def run_and_hub(deployment_id: str) -> tuple[RunRow | None, Settings]:
    """A run and its hub, also one that the settings no longer have; None, and any hub, when there is no such run."""
    hub = hub_of_run(deployment_id)
    with at(hub):
        run = Records().run(deployment_id)
    if run is None and (former := former_hub_of_run(deployment_id)):
        hub = former
        with at(hub):
            run = Records().run(deployment_id)
    return run, hub


def new_run(deployment_id: str, kind: str, plan: SpokePlan, **more: Any) -> RunRow:
    """A run of the present hub that is accepted now, with the limits of its settings. more: further fields."""
    settings = current_settings()
    return RunRow(
        deployment_id=deployment_id,
        kind=kind,
        status="accepted",
        spoke_id=plan.spoke_id,
        client_name=plan.client_name,
        plan=plan,
        policy=as_data(settings.policy),
        created_at=timestamp(),
        task_hub=str(settings.task_hub),
        **more,
    )


_STATUS = {"delete": "deleting", "rollback": "rolling_back"}


def begin_removal(
    spoke: SpokeRow,
    kind: str,
    *,
    force: bool = False,
    kept: Sequence[dict[str, Any]] = (),
    note: str | None = None,
) -> RunRow:
    """A run of kind `delete`, or `rollback` to finish one that could not finish, for a spoke as it was read.

    The plan stays, and with it `made_by`: the resources carry the tag of the run that made them. A rollback takes over why
    it has to be. kept: what it leaves behind though nothing of it fails, as `left_behind` has it.
    `ConcurrentUpdate` when the spoke's row moved since it was read; then nothing is written.
    """
    run = new_run(
        new_deployment_id(kind, spoke.plan.client),
        kind,
        spoke.plan,
        force=force,
        error=spoke.error if kind == "rollback" else None,
        result={**spoke.result, "kept": list(kept)} if kept else spoke.result,
        note=note,
    )
    token, rows = nonce(), hub_rows()
    leaving = replace(spoke, status=_STATUS[kind], deployment_id=run.deployment_id, completed_at=None)
    operations = [
        ("create", as_entity(run, rows.key) | {"token": token}),
        write_over(as_entity(leaving, rows.key), spoke.etag),
    ]
    if not rows.submit(operations, won=lambda: rows.has_token(run.row_key, token)):
        raise ConcurrentUpdate
    return run

"""Runs, spokes and steps in the table `Spokes`: read, and changed under their ETags."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared.settings import current_settings
from shared.tables.rows import SPOKES_TABLE, RunRow, SpokeRow, StepRow, run_key, spoke_key, step_key
from shared.tables.store import Write, match, table, write_together

if TYPE_CHECKING:
    from azure.data.tables import TableClient


class Records:
    """The records of this hub. Raises azure.core exceptions when the table doesn't answer, `Changed` on a lost race."""

    def __init__(self) -> None:
        self.hub_key = current_settings().hub_key

    @property
    def _table(self) -> "TableClient":
        return table(SPOKES_TABLE)

    def run(self, deployment_id: str) -> RunRow | None:
        """One run, None when there is none of that id."""
        entity = self._entity(run_key(deployment_id))
        return RunRow.from_entity(entity, entity.metadata["etag"]) if entity else None

    def spoke(self, spoke_id: int) -> SpokeRow | None:
        """One spoke, None when there is none of that id."""
        entity = self._entity(spoke_key(spoke_id))
        return SpokeRow.from_entity(entity, entity.metadata["etag"]) if entity else None

    def spokes(self) -> list[SpokeRow]:
        """All spokes, by id."""
        rows = [SpokeRow.from_entity(entity, entity.metadata["etag"]) for entity in self._range("spoke:")]
        return sorted(rows, key=lambda row: row.spoke_id)

    def unfinished_runs(self) -> list[RunRow]:
        """Runs that are in none of the end states."""
        ended = " and ".join(
            f"status ne '{status}'" for status in ("completed", "failed", "rollback_failed", "deleted")
        )
        return [RunRow.from_entity(entity, entity.metadata["etag"]) for entity in self._range("run:", ended)]

    def runs_of(self, spoke_id: int) -> list[RunRow]:
        """Every run of a spoke's id, newest first, those of its earlier lives included."""
        found = [
            RunRow.from_entity(entity, entity.metadata["etag"])
            for entity in self._range("run:", f"spoke_id eq {int(spoke_id)}")
        ]
        return sorted(found, key=lambda run: (run.created_at, run.deployment_id), reverse=True)

    def steps(self, deployment_id: str) -> list[StepRow]:
        """The steps and undos of a run that have begun, by number."""
        rows = [
            StepRow.from_entity(entity, entity.metadata["etag"]) for entity in self._range(f"step:{deployment_id}:")
        ]
        return sorted(rows, key=lambda row: row.number)

    def step(self, deployment_id: str, number: int) -> StepRow | None:
        """One step's row, None when it hasn't begun."""
        entity = self._entity(step_key(deployment_id, number))
        return StepRow.from_entity(entity, entity.metadata["etag"]) if entity else None

    def write_step(self, row: StepRow, over: StepRow | None) -> StepRow:
        """Writes a step's row over the one that was read, None for none; `Changed` when it isn't as it was read."""
        entity = row.as_entity(self.hub_key)
        write = ("update", entity, {"mode": "replace", **_match(over.etag)}) if over else ("create", entity)
        return replace(row, etag=write_together(self._table, [write])[0])

    def change_run(self, row: RunRow, **changes: Any) -> RunRow:
        """Changes a run under its ETag; `Changed` when somebody else changed it since it was read."""
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
        """Changes a run and its spoke in one transaction, each under its ETag, and writes steps with them.

        `forget_spoke` deletes the spoke's row.
        """
        new_run = replace(run, **run_changes)
        new_spoke = replace(spoke, **(spoke_changes or {})) if spoke else None
        operations: list[Write] = [
            ("update", new_run.as_entity(self.hub_key), {"mode": "replace", **_match(run.etag)}),
        ]
        if spoke and new_spoke:
            entity = new_spoke.as_entity(self.hub_key)
            if forget_spoke:
                operations.append(("delete", entity, _match(spoke.etag)))
            else:
                operations.append(("update", entity, {"mode": "replace", **_match(spoke.etag)}))
        operations += [("upsert", step.as_entity(self.hub_key), {"mode": "replace"}) for step in steps]
        etags = write_together(self._table, operations)
        new_run = replace(new_run, etag=etags[0])
        if new_spoke:
            new_spoke = None if forget_spoke else replace(new_spoke, etag=etags[1])
        return new_run, new_spoke

    # --- inside ---

    def _entity(self, row_key: str) -> Any:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            return self._table.get_entity(self.hub_key, row_key)
        except ResourceNotFoundError:
            return None

    def _range(self, prefix: str, further: str | None = None) -> Any:
        """All rows whose key begins with `prefix` (which ends in `:`, whose successor is `;`)."""
        query = "PartitionKey eq @partition and RowKey ge @low and RowKey lt @high"
        if further:
            query += f" and {further}"
        parameters = {"partition": self.hub_key, "low": prefix, "high": prefix[:-1] + ";"}
        return self._table.query_entities(query, parameters=parameters)


def _match(etag: str | None) -> dict[str, Any]:
    """No condition for a row that was never read."""
    return match(etag) if etag else {}

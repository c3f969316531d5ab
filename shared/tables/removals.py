"""The beginning of a removal: a new run for a spoke that is at rest, in one transaction with the spoke's state."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from shared.clock import epoch_seconds, nonce, timestamp
from shared.saga import instances as protocol
from shared.settings import Settings
from shared.spoke.records import RunRow, SpokeRow, run_key
from shared.tables.client import ConcurrentUpdate, match
from shared.tables.partition import SpokesPartition

_STATUS = {"delete": "deleting", "rollback": "rolling_back"}


def begin_removal(
    spoke: SpokeRow,
    kind: str,
    settings: Settings,
    *,
    force: bool = False,
    kept: Sequence[dict[str, Any]] = (),
) -> RunRow:
    """A run of kind `delete`, or `rollback` to finish one that could not finish, for a spoke as it was read.

    The plan stays, and with it `made_by`: the resources carry the tag of the run that made them. A rollback takes over why
    it has to be. kept: what it leaves behind though nothing of it fails, as `left_behind` has it.
    `ConcurrentUpdate` when the spoke's row moved since it was read; then nothing is written.
    """
    run = RunRow(
        deployment_id=protocol.deployment_id(kind, spoke.plan.client, epoch_seconds(), nonce(4)),
        kind=kind,
        status="accepted",
        spoke_id=spoke.spoke_id,
        client_name=spoke.client_name,
        plan=spoke.plan,
        policy=settings.policy.as_data(),
        created_at=timestamp(),
        force=force,
        error=spoke.error if kind == "rollback" else None,
        result={**spoke.result, "kept": list(kept)} if kept else spoke.result,
        task_hub=str(settings.task_hub),
    )
    token = nonce()
    leaving = replace(spoke, status=_STATUS[kind], deployment_id=run.deployment_id, completed_at=None)
    rows = SpokesPartition(settings)
    operations: list[tuple[Any, ...]] = [
        ("create", run.as_entity(settings.hub_key) | {"token": token}),
        ("update", leaving.as_entity(settings.hub_key), {"mode": "replace", **match(spoke.etag)}),
    ]

    def is_written() -> bool:
        row = rows.get(run_key(run.deployment_id))
        return row is not None and row.get("token") == token

    if not rows.submit(operations, won=is_written):
        raise ConcurrentUpdate
    return run

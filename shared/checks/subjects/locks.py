"""Which locks would forbid a deployment, its rollback, or a delete. Pure."""

from collections.abc import Iterable, Iterator

from shared.checks.findings import ERROR, Finding
from shared.spoke.documents.raw import Document, properties_of
from shared.spoke.resource_ids import ResourceIds, name_of

_LOCKS = "/providers/microsoft.authorization/locks/"


def scope_of(lock: Document) -> str:
    """What a lock is on."""
    lock_id = str(lock.get("id", ""))
    at = lock_id.lower().rfind(_LOCKS)
    return lock_id[:at] if at >= 0 else lock_id


def level_of(lock: Document) -> str:
    """`ReadOnly` or `CanNotDelete`."""
    return str(properties_of(lock).get("level", ""))


def covers(lock: Document, resource_id: str) -> bool:
    """Whether a lock is on a resource or above it: locks are inherited."""
    scope, target = scope_of(lock).rstrip("/").lower(), resource_id.rstrip("/").lower()
    return bool(scope) and (target == scope or target.startswith(scope + "/"))


def forbidding(
    locks: Iterable[Document], *, changed: Iterable[str], deleted: Iterable[str]
) -> Iterator[tuple[Document, str]]:
    """Each lock that blocks, with the first id that it covers.

    changed: ids under which something is written (ReadOnly forbids it).  deleted: ids under which something is removed
    (CanNotDelete forbids that, too).
    """
    deleted = tuple(deleted)
    changed = (*changed, *deleted)
    for lock in locks:
        level = level_of(lock).lower()
        targets = changed if level == "readonly" else deleted if level == "cannotdelete" else ()
        if target := next((target for target in targets if covers(lock, target)), None):
            yield lock, target


def lock_findings(ids: ResourceIds, locks: Iterable[Document]) -> list[Finding]:
    """No lock that would forbid a write, or the rollback: on the hub's VNet, the gateway, the spoke group, or above."""
    return [
        Finding(
            "locks",
            ERROR,
            "ScopeLocked",
            f"The {level_of(lock)} lock {name_of(str(lock.get('id', '')))} on {scope_of(lock)} forbids "
            f"{'any change' if level_of(lock).lower() == 'readonly' else 'a rollback'} of {name_of(target)}",
            f"Remove the lock, or move it to what the app doesn't touch: `az lock delete --ids {lock.get('id')}`.",
            resource=str(lock.get("id", "")),
        )
        for lock, target in forbidding(locks, changed=(ids.gateway,), deleted=(ids.hub_vnet, ids.spoke_group))
    ]

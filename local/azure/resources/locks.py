"""Management locks: what they forbid. They are read through ARM and planted through `PUT /_local/resources`.

A lock on a subscription, a group or a resource holds for everything under it [D]. No recording shows ScopeLocked, so
its text is the documented one ([U]).
"""

from __future__ import annotations

from local.azure import errors, ids
from local.azure.arm import Arm
from local.azure.store import Resource

TYPE = "Microsoft.Authorization/locks"
LEVELS = ("ReadOnly", "CanNotDelete")
_INFIX = "/providers/microsoft.authorization/locks/"


def scope_of(lock: Resource) -> str:
    """The id that a lock is on, as compared."""
    return lock.key.split(_INFIX)[0]


def covering(arm: Arm, scope: str) -> list[Resource]:
    """The locks that hold for an id: those on it and above it."""
    wanted = ids.key(scope)
    return [
        lock for lock in arm.store.of_type(TYPE) if wanted == scope_of(lock) or wanted.startswith(scope_of(lock) + "/")
    ]


def listed_at(arm: Arm, scope: str) -> list[Resource]:
    """What a list of locks at a scope holds: those on it, above it and under it, as ARM answers."""
    wanted = ids.key(scope)
    under = [lock for lock in arm.store.of_type(TYPE) if scope_of(lock).startswith(wanted + "/")]
    return covering(arm, scope) + under


def refuse(arm: Arm, method: str, scope: str) -> None:
    """ReadOnly forbids everything but GET, a POST such as a gateway's backendhealth too; CanNotDelete forbids
    DELETE [D]. ARM looks at locks before any provider sees the request."""
    if method in ("GET", "HEAD"):
        return
    action = {"DELETE": "delete", "POST": "action"}.get(method, "write")
    levels = {"readonly", "cannotdelete"} if method == "DELETE" else {"readonly"}
    held = [lock for lock in covering(arm, scope) if str(lock.properties.get("level", "")).lower() in levels]
    if held:
        names = ",".join(lock.id.split("/providers/Microsoft.Authorization")[0] for lock in held)
        raise errors.by_gateway(
            409,
            "ScopeLocked",
            f"The scope '{scope}' cannot perform {action} operation because following scope(s) are locked: '{names}'. "
            "Please remove the lock and try again.",
        )

"""Who may do what: role definitions, role assignments, and their evaluation ([D] Azure RBAC).

A role assignment gives an identity the actions of a role over a scope and all that lies under it. An action is granted
when one assignment's role has it in `actions` and not in `notActions`; `*` stands for any text; letter case means
nothing. Both kinds of documents have ARM's own form, so that what Bicep would deploy can be loaded as it is.

Without roles everything is allowed to everybody. With them, an identity may do what its assignments say; the operator
(`ids.OPERATOR_ID`) is Owner of every subscription.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from local.azure import actions, ids
from local.azure.actions import Right
from local.azure.errors import ArmError, by_gateway
from local.azure.store import Json, Store

if TYPE_CHECKING:
    from local.azure.arm import Call

DEFINITION = "Microsoft.Authorization/roleDefinitions"
ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
_META = "roles"


def _built_in(name: str, guid: str, granted: list[str], but: list[str] | None = None) -> Json:
    properties = {
        "roleName": name,
        "type": "BuiltInRole",
        "description": f"The built-in role {name}.",
        "assignableScopes": ["/"],
        "permissions": [{"actions": granted, "notActions": but or [], "dataActions": [], "notDataActions": []}],
    }
    return {
        "id": f"/providers/{DEFINITION}/{guid}",
        "name": guid,
        "type": DEFINITION,
        "properties": properties,
    }


_READ_ONLY = ["Microsoft.Authorization/*/read", "Microsoft.Resources/subscriptions/resourceGroups/read"]
_OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
BUILT_IN = (
    _built_in("Owner", _OWNER, ["*"]),
    _built_in(
        "Contributor",
        "b24988ac-6180-42a0-ab88-20f7382dd24c",
        ["*"],
        ["Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write"],
    ),
    _built_in("Reader", "acdd72a7-3385-48ef-bd42-f606fba81ae7", ["*/read"]),
    _built_in("Network Contributor", "4d97b98b-1d4f-4787-a291-c67834d212e7", ["Microsoft.Network/*", *_READ_ONLY]),
    _built_in(
        "Virtual Machine Contributor",
        "9980e02c-c2be-4d73-94e8-173b1dc7cf3c",
        [
            *(f"Microsoft.Compute/{each}/*" for each in ("availabilitySets", "locations", "virtualMachines")),
            *(f"Microsoft.Compute/disks/{each}" for each in ("write", "read", "delete")),
            "Microsoft.Network/locations/*",
            "Microsoft.Network/networkInterfaces/*",
            "Microsoft.Network/networkSecurityGroups/join/action",
            "Microsoft.Network/networkSecurityGroups/read",
            "Microsoft.Network/publicIPAddresses/join/action",
            "Microsoft.Network/publicIPAddresses/read",
            "Microsoft.Network/virtualNetworks/read",
            "Microsoft.Network/virtualNetworks/subnets/join/action",
            *_READ_ONLY,
        ],
    ),
    _built_in(
        "Managed Identity Operator",
        "f1a07417-d97a-45cb-824c-7a7467783830",
        [f"Microsoft.ManagedIdentity/userAssignedIdentities/*/{each}" for each in ("read", "assign/action")]
        + _READ_ONLY,
    ),
)


class RolesError(ValueError):
    """Documents that are no roles; the text says which and why."""


@dataclass(frozen=True, slots=True)
class _Permission:
    granted: re.Pattern[str]
    but: re.Pattern[str]

    def grants(self, action: str) -> bool:
        return bool(self.granted.fullmatch(action)) and not self.but.fullmatch(action)


@dataclass(frozen=True, slots=True)
class _Grant:
    """One assignment: the scope as compared, '' for everything, and the permissions of its role, also as documents."""

    scope: str
    permissions: tuple[_Permission, ...]
    documents: tuple[Json, ...]

    def covers(self, scope: str) -> bool:
        return scope == self.scope or scope.startswith(self.scope + "/")


@dataclass(slots=True)
class Roles:
    """Role definitions and assignments, ready to be asked."""

    definitions: dict[str, Json] = field(default_factory=dict)  # by GUID
    assignments: dict[str, Json] = field(default_factory=dict)  # by id as compared
    _grants: dict[str, list[_Grant]] = field(default_factory=dict)
    _scopes: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def granting(self, principal: str, right: Right) -> list[str]:
        """The scopes, at the one asked for or above it, over which the identity has been given the action."""
        scope = ids.key(right.scope)
        granted = self._granted(principal.lower(), right.action.lower())
        return [each for each in granted if scope == each or scope.startswith(each + "/")]

    def grants_over(self, principal: str, scope: str) -> list[_Grant]:
        """The identity's assignments at a scope or above it."""
        return [each for each in self._grants.get(principal.lower(), ()) if each.covers(ids.key(scope))]

    def sees(self, principal: str, subscription: str) -> bool:
        """Whether the identity has an assignment at the subscription, above it or under it."""
        scope = f"/subscriptions/{subscription.lower()}"
        return any(
            each.scope == "" or each.scope == scope or each.scope.startswith(scope + "/")
            for each in self._grants.get(principal.lower(), ())
        )

    def _granted(self, principal: str, action: str) -> tuple[str, ...]:
        """The scopes over which an identity has an action."""
        known = self._scopes.get((principal, action))
        if known is None:
            grants = self._grants.get(principal, ())
            known = tuple(each.scope for each in grants if any(one.grants(action) for one in each.permissions))
            self._scopes[principal, action] = known
        return known


def parsed(documents: Json) -> Roles:
    """Roles of `{"roleDefinitions": [...], "roleAssignments": [...]}`; raises `RolesError`."""
    roles = Roles()
    try:
        for document in (*BUILT_IN, *documents.get("roleDefinitions", ())):
            roles.definitions[_guid(document.get("name") or document["id"])] = _definition(document)
        for document in documents.get("roleAssignments", ()):
            assignment = _assignment(document)
            roles.assignments[ids.key(assignment["id"])] = assignment
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise RolesError(f"no role definition or role assignment in ARM's form: {error!r}") from None
    permissions = {guid: _permissions(each) for guid, each in roles.definitions.items()}

    def grant(scope: str, guid: str) -> _Grant:
        return _Grant(scope, permissions[guid], tuple(roles.definitions[guid]["properties"]["permissions"]))

    roles._grants[ids.OPERATOR_ID] = [grant("", _OWNER)]
    for assignment in roles.assignments.values():
        properties = assignment["properties"]
        guid = _guid(properties["roleDefinitionId"])
        if guid not in permissions:
            raise RolesError(f"'{assignment['id']}' names a role definition that isn't there: '{guid}'")
        granted = grant(ids.key(properties["scope"]), guid)
        roles._grants.setdefault(properties["principalId"].lower(), []).append(granted)
    return roles


def _guid(name_or_id: str) -> str:
    return name_or_id.rsplit("/", 1)[-1].lower()


def _definition(document: Json) -> Json:
    """As ARM shows one: with its id, which for a custom role lies in the first of its assignable scopes."""
    given = document["properties"]
    name = document.get("name") or _guid(document["id"])
    scopes = given.get("assignableScopes") or [document["id"].split("/providers/Microsoft.Authorization")[0] or "/"]
    permissions = [
        {"actions": [], "notActions": [], "dataActions": [], "notDataActions": []} | each
        for each in given["permissions"]
    ]
    properties = {"type": "CustomRole", "description": ""} | given
    properties |= {"assignableScopes": scopes, "permissions": permissions}
    identity = document.get("id") or f"{scopes[0].rstrip('/')}/providers/{DEFINITION}/{name}"
    return {"id": identity, "name": name, "type": DEFINITION, "properties": properties}


def _assignment(document: Json) -> Json:
    """As ARM shows one: with its scope, which its id begins with."""
    given = document["properties"]
    identity = document["id"]
    scope = given.get("scope") or re.split(f"/providers/{ASSIGNMENT}/", identity, flags=re.IGNORECASE)[0]
    properties = {"principalType": "ServicePrincipal"} | given | {"scope": scope}
    for name in ("roleDefinitionId", "principalId"):
        if not isinstance(properties[name], str):
            raise TypeError(f"'{name}' of '{identity}' is no text")
    return {"id": identity, "name": identity.rsplit("/", 1)[-1], "type": ASSIGNMENT, "properties": properties}


def _permissions(definition: Json) -> tuple[_Permission, ...]:
    return tuple(
        _Permission(_any_of(each["actions"]), _any_of(each["notActions"]))
        for each in definition["properties"]["permissions"]
    )


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """Matches what one of the patterns means, in lower case. `/*/` may be a single `/`: the built-in role Managed Identity
    Operator has `userAssignedIdentities/*/assign/action`, and grants `userAssignedIdentities/assign/action` ([D])."""
    forms = (re.escape(each.lower()).replace(r"/\*/", "/(?:.*/)?").replace(r"\*", ".*") for each in patterns)
    return re.compile("|".join(forms) or r"(?!)")


def read(path: Path) -> Json:
    """The documents of a file, or of every JSON file of a directory, together."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    together: Json = {"roleDefinitions": [], "roleAssignments": []}
    for each in files:
        found = json.loads(each.read_text(encoding="utf-8"))
        for name, documents in together.items():
            documents.extend(found.get(name, ()))
    parsed(together)
    return together


class Rights:
    """The roles in force: those of the start, until they are replaced or changed through ARM."""

    def __init__(self, store: Store, at_start: Json | None = None) -> None:
        self._store = store
        self._at_start = at_start
        self._source: Json | None = None
        self._roles: Roles | None = None

    @property
    def documents(self) -> Json | None:
        """What is in force, None when everything is allowed."""
        kept: Json | None = self._store.meta(_META)
        return self._at_start if kept is None else kept

    @property
    def roles(self) -> Roles | None:
        """The same, ready to be asked."""
        source = self.documents
        if source is not self._source:
            self._source, self._roles = source, None if source is None else parsed(source)
        return self._roles

    def replace(self, documents: Json | None) -> None:
        """Have other roles in force; None: those of the start again."""
        if documents is not None:
            parsed(documents)
        self._store.set_meta(_META, documents)

    def allows(self, principal: str, right: Right) -> bool:
        """Whether the identity may do this."""
        if self._is_denied(principal, ids.subscription_of(right.scope)):
            return False
        roles = self.roles
        return roles is None or any(self._is_there(each) for each in roles.granting(principal, right))

    def permissions(self, principal: str, scope: str) -> list[Json]:
        """What the identity is granted at a scope and above it, as ARM lists it for the caller: a permission of each role."""
        roles = self.roles
        if roles is None:
            return [{"actions": ["*"], "notActions": [], "dataActions": [], "notDataActions": []}]
        there = (each for each in roles.grants_over(principal, scope) if self._is_there(each.scope))
        return [permission for each in there for permission in each.documents]

    def _is_there(self, scope: str) -> bool:
        """ARM deletes the assignments of a group or a resource together with it."""
        return scope.count("/") <= 2 or self._store.get(scope) is not None

    def sees(self, principal: str, subscription: str) -> bool:
        """Whether the subscription is in the identity's list."""
        roles = self.roles
        return not self._is_denied(principal, subscription) and (roles is None or roles.sees(principal, subscription))

    def _is_denied(self, principal: str, subscription: str) -> bool:
        return principal != ids.OPERATOR_ID and subscription in self._store.meta("denied_subscriptions", ())

    def check(self, call: Call) -> None:
        """Note in the call which rights it needs, and refuse it when its identity lacks one."""
        own = actions.needed(call.method, call.path)
        if own is None:
            return
        call.needs.append(own)
        if not self.allows(call.principal, own):
            raise authorization_failed(call.principal, own)
        if links := actions.links_of(own):
            call.needs += actions.linked(links, call.body)
        missing = [each for each in call.needs[1:] if not self.allows(call.principal, each)]
        if missing:
            raise linked_authorization_failed(call.principal, own, missing)


def authorization_failed(principal: str, right: Right) -> ArmError:
    """[R] Also where the scope doesn't exist: who may not look is not told."""
    return by_gateway(
        403,
        "AuthorizationFailed",
        f"The client '{principal}' with object id '{principal}' does not have authorization to perform action "
        f"'{right.action}' over scope '{right.scope}' or the scope is invalid. If access was recently granted, please "
        "refresh your credentials.",
    )


def linked_authorization_failed(principal: str, write: Right, missing: list[Right]) -> ArmError:
    """[I] as Terraform, AKS and peering reports quote it; several are listed in one text ([inf] "respectively")."""
    return by_gateway(
        403,
        "LinkedAuthorizationFailed",
        f"The client '{principal}' with object id '{principal}' has permission to perform action '{write.action}' on "
        f"scope '{write.scope}'; however, it does not have permission to perform action(s) "
        f"'{','.join(each.action for each in missing)}' on the linked scope(s) "
        f"'{','.join(each.scope for each in missing)}' (respectively) or the linked scope(s) are invalid.",
    )

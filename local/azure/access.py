"""Subscriptions: which there are, and what ARM answers where the identity has no rights in one.

The first one is always there. Others come with `--hubs` and with `POST /_local/subscriptions`, which also says in which
the identity has no rights at all: those are in no list, every request to them is 403, and a PUT elsewhere that names
something in them is 403 LinkedAuthorizationFailed.
"""

from __future__ import annotations

from local.azure import errors, ids
from local.azure.arm import Arm, Call
from local.azure.ids import ResourceId
from local.azure.resources import references

_ACTIONS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete", "POST": "action"}


def known(arm: Arm) -> list[str]:
    """Every subscription of the tenant, the first one first."""
    return [ids.SUBSCRIPTION_ID, *arm.store.meta("subscriptions", [])]


def denied(arm: Arm) -> list[str]:
    """Those in which the identity has no rights."""
    found: list[str] = arm.store.meta("denied_subscriptions", [])
    return found


def readable(arm: Arm) -> list[str]:
    """Those that `GET /subscriptions` lists."""
    return [each for each in known(arm) if each not in denied(arm)]


def add(arm: Arm, subscription: str) -> None:
    """Have one more subscription."""
    if subscription.lower() not in known(arm):
        arm.store.set_meta("subscriptions", [*arm.store.meta("subscriptions", []), subscription.lower()])


def check(arm: Arm, call: Call) -> None:
    """404 for a subscription that isn't there, 403 for one in which the identity has no rights."""
    subscription = ids.subscription_of(call.path)
    if not subscription:
        return
    if subscription not in known(arm):
        raise errors.by_gateway(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
    if subscription in denied(arm):
        raise errors.by_gateway(
            403,
            "AuthorizationFailed",
            f"The client '{ids.PRINCIPAL_ID}' with object id '{ids.PRINCIPAL_ID}' does not have authorization to "
            f"perform action '{_action(call)}' over scope '{call.path.rstrip('/')}' or the scope is invalid. If access "
            "was recently granted, please refresh your credentials.",
        )


def _action(call: Call) -> str:
    identity = ids.parse(call.path)
    kind = identity.type if identity else "Microsoft.Resources/subscriptions/resourceGroups"
    return f"{kind}/{_ACTIONS.get(call.method, 'action')}"


def check_linked(arm: Arm, call: Call, target: ResourceId) -> None:
    """403 for a PUT whose body names something in another subscription, where the identity has no rights
    (OpenShift#68) or which isn't there (ALZ-Bicep#291). ARM looks at this before the provider sees the body."""
    if call.method != "PUT":
        return
    for _, reference in references.places(call.body.get("properties")):
        linked = ids.subscription_of(reference)
        if linked in ("", target.subscription.lower()) or linked in readable(arm):
            continue
        may = f"The client '{ids.PRINCIPAL_ID}' with object id '{ids.PRINCIPAL_ID}' has permission to perform action "
        may += f"'{target.type}/write' on scope '{target}'"
        if linked in denied(arm):
            message = (
                f"{may}; however, it does not have permission to perform action(s) '{_linked_action(reference)}' on "
                f"the linked scope(s) '{reference}' (respectively) or the linked scope(s) are invalid."
            )
        else:
            message = f"{may}, however the linked subscription '{linked}' was not found. "
        raise errors.by_gateway(403, "LinkedAuthorizationFailed", message)


def _linked_action(reference: str) -> str:
    identity = ids.parse(reference)
    kind = identity.type if identity else ""
    verb = "peer" if kind.lower() == "microsoft.network/virtualnetworks" else "join"
    return f"{kind}/{verb}/action"

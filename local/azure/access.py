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


def known(arm: Arm) -> list[str]:
    """Every subscription of the tenant, the first one first."""
    return [ids.SUBSCRIPTION_ID, *arm.store.meta("subscriptions", [])]


def readable(arm: Arm, principal: str) -> list[str]:
    """Those that `GET /subscriptions` lists: where the identity has a role, at the subscription or under it."""
    return [each for each in known(arm) if arm.rights.sees(principal, each)]


def add(arm: Arm, subscription: str) -> None:
    """Have one more subscription."""
    if subscription.lower() not in known(arm):
        arm.store.set_meta("subscriptions", [*arm.store.meta("subscriptions", []), subscription.lower()])


def check(arm: Arm, call: Call) -> None:
    """404 for a subscription that isn't there, 403 where the identity lacks a right that the request needs."""
    subscription = ids.subscription_of(call.path)
    if not subscription:
        return
    if subscription not in known(arm):
        raise errors.by_gateway(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
    arm.rights.check(call)


def check_linked(arm: Arm, call: Call, target: ResourceId) -> None:
    """403 for a PUT whose body names something in a subscription that isn't there (ALZ-Bicep#291)."""
    if call.method != "PUT":
        return
    for _, reference in references.places(call.body.get("properties")):
        linked = ids.subscription_of(reference)
        if linked and linked not in known(arm):
            raise errors.by_gateway(
                403,
                "LinkedAuthorizationFailed",
                f"The client '{call.principal}' with object id '{call.principal}' has permission to perform action "
                f"'{target.type}/write' on scope '{target}', however the linked subscription '{linked}' was not found. ",
            )

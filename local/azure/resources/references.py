"""Ids in a body: that they are ids, that they are of the right type, and that what they name is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from local.azure import errors, ids
from local.azure.arm import Arm
from local.azure.store import Json, Resource


def places(value: Any, at: str = "properties") -> Iterator[tuple[str, str]]:
    """Every `id` in a value, and where it is."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "id" and isinstance(inner, str):
                yield f"{at}.id", inner
            else:
                yield from places(inner, f"{at}.{name}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from places(each, f"{at}[{number}]")


def check_forms(body: Json) -> None:
    """ARM itself refuses what is no fully qualified id, before any provider sees it [I]."""
    for at, text in places(body.get("properties")):
        if not text.lower().startswith(("/subscriptions/", "/providers/")):
            raise errors.by_gateway(
                400,
                "LinkedInvalidPropertyId",
                f"Property id '{text}' at path '{at}' is invalid. Expect fully qualified resource Id that start with "
                "'/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.",
            )


def check_type(reference: str, kind: str, at: str) -> None:
    """The network provider refuses an id that is not formed as its property's type is [I], or is of another one."""
    identity = ids.parse(reference)
    if identity is not None and identity.type.lower() == kind.lower():
        return
    wanted = kind.split("/", 1)[1]
    if identity is None or len(identity.types) != kind.count("/"):
        raise errors.cannot_parse(
            "InvalidJsonReferenceFormat",
            f"Reference Id {reference} is not formatted correctly. The Id is expected to reference resources of type "
            f"{wanted}. Path {at}.",
        )
    raise errors.cannot_parse(
        "InvalidJsonReferenceWrongType",
        f"Reference Id {reference} is referencing resource of a wrong type. The Id is expected to reference resources "
        f"of types: {wanted}. Path {at}.",
    )


def found(arm: Arm, reference: str, kind: str, at: str, user: str, location: str) -> Resource:
    """What a property of `user` names: of the right type, there, and in the same region and subscription.

    The refusal of another subscription has the words of another region (azure-cli#13258).
    """
    check_type(reference, kind, at)
    resource = arm.store.get(reference)
    if resource is None or not is_near(resource, user, location):
        raise errors.invalid_reference(reference, user)
    return resource


def is_near(resource: Resource, user: str, location: str) -> bool:
    """Whether `user` may use it: NICs, VMs and what they stand on are in one region and one subscription."""
    return resource.location == location and ids.subscription_of(resource.id) == ids.subscription_of(user)


def refuse_unsettled(arm: Arm, resource: Resource, user: str) -> None:
    """429 while it is being written or deleted [R]."""
    if (state := arm.state_of(resource)) in ("Updating", "Deleting"):
        raise errors.retryable_reference(resource.id, user, state, arm.last_operation_on(resource))

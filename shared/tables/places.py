"""Which hub a record belongs to, and which gateway serves a spoke; and what all hubs of an installation share.

Each hub has a partition of its own in the table `Spokes`. Where there are several, the partition `installation` has rows
`deployment:{id}` (the hub of a run), `hub:{key}` (every hub that the settings ever had, for when they no longer have it)
and `claim:{sha256}` (the body that an Idempotency-Key came with). Where one hub has always been alone nothing of this is
written.
"""

import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, TypeVar

from shared.clock import epoch_seconds, nonce
from shared.errors import DeploymentException
from shared.saga import instances as protocol
from shared.settings import Settings, at, current_settings, has_several_hubs, process_settings
from shared.spoke.plan import SpokePlan
from shared.spoke.records import GATEWAY_SITES_TABLE, WRITER_KEY, run_key, slot_of, spoke_key
from shared.tables.client import ConcurrentUpdate, Partition, table
from shared.tables.codec import number_in

T = TypeVar("T")

log = logging.getLogger(__name__)

INSTALLATION = "installation"
# Runs whose hub is known to a process, so that an activity doesn't ask each time.
_MOST_KNOWN = 5000


# --- what the settings have ---


def hubs() -> list[Settings]:
    """Each hub, as its first gateway's settings, in the order of `HUBS`."""
    first: dict[str, Settings] = {}
    for place in process_settings().places:
        first.setdefault(place.hub_key, place)
    return list(first.values())


def gateways_of(hub: Settings) -> list[Settings]:
    """The gateways of a hub, in order; of one that is no longer configured, the hub itself."""
    return [place for place in process_settings().places if place.hub_key == hub.hub_key] or [hub]


# --- what a plan and a spoke belong to ---


def gateway_of(plan: SpokePlan, hub: Settings) -> Settings:
    """The gateway that serves a spoke of this hub; `is_configured` is False when the settings no longer have it.

    A plan without a gateway was made when the hub had one alone, the first of its list.
    """
    gateways = gateways_of(hub)
    if not plan.gateway:
        return gateways[0]
    for place in gateways:
        if place.hub_agw_name.lower() == plan.gateway.lower():
            return place
    return replace(gateways[0], hub_agw_name=plan.gateway, is_configured=False, gateway_is_open=False)


def serves(plan: SpokePlan) -> bool:
    """Whether the present gateway is the one that serves a spoke of the present hub."""
    here = current_settings()
    return gateway_of(plan, here).gateway_key == here.gateway_key


def check_configured(plan: SpokePlan) -> None:
    """409 when the settings no longer have the hub or gateway of a spoke: it is shown as it is, and not changed. Its runs
    wait until they have it again, as long as their steps do."""
    here = current_settings()
    if here.is_configured:
        return
    has_hub = any(hub.hub_key == here.hub_key for hub in hubs())
    kind, name = ("Gateway", here.hub_agw_name) if has_hub else ("Hub", here.hub_name)
    raise DeploymentException(
        f"The {kind.lower()} {name}, which spoke {plan.spoke_id} belongs to, is no longer in the app's settings.",
        code=f"{kind}NotConfigured",
        hint="Put it back into HUBS (open: false keeps new spokes away); see docs/operations.md.",
        field=kind.lower(),
        value=name,
        spoke_id=plan.spoke_id,
        transient=True,
    )


def hub_of_spoke_id(spoke_id: int) -> Settings:
    """The hub whose ids this one is among; of none of them, the hub that has a record of it, or the first.

    The ids of a hub that the settings no longer have may be another's by now: then a record decides.
    """
    own = next((hub for hub in hubs() if hub.first_spoke_id <= spoke_id <= hub.last_spoke_id), None)
    if own is not None and (not former_hubs() or _has_spoke(own, spoke_id)):
        return own
    others = [hub for hub in [*hubs(), *former_hubs()] if hub is not own]
    return next((hub for hub in others if _has_spoke(hub, spoke_id)), own or hubs()[0])


def _has_spoke(hub: Settings, spoke_id: int) -> bool:
    return Partition(hub.hub_key).get(spoke_key(spoke_id)) is not None


def spokes_of_former_hubs() -> dict[int, dict[str, Any]]:
    """Who has ids in hubs that the settings no longer have, by id: no other spoke gets them."""
    select = ("spoke_id", "client_name", "deployment_id", "status")
    return {
        row["spoke_id"]: row for hub in former_hubs() for row in Partition(hub.hub_key).range("spoke:", select=select)
    }


# --- what is done for one hub, or for each ---


def at_spoke(spoke_id: int) -> contextlib.AbstractContextManager[None]:
    """What is done inside is about the hub of this spoke."""
    return at(hub_of_spoke_id(spoke_id))


def at_each_hub(work: Callable[[], Sequence[T]]) -> list[T]:
    """What the work finds in each hub, one after the other."""
    return _at_each(hubs(), work)


def at_each_gateway(work: Callable[[], Sequence[T]]) -> list[T]:
    """What the work finds at each gateway of the present hub."""
    return _at_each(gateways_of(current_settings()), work)


def _at_each(settings: Iterable[Settings], work: Callable[[], Sequence[T]]) -> list[T]:
    found: list[T] = []
    for place in settings:
        with at(place):
            found += work()
    return found


# --- the partition that all hubs share ---


def installation() -> Partition:
    """The partition that all hubs share; nothing is written into it where one hub has always been alone."""
    return Partition(INSTALLATION)


@cache
def noted_hubs() -> dict[str, str]:
    """Names of the hubs that the settings have or once had beside others, by key; none where one has always been alone. Read
    once: while it runs no process adds one."""
    return {row["hub_key"]: row["name"] for row in installation().range("hub:", select=("hub_key", "name"))}


def note_hubs(found: Iterable[Settings]) -> None:
    """Notes hubs of the settings."""
    rows = ({"RowKey": f"hub:{hub.hub_key}", "hub_key": hub.hub_key, "name": hub.hub_name} for hub in found)
    installation().write(*(("upsert", {"PartitionKey": INSTALLATION, **row}) for row in rows))


@cache
def former_hubs() -> tuple[Settings, ...]:
    """Hubs that have records and that the settings no longer have."""
    here = {hub.hub_key for hub in hubs()}
    gone = [_former_hub(key, name) for key, name in noted_hubs().items() if key not in here]
    found = tuple(hub for hub in gone if any(map(Partition(hub.hub_key).has_any, ("spoke:", "run:"))))
    for hub in found:
        log.warning("The hub %s has records and is no longer in the settings", hub.hub_name)
    return found


def _former_hub(hub_key: str, name: str) -> Settings:
    *prefix, group, vnet = hub_key.split(":")
    home = next((hub for hub in hubs() if not hub.key_prefix), hubs()[0]).subscription_id
    return replace(
        hubs()[0],
        subscription_id=prefix[0] if prefix else home,
        hub_name=name,
        hub_resource_group=group,
        hub_vnet_name=vnet,
        key_prefix="".join(f"{each}:" for each in prefix),
        first_spoke_id=1,
        gateway_is_open=False,
        is_configured=False,
    )


def new_deployment_id(kind: str, client: str) -> str:
    """An id for a run of the present hub that no run of any hub has."""
    while True:
        made = protocol.deployment_id(kind, client, epoch_seconds(), nonce(4))
        if not has_several_hubs():
            return made  # its row in the hub's partition makes it unique
        row = {"PartitionKey": INSTALLATION, "RowKey": f"deployment:{made}", "hub_key": current_settings().hub_key}
        with contextlib.suppress(ConcurrentUpdate):  # another run has it
            installation().write(("create", row))
            return made


def forget_deployment_id(deployment_id: str) -> None:
    """Frees an id whose run was not made, or is forgotten."""
    if has_several_hubs():
        installation().forget(f"deployment:{deployment_id}")


def hub_of_run(deployment_id: str) -> Settings:
    """The hub of a run; of one that there isn't, the first."""
    if not has_several_hubs():
        return hubs()[0]
    return _noted_hub(deployment_id) or hubs()[0]


def former_hub_of_run(deployment_id: str) -> Settings | None:
    """The hub of a run when the settings no longer have it."""
    hub = _noted_hub(deployment_id) if former_hubs() else None
    return None if hub is None or hub.is_configured else hub


def _noted_hub(deployment_id: str) -> Settings | None:
    try:
        key = _hub_key_of_run(deployment_id)
    except LookupError:
        return None
    return next((hub for hub in [*hubs(), *former_hubs()] if hub.hub_key == key), None)


@lru_cache(maxsize=_MOST_KNOWN)
def _hub_key_of_run(deployment_id: str) -> str:
    """LookupError, which isn't kept, when there is no such run. A run from before there were several hubs has no row here:
    it is looked for in each."""
    row = installation().get(f"deployment:{deployment_id}")
    if row is not None:
        return str(row["hub_key"])
    for hub in [*hubs(), *former_hubs()]:
        if Partition(hub.hub_key).get(run_key(deployment_id)) is not None:
            return hub.hub_key
    raise LookupError(deployment_id)


# --- slots: the sites that a gateway has room for ---


def places(gateway: Settings) -> int:
    """How many sites the gateway has capacity for, at its writer's last pass; before that, all but the hub's default one."""
    row = table(GATEWAY_SITES_TABLE).get(gateway.gateway_key, WRITER_KEY)
    seen = number_in(row, "GatewayWriter", "capacity")
    return gateway.agw_limit - 1 if seen is None else seen


def used_slots(rows: Partition, hub: Settings) -> defaultdict[str, set[int]]:
    """The numbers that are taken, by gateway in lower case. hub: with its first gateway, which has those without a name."""
    first, found = gateways_of(hub)[0].hub_agw_name, defaultdict[str, set[int]](set)
    for row in rows.range("slot:", select=("RowKey",)):
        gateway, number = slot_of(row["RowKey"], first)
        found[gateway].add(number)
    return found


def free_slots(used: set[int], limit: int) -> list[int]:
    """The numbers that may be taken. Racers read the same numbers, so the table lets exactly as many through as fit.

    A gateway that lost room has slots beyond its limit; each of them takes one of the lower numbers out of the game.
    """
    highest = limit
    while highest > 0 and highest + sum(1 for number in used if number > highest) > limit:
        highest -= 1
    return [number for number in range(1, highest + 1) if number not in used]

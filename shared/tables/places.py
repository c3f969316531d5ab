"""Which hub a record belongs to, and which gateway serves a spoke; and what all hubs of an installation share.

Each hub has a partition of its own in the table `Spokes`. Where there are several, the partition `installation` has rows
`deployment:{id}` (the hub of a run), `hub:{key}` (every hub that ever had records, for when the settings no longer have
it) and `claim:{sha256}` (the body that an Idempotency-Key came with). With one hub alone nothing of this is written.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from shared.clock import epoch_seconds, nonce, parse_timestamp, timestamp, utc_now
from shared.errors import DeploymentException
from shared.saga import instances as protocol
from shared.settings import Settings, at, current_settings, process_settings
from shared.spoke.plan import SpokePlan
from shared.spoke.records import SPOKES_TABLE, spoke_key
from shared.tables.client import ConcurrentUpdate, table
from shared.tables.partition import SpokesPartition

T = TypeVar("T")

log = logging.getLogger(__name__)

INSTALLATION = "installation"
# Runs whose hub is known, so that an activity doesn't ask each time; of those that came long ago none is asked for.
_MOST_KNOWN = 5000
_TRIES = 3
_known_runs: dict[str, str] = {}
_former: list[Settings] = []
_were_read: list[bool] = []


# --- what the settings have ---


def hubs() -> list[Settings]:
    """Each hub, as its first gateway's settings, in the order of `HUBS`."""
    return _one_a_hub(process_settings().places)


def gateways_of(hub: Settings) -> list[Settings]:
    """The gateways of a hub, in order; of one that is no longer configured, the hub itself."""
    return [place for place in process_settings().places if place.hub_key == hub.hub_key] or [hub]


def _one_a_hub(places: Sequence[Settings]) -> list[Settings]:
    first: dict[str, Settings] = {}
    for place in places:
        first.setdefault(place.hub_key, place)
    return list(first.values())


# --- what a plan and a spoke belong to ---


def gateway_of(plan: SpokePlan, hub: Settings) -> Settings:
    """The gateway that serves a spoke of this hub; `is_configured` is False when the settings no longer have it.

    A plan without a gateway was made when the hub had one alone, the first of its list.
    """
    gateways = gateways_of(hub)
    if not plan.gateway or not hub.is_configured:
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
    """409 when the settings no longer have the hub or gateway of a spoke: it is shown as it is, and not changed."""
    here = current_settings()
    if here.is_configured:
        return
    kind, name = ("Gateway", here.hub_agw_name) if _is_hub(here) else ("Hub", here.hub_name)
    raise DeploymentException(
        f"The {kind.lower()} {name}, which spoke {plan.spoke_id} belongs to, is no longer in the app's settings.",
        code=f"{kind}NotConfigured",
        hint="Put it back into HUBS (open: false keeps new spokes away); see docs/operations.md.",
        field=kind.lower(),
        value=name,
        spoke_id=plan.spoke_id,
    )


def _is_hub(place: Settings) -> bool:
    return any(hub.hub_key == place.hub_key for hub in hubs())


def hub_of_spoke_id(spoke_id: int) -> Settings:
    """The hub whose ids this one is among; of none of them, the hub that has a record of it, or the first."""
    for hub in hubs():
        if hub.first_spoke_id <= spoke_id <= hub.last_spoke_id:
            return hub
    others = [*hubs()[1:], *former_hubs()]
    return next((hub for hub in others if _has_spoke(hub, spoke_id)), hubs()[0])


def _has_spoke(hub: Settings, spoke_id: int) -> bool:
    return SpokesPartition(hub).get(spoke_key(spoke_id)) is not None


# --- what is done for one hub, or for each ---


@contextlib.contextmanager
def at_spoke(spoke_id: int) -> Iterator[None]:
    """What is done inside is about the hub of this spoke."""
    with at(hub_of_spoke_id(spoke_id)):
        yield


def at_each_hub(work: Callable[[], Sequence[T]], *, former: bool = False) -> list[T]:
    """What the work finds in each hub, one after the other. former: in those that the settings no longer have, too."""
    found: list[T] = []
    for hub in [*hubs(), *(former_hubs() if former else ())]:
        with at(hub):
            found += work()
    return found


def at_each_gateway(work: Callable[[], Sequence[T]]) -> list[T]:
    """What the work finds at each gateway of the present hub."""
    found: list[T] = []
    for gateway in gateways_of(current_settings()):
        with at(gateway):
            found += work()
    return found


# --- the partition that all hubs share ---


def is_alone() -> bool:
    """Whether the settings have one hub: then nothing is kept in this partition."""
    return len(hubs()) == 1


def former_hubs() -> list[Settings]:
    """Hubs that have records and that the settings no longer have. Read once: while it runs no process adds one."""
    if not _were_read:
        found = _rows("hub:")
        here = {hub.hub_key for hub in hubs()}
        _former[:] = [_former_hub(row) for row in found if row["hub_key"] not in here]
        _were_read.append(True)
        for hub in _former:
            log.warning("The hub %s has records and is no longer in the settings", hub.hub_name)
    return list(_former)


def _former_hub(row: dict[str, Any]) -> Settings:
    *prefix, group, vnet = str(row["hub_key"]).split(":")
    return replace(
        hubs()[0],
        hub_name=row["name"],
        hub_resource_group=group,
        hub_vnet_name=vnet,
        key_prefix="".join(f"{each}:" for each in prefix),
        first_spoke_id=1,
        gateway_is_open=False,
        is_configured=False,
    )


def remember_hub() -> None:
    """Notes that the present hub has records, so that they are found when the settings no longer have it."""
    here = current_settings()
    if is_alone() or here.hub_key in _noted:
        return
    row = {
        "PartitionKey": INSTALLATION,
        "RowKey": f"hub:{here.hub_key}",
        "hub_key": here.hub_key,
        "name": here.hub_name,
    }
    table(SPOKES_TABLE).write([("upsert", row)])
    _noted.add(here.hub_key)


_noted: set[str] = set()


def forget_places() -> None:
    """For tests: the next call reads the table anew."""
    _known_runs.clear()
    _were_read.clear()
    _noted.clear()


def new_deployment_id(kind: str, client: str) -> str:
    """An id for a run of the present hub that no run of any hub has."""
    while True:
        made = protocol.deployment_id(kind, client, epoch_seconds(), nonce(4))
        if is_alone():
            return made  # its row in the hub's partition makes it unique
        row = {"PartitionKey": INSTALLATION, "RowKey": f"deployment:{made}", "hub_key": current_settings().hub_key}
        with contextlib.suppress(ConcurrentUpdate):  # another run has it
            table(SPOKES_TABLE).write([("create", row)])
            return made


def forget_deployment_id(deployment_id: str) -> None:
    """Frees an id whose run was not made, or is forgotten."""
    if not is_alone():
        _delete(f"deployment:{deployment_id}")


def hub_of_run(deployment_id: str) -> Settings:
    """The hub of a run; of one that was made when there was one alone, the first."""
    return hubs()[0] if is_alone() else _noted_hub(deployment_id) or hubs()[0]


def former_hub_of_run(deployment_id: str) -> Settings | None:
    """The hub of a run when the settings no longer have it."""
    hub = _noted_hub(deployment_id) if former_hubs() else None
    return None if hub is None or hub.is_configured else hub


def _noted_hub(deployment_id: str) -> Settings | None:
    key = _known_runs.get(deployment_id)
    if key is None:
        row = _row(f"deployment:{deployment_id}")
        if row is None:
            return None
        key = str(row["hub_key"])
        if len(_known_runs) >= _MOST_KNOWN:
            _known_runs.clear()
        _known_runs[deployment_id] = key
    return next((hub for hub in [*hubs(), *former_hubs()] if hub.hub_key == key), None)


def _row(row_key: str) -> Any:
    return table(SPOKES_TABLE).get(INSTALLATION, row_key)


def _rows(prefix: str) -> list[Any]:
    query = "PartitionKey eq @partition and RowKey ge @low and RowKey lt @high"
    values = {"partition": INSTALLATION, "low": prefix, "high": prefix[:-1] + ";"}
    return table(SPOKES_TABLE).query(query, values)


def _delete(row_key: str) -> None:
    with contextlib.suppress(ConcurrentUpdate):  # it isn't there any more
        table(SPOKES_TABLE).write([("delete", {"PartitionKey": INSTALLATION, "RowKey": row_key})])


# --- Idempotency-Keys of several hubs ---


def claim_key(digest: str, fingerprint: str, life: timedelta) -> bool:
    """Whether a body may use an Idempotency-Key: no other one has, in whichever hub. Where there is one hub, its own row of
    the key tells."""
    if is_alone():
        return True
    row_key = f"claim:{digest}"
    claim = {
        "PartitionKey": INSTALLATION,
        "RowKey": row_key,
        "fingerprint": fingerprint,
        "expires_at": timestamp(utc_now() + life),
    }
    for _ in range(_TRIES):
        with contextlib.suppress(ConcurrentUpdate):  # it is claimed
            table(SPOKES_TABLE).write([("create", claim)])
            return True
        row = _row(row_key)
        if row is not None and parse_timestamp(row["expires_at"]) > utc_now():
            return bool(row["fingerprint"] == fingerprint)
        give_key_back(digest)
    return True


def give_key_back(digest: str) -> None:
    """Frees a key of which nothing came."""
    if not is_alone():
        _delete(f"claim:{digest}")


def forget_expired_claims() -> None:
    """Removes what says which body used a key, when the key may be used anew."""
    if is_alone():
        return
    for row in _rows("claim:"):
        if parse_timestamp(row["expires_at"]) <= utc_now():
            give_key_back(str(row["RowKey"]).removeprefix("claim:"))

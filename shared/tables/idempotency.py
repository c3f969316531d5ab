"""`Idempotency-Key`: the same key with the same body begins one run only.

The row `key:{sha256}` stands in the partition of the hub that the request went to, written in the transaction that it
speaks of. Where there are several hubs, or were, `claim:{sha256}` in the partition that they share says which body has the
key, and in which hub: a change of `HUBS` may send the same request to another one. Keys that were used while there was one
hub alone are claimed when their hub is first one of several.
"""

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from shared.clock import timestamp, utc_now
from shared.errors import ValidationException
from shared.settings import current_settings, has_several_hubs
from shared.spoke.records import SPOKES_TABLE
from shared.tables.client import ConcurrentUpdate, Partition, hub_rows, table
from shared.tables.places import INSTALLATION, hubs, installation, note_hubs, noted_hubs
from shared.timestamps import parse_timestamp

KEY_LIFE = timedelta(hours=24)
_TRIES = 3


@dataclass(frozen=True)
class IdempotencyKey:
    """An `Idempotency-Key` header and the body that it came with, both as sha256."""

    digest: str
    fingerprint: str

    @property
    def row_key(self) -> str:
        return f"key:{self.digest}"

    @property
    def claim_key(self) -> str:
        return f"claim:{self.digest}"


def claim_key(key: IdempotencyKey) -> str:
    """The partition of the hub in which the key is used: the present one, unless the same request came to another before.
    422 when another body has the key, in whichever hub.

    Where there has been one hub alone, its own row of the key tells.
    """
    here = current_settings().hub_key
    if not _is_shared():
        return here
    for _ in range(_TRIES):
        with contextlib.suppress(ConcurrentUpdate):  # another hub has it
            installation().write(("create", _claim(key.digest, key.fingerprint, here, timestamp(utc_now() + KEY_LIFE))))
            return here
        row = installation().get(key.claim_key)
        if row is not None and not has_expired(row):
            if row["fingerprint"] != key.fingerprint:
                raise used_with_another_body()
            return str(row.get("hub_key") or here)
        give_key_back(key)
    return here


def _is_shared() -> bool:
    """Whether there are several hubs, or once were."""
    return has_several_hubs() or bool(noted_hubs())


@cache
def note_new_hubs() -> None:
    """Notes the hubs that are new in the settings, where there are several, so that they are known when the settings no
    longer have them. Looks once a process.

    The keys that were used in them until now are claimed before: no later process has to look for them. However many hubs
    there are, it is one query.
    """
    new = {hub.hub_key: hub for hub in hubs() if hub.hub_key not in noted_hubs()} if has_several_hubs() else {}
    if not new:
        return
    query, select = "RowKey ge 'key:' and RowKey lt 'key;'", ("PartitionKey", "RowKey", "fingerprint", "expires_at")
    for row in table(SPOKES_TABLE).query(query, {}, select):
        if row["PartitionKey"] in new and not has_expired(row):
            digest = row["RowKey"].removeprefix("key:")
            claim = _claim(digest, row["fingerprint"], row["PartitionKey"], row["expires_at"])
            with contextlib.suppress(ConcurrentUpdate):  # another process has done it
                installation().write(("create", claim))
    note_hubs(new.values())


def _claim(digest: str, fingerprint: str, hub_key: str, expires_at: str) -> dict[str, Any]:
    return {
        "PartitionKey": INSTALLATION,
        "RowKey": f"claim:{digest}",
        "fingerprint": fingerprint,
        "hub_key": hub_key,
        "expires_at": expires_at,
    }


def give_key_back(key: IdempotencyKey) -> None:
    """Frees a key of which nothing came."""
    if _is_shared():
        installation().forget(key.claim_key)


def forget_expired_keys() -> None:
    """Removes the rows of the present hub's keys whose time is over."""
    _forget_expired(hub_rows(), "key:")


def forget_expired_claims() -> None:
    """Removes what says which body used a key, when the key may be used anew."""
    if _is_shared():
        _forget_expired(installation(), "claim:")


def _forget_expired(rows: Partition, prefix: str) -> None:
    """One by one: none of them matters to another."""
    for row in rows.range(prefix, select=("PartitionKey", "RowKey", "expires_at")):
        if has_expired(row):
            with contextlib.suppress(ConcurrentUpdate):  # used anew since it was read
                rows.delete_together([row])


def has_expired(row: dict[str, Any]) -> bool:
    """Whether the key may be used anew."""
    return parse_timestamp(row["expires_at"]) <= utc_now()


def used_with_another_body(**more: Any) -> ValidationException:
    """422."""
    return ValidationException(
        "This Idempotency-Key was used with another body.",
        code="IdempotencyKeyReused",
        hint="Send a new key with a new request; repeat a request with its own key and body.",
        field="Idempotency-Key",
        value=None,
        **more,
    )

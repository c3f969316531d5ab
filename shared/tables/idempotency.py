"""`Idempotency-Key`: the same key with the same body begins one run only.

The row `key:{sha256}` stands in the partition of the hub that the request went to, written in the transaction that it
speaks of. Where there are several hubs, `claim:{sha256}` in the partition that they share says which body has the key.
"""

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.clock import timestamp, utc_now
from shared.errors import DeploymentException, ValidationException
from shared.settings import current_settings
from shared.tables.client import ConcurrentUpdate
from shared.tables.partition import Partition, SpokesPartition
from shared.tables.places import INSTALLATION, installation, is_alone
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


def claim_key(key: IdempotencyKey) -> bool:
    """Whether this body may use the key: no other one has, in whichever hub. Where there is one hub alone, its own row of
    the key tells."""
    if is_alone():
        return True
    claim = {
        "PartitionKey": INSTALLATION,
        "RowKey": key.claim_key,
        "fingerprint": key.fingerprint,
        "expires_at": timestamp(utc_now() + KEY_LIFE),
    }
    for _ in range(_TRIES):
        with contextlib.suppress(ConcurrentUpdate):  # it is claimed
            installation().write(("create", claim))
            return True
        row = installation().get(key.claim_key)
        if row is not None and not has_expired(row):
            return bool(row["fingerprint"] == key.fingerprint)
        give_key_back(key)
    return True


def give_key_back(key: IdempotencyKey) -> None:
    """Frees a key of which nothing came."""
    if not is_alone():
        installation().forget(key.claim_key)


def forget_expired_keys() -> None:
    """Removes the rows of the present hub's keys whose time is over."""
    _forget_expired(SpokesPartition(current_settings()), "key:")


def forget_expired_claims() -> None:
    """Removes what says which body used a key, when the key may be used anew."""
    if not is_alone():
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


def key_is_spent(deployment_id: str) -> DeploymentException:
    """409."""
    return DeploymentException(
        "The spoke that this Idempotency-Key began has been deleted.",
        code="IdempotencyKeySpent",
        hint="Send a new key to make a new spoke; this one is free again 24 hours after its first use.",
        field="Idempotency-Key",
        value=None,
        deployment_id=deployment_id,
    )

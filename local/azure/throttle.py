"""Token buckets: how many requests ARM and its providers take ([D], [R]).

Per subscription, region and principal (one region and one principal ask here): reads 250 and 25 a second, writes 200
and 10, deletes 200 and 10; the network provider 1000 writes and 10,000 reads in five minutes; the compute provider 240
VM puts in three minutes. They scale with the time scale, and are off with scale 0. `POST /_local/limits
{"throttle": false}` turns them off, `{"buckets": {"reads": [size, per_second]}}` changes them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from local.azure import ids
from local.azure.clock import Clock
from local.azure.errors import ArmError, by_gateway
from local.azure.store import Store

DEFAULTS: dict[str, tuple[float, float]] = {
    "reads": (250, 25),
    "writes": (200, 10),
    "deletes": (200, 10),
    "network_writes": (1000, 1000 / 300),
    "network_reads": (10_000, 10_000 / 300),
    "vm_puts": (240, 240 / 180),
}


@dataclass(slots=True)
class _Bucket:
    size: float
    per_second: float
    level: float
    at: float


class Throttle:
    """What is left of each allowance. It is kept in memory only: a restart fills it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    @property
    def on(self) -> bool:
        """Whether anything is counted."""
        return not self._clock.frozen and bool(self._store.meta("throttle", True))

    def forget(self) -> None:
        """Fill all buckets, with their sizes as now set."""
        self._buckets.clear()

    def _take(self, subscription: str, name: str) -> tuple[float, float]:
        """What is left after taking one, and after how many of Azure's seconds there is one again."""
        bucket = self._buckets.get((subscription, name))
        now = time.monotonic() / (self._clock.time_scale or 1.0)
        if bucket is None:
            size, per_second = (self._store.meta("buckets", {}) or {}).get(name, DEFAULTS[name])
            bucket = self._buckets[subscription, name] = _Bucket(size, per_second, size, now)
        bucket.level = min(bucket.size, bucket.level + (now - bucket.at) * bucket.per_second)
        bucket.at = now
        if bucket.level < 1:
            return -1, (1 - bucket.level) / bucket.per_second if bucket.per_second else 3600
        bucket.level -= 1
        return bucket.level, 0

    def check(self, method: str, path: str) -> dict[str, str]:
        """The headers that say what is left, or 429."""
        kind = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}.get(method, "writes")
        headers = {f"x-ms-ratelimit-remaining-subscription-global-{kind}": "2999" if kind != "reads" else "3749"}
        lowered = path.lower()
        subscription = ids.subscription_of(path)
        if "/providers/microsoft.compute/" in lowered:
            headers["x-ms-ratelimit-remaining-resource"] = _compute_header(method, lowered)
        if not self.on:
            headers[f"x-ms-ratelimit-remaining-subscription-{kind}"] = str(int(DEFAULTS[kind][0]) - 1)
            return headers
        left, wait = self._take(subscription, kind)
        headers[f"x-ms-ratelimit-remaining-subscription-{kind}"] = str(max(0, int(left)))
        if left < 0:
            raise _arm_throttled(subscription, kind, wait, headers)
        if "/providers/microsoft.network/" in lowered:
            left, wait = self._take(subscription, "network_reads" if kind == "reads" else "network_writes")
            if left < 0:
                raise ArmError(
                    429,
                    "TooManyRequests",
                    "The server rejected the request because too many requests have been received for this "
                    "subscription.",
                    details=[],
                    retry_after=max(1.0, wait),
                )
        if method == "PUT" and "/providers/microsoft.compute/virtualmachines/" in lowered:
            left, wait = self._take(subscription, "vm_puts")
            if left < 0:
                raise _compute_throttled("PutVM3Min", wait)
            headers["x-ms-ratelimit-remaining-resource"] = (
                f"Microsoft.Compute/PutVM3Min;{int(left)},Microsoft.Compute/PutVM30Min;{960 + int(left)}"
            )
        return headers


def _compute_header(method: str, path: str) -> str:
    """What the compute provider says is left of its own allowances [R]; only VM puts are counted here."""
    if "/operations/" in path or "/diskoperations/" in path:
        return "Microsoft.Compute/GetOperation3Min;14997,Microsoft.Compute/GetOperation30Min;29997"
    noun = "Disks" if "/disks/" in path else "VM"
    if method == "DELETE":
        return f"Microsoft.Compute/Delete{noun}3Min;239,Microsoft.Compute/Delete{noun}30Min;1199"
    if method == "GET":
        return "Microsoft.Compute/LowCostGet3Min;14985,Microsoft.Compute/LowCostGet30Min;119985"
    if method == "PATCH" and noun == "VM":
        return "Microsoft.Compute/UpdateVMSubscriptionMaximum;1499,Microsoft.Compute/UpdateVMResource;11"
    verb, most = ("CreateUpdateDisks", 999) if noun == "Disks" else ("PutVM", 239)
    return f"Microsoft.Compute/{verb}3Min;{most},Microsoft.Compute/{verb}30Min;{5 * most + 4}"


def _arm_throttled(subscription: str, kind: str, wait: float, headers: dict[str, str]) -> ArmError:
    seconds = max(1, round(wait + 0.5))
    return by_gateway(
        429,
        "SubscriptionRequestsThrottled",
        f"Number of '{kind.removesuffix('s')}' requests for subscription '{subscription}' actor "
        f"'{ids.PRINCIPAL_ID}' exceeded. Please try again after '{seconds}' seconds.",
        retry_after=seconds,
        headers=headers,
    )


def _compute_throttled(bucket: str, wait: float) -> ArmError:
    """Its code is that of quota and of disks in use [D]."""
    return ArmError(
        429,
        "OperationNotAllowed",
        "The server rejected the request because too many requests have been received for this subscription.",
        details=[
            {
                "code": "TooManyRequests",
                "target": bucket,
                "message": f'{{"operationGroup":"{bucket}","allowedRequestCount":240,"measuredRequestCount":241}}',
            }
        ],
        retry_after=max(1.0, wait),
    )

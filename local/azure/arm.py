"""What every rule has at hand: the store, the operations, the clock, the quotas, and one request."""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import dataclass, field
from typing import Any

from local.azure import errors, ids
from local.azure.actions import Right
from local.azure.clock import Clock
from local.azure.operations import Operation, Operations
from local.azure.rights import Rights
from local.azure.store import Json, Resource, Store

MOST_NESTED = 100


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is not a number")
    return number


def _check_depth(value: Any, left: int = MOST_NESTED) -> None:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inside:
        if isinstance(each, (dict, list)):
            if not left:
                raise ValueError(f"The maximum depth of {MOST_NESTED} has been exceeded")
            _check_depth(each, left - 1)


def parse_json(raw: bytes) -> Any:
    """JSON that can be kept and shown again: no NaN, no half of a surrogate pair, no bottomless nesting. ValueError
    says what is wrong."""
    try:
        parsed = json.loads(raw, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ValueError(f"The maximum depth of {MOST_NESTED} has been exceeded") from None
    _check_depth(parsed)
    if b"\\u" in raw:
        json.dumps(parsed, ensure_ascii=False).encode()
    return parsed


@dataclass(slots=True)
class Call:
    """One request, as the rules see it."""

    method: str
    path: str
    query: dict[str, str]  # by names in lower case: ARM looks at none
    headers: dict[str, str]
    host: str = ""
    raw_query: str = ""
    raw_body: bytes = b""
    principal: str = ""
    needs: list[Right] = field(default_factory=list)  # its own right first, then those of what its body names
    _parsed: Json | None = None

    @property
    def body(self) -> Json:
        """The JSON object that it brings, or ARM's refusal of something else."""
        if self.method not in ("PUT", "PATCH"):
            return {}
        if self._parsed is None:
            try:
                parsed = parse_json(self.raw_body)
            except ValueError as error:
                raise errors.invalid_content(str(error)) from None
            if not isinstance(parsed, dict):
                raise errors.invalid_content("The content is not a JSON object.")
            self._parsed = parsed
        return self._parsed

    @property
    def api_version(self) -> str:
        """The api-version that it names."""
        return self.query.get("api-version", "")


@dataclass(slots=True)
class Reply:
    """What is answered."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Arm:
    """The whole of the stand-in's state."""

    store: Store
    clock: Clock
    operations: Operations
    rights: Rights
    started_with_gateway_limit: int = 100
    gateway_limits: dict[str, int] = field(default_factory=dict)  # by id, for those that have one of their own

    def gateway_limit(self, gateway_id: str) -> int:
        """How many pools, settings and listeners a gateway may have."""
        own = self.gateway_limits.get(ids.key(gateway_id))
        return own or int(self.store.meta("gateway_limit", self.started_with_gateway_limit))

    def quota(self, subscription: str, location: str, name: str, otherwise: int) -> int:
        """A quota of a subscription in a region, as `POST /_local/quota` has changed it."""
        changed = self.store.meta("quotas", {})
        return int(changed.get(f"{subscription}/{location}/{name}".lower(), otherwise))

    @property
    def page_size(self) -> int:
        """How many entries a page of a list has."""
        return int(self.store.meta("page_size", 50))

    def state_of(self, resource: Resource) -> str:
        """The provisioning state: that of the operation that holds it, else the one that it finished in."""
        operation = self.operations.holding(resource.id)
        if operation is not None:
            target = operation.target.lower()
            within = resource.key == target or resource.key.startswith(target + "/")
            return operation.state_meanwhile if within else "Updating"
        return str(resource.properties.get("provisioningState", "Succeeded"))

    def last_operation_on(self, resource: Resource) -> str:
        """The name of the operation that is writing, or last wrote, a resource."""
        operation: Operation | None = self.operations.holding(resource.id)
        return operation.name if operation is not None else str(resource.hidden.get("operation", "InternalOperation"))

    @staticmethod
    def new_etag() -> str:
        """As the network provider writes them."""
        return f'W/"{uuid.uuid4()}"'

    @staticmethod
    def new_guid() -> str:
        """For resourceGuid, vmId and the like."""
        return str(uuid.uuid4())

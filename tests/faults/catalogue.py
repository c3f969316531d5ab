"""The fault matrix: the calls that a deployment makes of Azure Resource Manager, and what can go wrong at each.

`test_matrix.py` holds this list against a recorded deployment, so that a new call can't be forgotten.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.faults.wire import KILL_AFTER, KILL_BEFORE, Mishap

VNET, NSG, NIC = "virtualNetworks/{vnet}", "networkSecurityGroups/{nsg}", "networkInterfaces/{nic}"
VM, DISK = "virtualMachines/{vm}", "disks/{disk}"
HUB, GATEWAY = "virtualNetworks/hub-vnet", "applicationGateways/hub-agw"
HUB_SIDE, SPOKE_SIDE = f"{HUB}/virtualNetworkPeerings/{{hub side}}", f"{VNET}/virtualNetworkPeerings/{{spoke side}}"

DEPLOY: dict[str, tuple[str, ...]] = {
    "validate_config": (
        f"GET {HUB}",
        f"GET {GATEWAY}",
        "GET {subscription}/resourceGroups/hub-rg",
        "GET Microsoft.Authorization/locks",
        "GET virtualNetworks",
        "GET {subscription}/resources",
        "GET skus",
        "GET locations/eastus/usages",
    ),
    "create_vnet": (f"GET {VNET}", f"PUT {VNET}", f"poll of PUT {VNET}"),
    "create_nsg": (f"GET {HUB}", f"GET {GATEWAY}", f"GET {NSG}", f"PUT {NSG}", f"poll of PUT {NSG}"),
    "create_subnets": (f"GET {VNET}", f"PUT {VNET}", f"poll of PUT {VNET}"),
    "create_nic": (f"GET {NIC}", f"PUT {NIC}", f"poll of PUT {NIC}"),
    "create_vm": (f"GET {VM}", f"GET {DISK}", f"PUT {VM}", f"poll of PUT {VM}"),
    "hub_round": (f"GET {HUB}",),
    "write_hub_side": (f"PUT {HUB_SIDE}", f"poll of PUT {HUB_SIDE}"),
    "write_spoke_side": (f"GET {SPOKE_SIDE}", f"PUT {SPOKE_SIDE}"),
    "settle_spoke_sides": (f"poll of PUT {SPOKE_SIDE}",),
    "gateway_round": (f"GET {GATEWAY}", f"PUT {GATEWAY}"),
    "poll_gateway": (f"poll of PUT {GATEWAY}",),
}
# Callers whose work a rollback needs, too.
WRITERS = frozenset(
    {"hub_round", "write_hub_side", "write_spoke_side", "settle_spoke_sides", "gateway_round", "poll_gateway"}
)

DELETE: dict[str, tuple[str, ...]] = {
    "gateway_round": (f"GET {GATEWAY}", f"PUT {GATEWAY}"),
    "poll_gateway": (f"poll of PUT {GATEWAY}",),
    "delete_vm": (f"GET {VM}", f"DELETE {VM}", f"poll of DELETE {VM}"),
    "delete_os_disk": (f"GET {DISK}", f"DELETE {DISK}", f"poll of DELETE {DISK}"),
    "delete_nic": (f"GET {NIC}", f"DELETE {NIC}", f"poll of DELETE {NIC}"),
    "hub_round": (f"GET {HUB}",),
    "write_hub_side": (f"GET {HUB_SIDE}", f"DELETE {HUB_SIDE}", f"poll of DELETE {HUB_SIDE}"),
    "write_spoke_side": (f"GET {SPOKE_SIDE}", f"DELETE {SPOKE_SIDE}"),
    "settle_spoke_sides": (f"poll of DELETE {SPOKE_SIDE}",),
    "delete_vnet": (f"GET {VNET}", f"DELETE {VNET}", f"poll of DELETE {VNET}"),
    "delete_nsg": (f"GET {NSG}", f"DELETE {NSG}", f"poll of DELETE {NSG}"),
}
# The look before a delete is POST's and DELETE's own: it answers the caller, and nothing has begun yet.
LOOK_BEFORE_A_DELETE = frozenset({f"DELETE: GET {VNET}", "DELETE: GET Microsoft.Authorization/locks"})


@dataclass(frozen=True)
class FaultKind:
    """One way in which a call goes wrong. passes: the work goes on, late.  for_good: it goes wrong every time.
    writes_only: it needs an operation that the call starts."""

    name: str
    fault: dict[str, Any] | None = None
    kill: str = ""
    times: int | None = 1
    passes: bool = False
    writes_only: bool = False

    @property
    def for_good(self) -> bool:
        return self.times is None

    def at(self, call: str) -> Mishap:
        return Mishap(call, self.fault, self.kill, self.times)


def _refused(status: int, **more: Any) -> dict[str, Any]:
    return {"mode": "refuse", "status": status, **more}


_BUSY = {"retry_after": 7, "code": "TooManyRequests"}
KINDS = (
    FaultKind("refused 400", _refused(400)),
    FaultKind("refused 403", _refused(403)),
    FaultKind("refused 404", _refused(404)),
    FaultKind("refused 409", _refused(409)),
    FaultKind("refused 412", _refused(412, code="PreconditionFailed"), passes=True),
    FaultKind("429 once", _refused(429, **_BUSY), passes=True),
    FaultKind("429 ten times", _refused(429, **_BUSY), times=10, passes=True),
    FaultKind("5xx once", _refused(503, code="ServiceUnavailable"), passes=True),
    FaultKind("5xx for good", _refused(500), times=None),
    FaultKind("reply lost", {"mode": "drop_reply"}, passes=True),
    FaultKind(KILL_BEFORE, kill=KILL_BEFORE, passes=True),
    FaultKind(KILL_AFTER, kill=KILL_AFTER, passes=True),
    FaultKind("fails later", {"mode": "fail_operation", "code": "AllocationFailed"}, writes_only=True),
    FaultKind("slow", {"mode": "slow", "seconds": 60}, passes=True, writes_only=True),
    FaultKind("never ends", {"mode": "never_end"}, writes_only=True),
)


# Those that may end a run.
REFUSALS = tuple(kind.name for kind in KINDS if kind.name.startswith("refused") and not kind.passes)


def calls_of(matrix: dict[str, tuple[str, ...]]) -> Iterator[str]:
    for caller, calls in matrix.items():
        for call in calls:
            yield f"{caller}: {call}"


def pairs_of(matrix: dict[str, tuple[str, ...]]) -> list[tuple[str, FaultKind]]:
    """Every call with everything that can go wrong at it."""
    return [(call, kind) for call in calls_of(matrix) for kind in KINDS if fits(call, kind)]


def sampled(matrix: dict[str, tuple[str, ...]], refusals: int) -> set[tuple[str, str]]:
    """The pairs of the ordinary run, of those that may end a run: each call with so many of the refusals in turn, each
    write with everything that only happens to writes, one call of each caller with trouble for good."""
    chosen: set[tuple[str, str]] = set()
    for number, call in enumerate(calls_of(matrix)):
        chosen |= {(call, REFUSALS[(number + more) % len(REFUSALS)]) for more in range(refusals)}
        chosen |= {(call, kind.name) for kind in KINDS if kind.writes_only and not kind.passes and fits(call, kind)}
    for caller, calls in matrix.items():
        chosen.add((f"{caller}: {calls[-1]}", "5xx for good"))
    return chosen


def fits(call: str, kind: FaultKind) -> bool:
    is_write = call.partition(": ")[2].startswith(("PUT", "DELETE"))
    return is_write or not kind.writes_only


def caller_of(call: str) -> str:
    return call.partition(":")[0]

"""The fault matrix: the calls that a deployment makes of Azure Resource Manager, and what can go wrong at each.

`test_matrix.py` holds this list against a recorded deployment, so that a new call can't be forgotten.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.layouts import LAYOUTS, Layout
from tests.faults.wire import KILL_AFTER, KILL_BEFORE, Fault

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
        "GET Microsoft.Authorization/permissions",
        "GET virtualNetworks",
        "GET {subscription}/resources",
        "GET skus",
        "GET locations/eastus/usages",
        "GET networkSecurityGroups/agw-nsg",
        "GET routeTables/agw-routes",
    ),
    "create_vnet": (f"GET {VNET}", f"PUT {VNET}", f"poll of PUT {VNET}"),
    "create_nsg": (f"GET {HUB}", f"GET {GATEWAY}", f"GET {NSG}", f"PUT {NSG}", f"poll of PUT {NSG}"),
    "create_subnets": (f"GET {VNET}", f"PUT {VNET}", f"poll of PUT {VNET}"),
    "create_nic": (f"GET {NIC}", f"PUT {NIC}", f"poll of PUT {NIC}"),
    "create_vm": (f"GET {VM}", f"GET {DISK}", f"PUT {VM}", f"poll of PUT {VM}"),
    "hub_round": (f"GET {HUB}",),
    "write_hub_side": (f"PUT {HUB_SIDE}", f"poll of PUT {HUB_SIDE}"),
    "write_spoke_side": (f"GET {VNET}", f"PUT {SPOKE_SIDE}"),
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
    "write_spoke_side": (f"GET {VNET}", f"DELETE {SPOKE_SIDE}"),
    "settle_spoke_sides": (f"poll of DELETE {SPOKE_SIDE}",),
    "delete_vnet": (f"GET {VNET}", f"DELETE {VNET}", f"poll of DELETE {VNET}"),
    "delete_nsg": (f"GET {NSG}", f"DELETE {NSG}", f"poll of DELETE {NSG}"),
}
_STEP_OF_WRITER = dict.fromkeys(("hub_round", "write_hub_side", "write_spoke_side", "settle_spoke_sides"), "the hub")
_STEP_OF_WRITER |= dict.fromkeys(("gateway_round", "poll_gateway"), "the gateway")

# The look before a delete is POST's and DELETE's own: it answers the caller, and nothing has begun yet.
LOOK_BEFORE_A_DELETE = frozenset(
    {f"DELETE: GET {VNET}", f"DELETE: GET {VM}", f"DELETE: GET {NSG}", "DELETE: GET Microsoft.Authorization/locks"}
)


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
    def permanent(self) -> bool:
        return self.times is None

    def at(self, call: str) -> Fault:
        return Fault(call, self.fault, self.kill, self.times)


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
    FaultKind("5xx permanently", _refused(500), times=None),
    FaultKind("reply lost", {"mode": "drop_reply"}, passes=True),
    FaultKind(KILL_BEFORE, kill=KILL_BEFORE, passes=True),
    FaultKind(KILL_AFTER, kill=KILL_AFTER, passes=True),
    FaultKind("fails later", {"mode": "fail_operation", "code": "AllocationFailed"}, writes_only=True),
    FaultKind("slow", {"mode": "slow", "seconds": 60}, passes=True, writes_only=True),
    FaultKind("never ends", {"mode": "never_end"}, writes_only=True),
)


def calls_of(matrix: dict[str, tuple[str, ...]]) -> Iterator[str]:
    for caller, calls in matrix.items():
        for call in calls:
            yield f"{caller}: {call}"


def pairs_of(matrix: dict[str, tuple[str, ...]]) -> list[tuple[str, FaultKind]]:
    """Every call with everything that can go wrong at it."""
    return [(call, kind) for call in calls_of(matrix) for kind in KINDS if fits(call, kind)]


def pairwise(matrix: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Of what may end a run: each caller with each kind, each kind with each way of calling, and every call."""
    pairs = [(call, kind) for call, kind in pairs_of(matrix) if not kind.passes]
    kinds, calls = [kind for kind in KINDS if not kind.passes], list(calls_of(matrix))
    # Each caller begins with another kind and another call of its own, so that a kind meets calls of all sorts.
    pairs.sort(key=lambda pair: (kinds.index(pair[1]) - 2 * calls.index(pair[0])) % len(kinds))
    facts = [_facts_of(call, kind) | {(call, "")} for call, kind in pairs]
    return [(pairs[chosen][0], pairs[chosen][1].name) for chosen in _cover(facts)]


def layouts_of(chosen: list[tuple[str, str]]) -> dict[tuple[str, str], Layout]:
    """In which layout the ordinary run takes each of these pairs: each caller and each kind meets both."""
    found: dict[tuple[str, str], Layout] = {}
    met: dict[tuple[str, Layout], int] = {}
    for call, kind in chosen:
        layout = min(LAYOUTS, key=lambda each: met.get((caller_of(call), each), 0) + met.get((kind, each), 0))
        found[call, kind] = layout
        for what in (caller_of(call), kind):
            met[what, layout] = met.get((what, layout), 0) + 1
    return found


def cases_of(matrix: dict[str, tuple[str, ...]], ordinary: list[tuple[str, str]]) -> pytest.MarkDecorator:
    """Every call with everything that can go wrong, in every layout; those of the ordinary run in one of them."""
    layouts = layouts_of(ordinary)
    cases = [
        pytest.param(
            call,
            kind,
            layout,
            id=f"{call} {kind.name}, {layout.name}",
            marks=[] if layouts.get((call, kind.name)) is layout else [pytest.mark.full],
        )
        for layout in LAYOUTS
        for call, kind in pairs_of(matrix)
    ]
    return pytest.mark.parametrize(("call", "kind", "layout"), cases, indirect=["layout"])


def _facts_of(call: str, kind: FaultKind) -> set[tuple[str, str]]:
    return {(caller_of(call), kind.name), (way_of(call), kind.name)}


def _cover(facts: list[set[tuple[str, str]]]) -> list[int]:
    """Places in a list such that what stands there is all that stands in it: each time the one that adds most."""
    missing, chosen = set[tuple[str, str]]().union(*facts), list[int]()
    while missing:
        chosen.append(max(range(len(facts)), key=lambda place: len(facts[place] & missing)))
        missing -= facts[chosen[-1]]
    return chosen


def shared_out(matrix: dict[str, tuple[str, ...]], run: str) -> list[tuple[str, str]]:
    """Of what `pairwise` chooses, the half for a "delete" or for a "rollback", which call the same."""
    return pairwise(matrix)[("delete", "rollback").index(run) :: 2]


def goes_of(matrix: dict[str, tuple[str, ...]], kind: FaultKind, goes: int) -> list[list[Fault]]:
    """What passes, at every call, in so many runs: of each step another call, so that an operation that nobody hears of
    and the poll of it are never in one."""
    calls_by_step: dict[str, list[str]] = {}
    for call in calls_of(matrix):
        calls_by_step.setdefault(step_of(call), []).append(call)
    runs: list[list[Fault]] = [[] for _ in range(goes)]
    for step, calls in enumerate(calls_by_step.values()):
        for place, call in enumerate(calls):
            if fits(call, kind):
                runs[(place + step) % goes].append(kind.at(call))
    return [each for each in runs if each]


def ordinary_goes(matrix: dict[str, tuple[str, ...]], kind: FaultKind, goes: int) -> set[int]:
    """Which of these runs are enough for the kind to meet each step and each way of calling."""
    runs = goes_of(matrix, kind, goes)
    facts = [{(factor(fault.call), "") for fault in run for factor in (step_of, way_of)} for run in runs]
    return set(_cover(facts))


def goes_shared_out(matrix: dict[str, tuple[str, ...]], kind: FaultKind, goes: int, run: str) -> set[int]:
    """Of these runs, those of a "delete" or of a "rollback", which call the same: in turns, and each kind begins with the
    one after the kind before it did twice."""
    first = KINDS.index(kind) // 2
    turn = ("delete", "rollback").index(run)
    return {go for place, go in enumerate(sorted(ordinary_goes(matrix, kind, goes))) if (first + place) % 2 == turn}


def fits(call: str, kind: FaultKind) -> bool:
    return way_of(call) == "write" or not kind.writes_only


def step_of(call: str) -> str:
    return _STEP_OF_WRITER.get(caller_of(call), caller_of(call))


def way_of(call: str) -> str:
    """How it is called: read, written or polled."""
    method = call.partition(": ")[2].split()[0]
    return {"GET": "read", "poll": "poll"}.get(method, "write")


def caller_of(call: str) -> str:
    return call.partition(":")[0]

"""The fault matrix: the calls that a deployment makes of Azure Resource Manager, and what can go wrong at each.

`test_matrix.py` holds this list against a recorded deployment, so that a new call can't be forgotten.
"""

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from tests.faults.layouts import LAYOUTS, Layout
from tests.faults.simulation import Simulation
from tests.faults.wire import KILL_AFTER, KILL_BEFORE, Fault

T = TypeVar("T")
SimulationAt = Callable[..., Simulation]

Matrix = dict[str, tuple[str, ...]]
"""By who makes them, calls."""

VNET, NSG, NIC = "virtualNetworks/{vnet}", "networkSecurityGroups/{nsg}", "networkInterfaces/{nic}"
VM, DISK = "virtualMachines/{vm}", "disks/{disk}"
HUB, GATEWAY = "virtualNetworks/hub-vnet", "applicationGateways/hub-agw"
HUB_SIDE, SPOKE_SIDE = f"{HUB}/virtualNetworkPeerings/{{hub side}}", f"{VNET}/virtualNetworkPeerings/{{spoke side}}"

DEPLOY: Matrix = {
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

DELETE: Matrix = {
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
# In the order of a delete: what of a spoke's, by kind and name, each of its deletes removes.
DELETES = {
    f"delete_vm: DELETE {VM}": ("virtualMachines", "vm-1"),
    f"delete_os_disk: DELETE {DISK}": ("disks", "vm-1-osdisk"),
    f"delete_nic: DELETE {NIC}": ("networkInterfaces", "vm-1-nic"),
    f"delete_vnet: DELETE {VNET}": ("virtualNetworks", "spoke-vnet-1"),
    f"delete_nsg: DELETE {NSG}": ("networkSecurityGroups", "spoke-nsg-1"),
}
MATRICES = {"deploy": DEPLOY, "delete": DELETE}
_STEP_OF_WRITER = dict.fromkeys(("hub_round", "write_hub_side", "write_spoke_side", "settle_spoke_sides"), "the hub")
_STEP_OF_WRITER |= dict.fromkeys(("gateway_round", "poll_gateway"), "the gateway")

# The look before a delete is POST's and DELETE's own: it answers the caller, and nothing has begun yet.
LOOK_BEFORE_A_DELETE = frozenset(
    {f"DELETE: GET {VNET}", f"DELETE: GET {VM}", f"DELETE: GET {NSG}", "DELETE: GET Microsoft.Authorization/locks"}
)


@dataclass(frozen=True)
class FaultKind:
    """One way in which a call goes wrong. passes: the work goes on, late.  times: how often, None for every time.
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


Met = list[tuple[str, FaultKind]]
"""Calls, and what goes wrong at each."""


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


def calls_of(matrix: Matrix) -> Iterator[str]:
    for caller, calls in matrix.items():
        for call in calls:
            yield f"{caller}: {call}"


def pairs_of(matrix: Matrix) -> Met:
    """Every call with everything that can go wrong at it."""
    return [(call, kind) for call in calls_of(matrix) for kind in KINDS if fits(call, kind)]


@dataclass(frozen=True)
class Case:
    """What may end a run ("deploy", "delete" or "rollback"), at each of these calls."""

    run: str
    calls: tuple[str, ...]
    kind: FaultKind
    layout: Layout

    def __str__(self) -> str:
        return f"{self.kind.name}, {self.layout.name}"

    def meet(self, simulation_at: SimulationAt, play: Callable[[Simulation, str, list[Fault]], None]) -> None:
        """Plays one run after the other until the fault has struck at each of the calls. A run begins where the first of those
        is made that are left; `play` is given it, and the faults at all of them."""
        left = self.calls
        while left:
            simulation, faults = simulation_at(self.run, *map(caller_of, left)), [self.kind.at(call) for call in left]
            try:
                play(simulation, simulation.take_up(*faults), faults)
            except Exception as error:
                error.add_note(f"{self.kind.name} at {', '.join(struck_of(faults))}")
                raise
            struck = struck_of(faults)
            assert struck, "the fault did not strike"
            left = tuple(call for call in left if call not in struck)


def struck_of(faults: list[Fault]) -> list[str]:
    """The calls at which these have struck."""
    return [fault.call for fault in faults if fault.struck]


@functools.cache
def ordinary() -> tuple[Case, ...]:
    """What the ordinary run takes of all that may end a run: two cases of each kind.

    Each caller meets each kind once, in a deployment or a delete: the writers are everybody's. Each kind meets each way of
    calling of both, and each of their calls meets something. Deletes and rollbacks call the same, and take turns.
    """
    kinds = [kind for kind in KINDS if not kind.passes]
    pairs = [
        # Each caller begins with another kind and another call of its own, so that a kind meets calls of all sorts.
        ((kinds.index(kind) - 2 * place) % len(kinds), name, call, kind)
        for name, matrix in MATRICES.items()
        for place, call in enumerate(calls_of(matrix))
        for kind in kinds
        if fits(call, kind)
    ]
    pairs.sort(key=lambda pair: pair[0])
    facts: list[set[tuple[str, ...]]] = [
        {(caller_of(call), kind.name), (name, way_of(call), kind.name), (name, call)} for _, name, call, kind in pairs
    ]
    chosen = {(name, call, kind.name) for _, name, call, kind in (pairs[place] for place in _cover(facts))}
    found = []
    for place, kind in enumerate(kinds):
        removal = ("delete", "rollback")[place // 2 % 2]
        for turn, (run, name) in enumerate((("deploy", "deploy"), (removal, "delete"))):
            calls = tuple(call for call in calls_of(MATRICES[name]) if (name, call, kind.name) in chosen)
            found.append(Case(run, calls, kind, LAYOUTS[(place + turn) % len(LAYOUTS)]))
    return tuple(found)


def cases_of(run: str) -> pytest.MarkDecorator:
    """Every call with everything that can go wrong, each by itself in every layout; before them those of the ordinary run."""
    cases = [pytest.param(case, case.layout, id=str(case)) for case in ordinary() if case.run == run]
    for layout in LAYOUTS:
        for call, kind in pairs_of(MATRICES.get(run, DELETE)):
            case = Case(run, (call,), kind, layout)
            cases.append(pytest.param(case, layout, id=f"{call} {case}", marks=[pytest.mark.full]))
    return pytest.mark.parametrize(("case", "layout"), cases, indirect=["layout"])


def all_or_one(cases: Iterable[T]) -> list[Any]:
    """What one run can meet: all of it, and in the full run each by itself. Parameters, each a tuple of cases."""
    every = tuple(cases)
    return [every, *(pytest.param((each,), marks=pytest.mark.full) for each in every)]


def names_of(cases: tuple[Any, ...]) -> str:
    """What a test is called that meets these."""
    return "all" if len(cases) > 1 else str(cases[0])


def _cover(facts: list[set[tuple[str, ...]]]) -> list[int]:
    """Places in a list such that what stands there is all that stands in it: each time the one that adds most."""
    missing, chosen = set[tuple[str, ...]]().union(*facts), list[int]()
    while missing:
        chosen.append(max(range(len(facts)), key=lambda place: len(facts[place] & missing)))
        missing -= facts[chosen[-1]]
    return chosen


def mixed_runs(matrix: Matrix) -> list[Met]:
    """What passes, in half as many runs as there are kinds of it: in each run two other kinds at each step, so that each kind
    meets each step; at calls, and in ways of calling, that little has met so far."""
    kinds = [kind for kind in KINDS if kind.passes]
    runs: list[Met] = [[] for _ in kinds[::2]]
    met = Counter[tuple[str, ...]]()
    for step, calls in enumerate(_calls_by_step(matrix).values()):
        for number, run in enumerate(runs):
            both = [kinds[(number + turn + step) % len(kinds)] for turn in (0, len(runs))]
            possible = [
                [(call, kind) for call, kind in zip(chosen, both, strict=True) if fits(call, kind)]
                for chosen in itertools.permutations(calls, 2)
            ]
            least = min(
                (pairs for pairs in possible if go_together(pairs)),
                key=lambda pairs: (-len(pairs), sum(met[fact] for fact in _facts(pairs))),
            )
            met.update(_facts(least))
            run += least
    return runs


def _facts(met: Met) -> list[tuple[str, ...]]:
    return [fact for call, kind in met for fact in ((call,), (way_of(call), kind.name))]


def go_together(met: Met) -> bool:
    """Whether a step can meet all of these in one run: at different calls, and the poll is of an operation that is heard of."""
    polls = any(way_of(call) == "poll" for call, _ in met)
    unheard = any(way_of(call) == "write" and kind.name in ("reply lost", KILL_AFTER) for call, kind in met)
    return len({call for call, _ in met}) == len(met) and not (polls and unheard)


def runs_of(matrix: Matrix, kind: FaultKind, count: int) -> list[Met]:
    """One kind of what passes at every call, in so many runs: of each step another call, as in `mixed_runs`."""
    runs: list[Met] = [[] for _ in range(count)]
    for step, calls in enumerate(_calls_by_step(matrix).values()):
        for place, call in enumerate(calls):
            if fits(call, kind):
                runs[(place + step) % count].append((call, kind))
    return [each for each in runs if each]


def _calls_by_step(matrix: Matrix) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for call in calls_of(matrix):
        found.setdefault(step_of(call), []).append(call)
    return found


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

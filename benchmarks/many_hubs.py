"""Several hubs and gateways: 255 spokes on three gateways, two hubs at once, 1,000 records of four hubs, POST with eight.

`--part NAME`, as often as wanted, measures only that part: `gateways`, `hubs`, `records`, `posts`. `--spokes N` (a hub, and
a gateway) and `--time-scale X` for a look at something else.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from azure.data.tables import TableClient

from benchmarks.measuring.deployments import Bench, Deployed, Document, bench, request_for
from benchmarks.measuring.journal import Journal
from benchmarks.measuring.load import Load
from benchmarks.measuring.paths import durations
from benchmarks.measuring.records import copies_of, median_seconds
from benchmarks.measuring.table import Table
from local.azure.resources import gateway_document
from shared.spoke.records import SPOKES_TABLE

# As many as a gateway has room for beside its default site.
SPOKES = 99
GATEWAYS = 3
MOST_SPOKES = 255
# A hub of its own for many spokes at once; so slow that the machine isn't the limit.
TIME_SCALE = 0.3
GATEWAYS_TIME_SCALE = 0.2
RECORDS = 1000
RECORD_HUBS = 4
# Hubs of the same request, and how often it is sent: timers read the tables, too, so the least of all counts.
POST_HUBS = (1, 2, 8)
POSTS = 7
# Ids of the next hub begin so much higher.
IDS_APART = 1000

# What ARM writes anew at every PUT.
WRITTEN_BY_ARM = ("etag", "resourceGuid")


def hub(number: int, gateways: int = 1) -> Document:
    """A hub in a subscription of its own, as HUBS has it."""
    name = "hub" if number == 0 else f"hub-{number}"
    subscription = f"5ca1ab1e-0000-4000-8000-0000000000{0xA1 + number:x}"
    return {
        "name": name,
        "subscription_id": subscription,
        "resource_group": f"{name}-rg",
        "vnet": f"{name}-vnet",
        "location": ("eastus", "westeurope", "uksouth", "westus2")[number % 4],
        "address_pool": f"10.{11 + number}.0.0/16",
        "gateways": [
            {"name": f"{name}-agw-{place}", "domain": f"{place}.{name}.example.com"} for place in range(1, gateways + 1)
        ],
    }


@contextmanager
def bench_of(hubs: list[Document], time_scale: float, **options: Any) -> Iterator[Bench]:
    """A stack with these hubs."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(hubs, file)
        file.flush()
        with bench(time_scale=time_scale, hubs=Path(file.name), **options) as stack:
            yield stack


def makespan(deployed: Iterable[Deployed]) -> float:
    """Seconds from the first POST to the last finished record."""
    ran = list(deployed)
    return max(each.completed for each in ran) - min(each.posted for each in ran)


def warm_up(stack: Bench, spoke_ids: Iterable[int]) -> None:
    """A running app has imported the SDKs, and its writers have run."""
    ids = list(spoke_ids)
    stack.deploy(ids)
    for each in ids:
        stack.remove(each)


# --- 255 spokes on three gateways of one hub ---


def on_three_gateways(spokes: int, time_scale: float) -> Table:
    """`spokes` on three gateways of one hub, each with more on it than the app has put there."""
    with bench_of([hub(0, GATEWAYS)], time_scale) as stack:
        warm_up(stack, [MOST_SPOKES])
        for gateway in gateways(stack):
            add_unmanaged(stack, gateway)
        before = {each["name"]: without_sites(each, ()) for each in gateways(stack)}
        with Load(stack.stack) as load:
            deployed = stack.deploy(range(1, spokes + 1), seconds=1500)
        journal = Journal(stack.stack.state, since=min(each.posted for each in deployed))
        made = stack.spokes()
        after = {each["name"]: without_sites(each, made) for each in gateways(stack)}
        reached = [each for each in made if reaches(stack, each) == [each["vm"]["private_ip"]]]
    table = Table(f"{spokes} spokes on {GATEWAYS} gateways of one hub at time scale {time_scale}")
    table.ratio("spokes that are not completed", sum(each["status"] != "completed" for each in made), 0)
    table.ratio("hosts that don't reach their own VM", spokes - len(reached), 0)
    table.ratio("gateways whose unmanaged configuration changed", sum(before[n] != after[n] for n in before), 0)
    puts = [len(journal.of(f"/applicationgateways/{name}")) for name in before]
    table.ratio("PUTs of a gateway, the most", max(puts), 4)
    table.ratio("operations superseded or cancelled", journal.superseded(), 0)
    bound = durations().lower_bound(spokes) * time_scale
    table.figure("makespan / lower bound", makespan(deployed) / bound)
    table.figure("makespan", makespan(deployed), "s")
    table.note("PUTs of each gateway", ", ".join(map(str, puts)))
    on_each = Counter(each["agw"]["gateway"] for each in made)
    table.note("sites on each gateway", ", ".join(str(on_each[name]) for name in before))
    table.figure("cores busy with everything", load.machine, "%")
    return table


def gateways(stack: Bench) -> list[Document]:
    """Their documents, as Azure holds them."""
    answer = stack.arm.get("/_local/resources", params={"type": "Microsoft.Network/applicationGateways"})
    answer.raise_for_status()
    found: list[Document] = answer.json()
    return found


def add_unmanaged(stack: Bench, gateway: Document) -> None:
    """What others may have on a gateway: another site, a path map, a redirect, and a property that no SDK knows."""
    properties, own = gateway["properties"], gateway["id"]
    [frontend] = properties["frontendIPConfigurations"]
    port = properties["frontendPorts"][0]
    properties["backendAddressPools"].append(
        {
            "name": "billing",
            "properties": {"backendAddresses": [{"fqdn": "billing.example.org"}], "futureField": {"a": 1}},
        }
    )
    properties.setdefault("redirectConfigurations", []).append(
        {"name": "to-www", "properties": {"redirectType": "Permanent", "targetUrl": "https://www.example.org"}}
    )
    properties["httpListeners"].append(
        {
            "name": "billing",
            "properties": {
                "frontendIPConfiguration": {"id": f"{own}/frontendIPConfigurations/{frontend['name']}"},
                "frontendPort": {"id": f"{own}/frontendPorts/{port['name']}"},
                "protocol": "Http",
                "hostName": "billing.example.org",
            },
        }
    )
    properties["requestRoutingRules"].append(
        {
            "name": "billing",
            "properties": {
                "ruleType": "Basic",
                "priority": 500,
                "httpListener": {"id": f"{own}/httpListeners/billing"},
                "redirectConfiguration": {"id": f"{own}/redirectConfigurations/to-www"},
            },
        }
    )
    shown = gateway_document.stamped(gateway_document.decorated(own, properties), gateway["etag"], "Succeeded")
    stack.arm.put("/_local/resources", json=gateway | {"properties": shown}).raise_for_status()


def without_sites(gateway: Document, spokes: Iterable[Document]) -> str:
    """A gateway's document as JSON, without the elements of these spokes' sites and what ARM writes anew."""
    clients = tuple(f"{each['client_name']}-" for each in spokes)

    def is_ours(element: Any) -> bool:
        """Whether it is an element of ours, or a reference to one."""
        if not isinstance(element, dict):
            return False
        name: str = element.get("name") or element.get("id", "").rpartition("/")[2]
        return name.startswith(clients)

    def stripped(value: Any) -> Any:
        if isinstance(value, dict):
            kept = {name: stripped(each) for name, each in value.items() if name not in WRITTEN_BY_ARM}
            return {name: each for name, each in kept.items() if each != []}
        return [stripped(each) for each in value if not is_ours(each)] if isinstance(value, list) else value

    return json.dumps(stripped(gateway), sort_keys=True)


def reaches(stack: Bench, spoke: Document) -> list[str]:
    """The addresses to which the spoke's gateway would send a visitor of its host."""
    asked = {"gateway": spoke["agw"]["gateway"], "host": spoke["agw"]["host_name"], "port": 80}
    answer = stack.arm.get("/_local/route", params=asked)
    found: list[str] = answer.json().get("addresses", []) if answer.is_success else []
    return found


# --- two hubs at once ---


def two_hubs(spokes: int, time_scale: float) -> Table:
    """As many spokes on each of two hubs as on one alone, in the same time."""
    hubs = [hub(0), hub(1)]
    first = range(1, spokes + 1)
    both = [*first, *(IDS_APART + number for number in first)]
    spans, loads = [], []
    for spoke_ids in ([*first], both):
        with bench_of(hubs, time_scale) as stack:
            warm_up(stack, (MOST_SPOKES, IDS_APART + MOST_SPOKES))
            with Load(stack.stack) as load:
                deployed = stack.deploy(spoke_ids, clients=200, seconds=1500)
            spans.append(makespan(deployed))
            loads.append(load.machine)
    table = Table(f"{spokes} spokes on each of two hubs at once at time scale {time_scale}")
    table.ratio(f"makespan / that of one hub with {spokes}", spans[1] / spans[0], 1.15)
    bound = durations().lower_bound(spokes) * time_scale
    table.figure("makespan of one hub, of two", spans[0], "s")
    table.figure("makespan of two", spans[1], "s")
    table.figure("makespan of one / lower bound", spans[0] / bound)
    table.figure("makespan of two / lower bound", spans[1] / bound)
    table.figure("cores busy with everything, one hub", loads[0], "%")
    table.figure("cores busy with everything, two hubs", loads[1], "%")
    return table


# --- 1,000 records of four hubs ---


def lists() -> Table:
    """The list of all spokes beside the same rows read without the app."""
    table = Table(f"{RECORDS:,} records of {RECORD_HUBS} hubs")
    hubs = [hub(number) for number in range(RECORD_HUBS)]
    with (
        bench_of(hubs, 0.01) as stack,
        TableClient.from_connection_string(stack.stack.endpoints["tables"], SPOKES_TABLE) as rows,
    ):
        firsts = [IDS_APART * number + 1 for number in range(RECORD_HUBS)]
        stack.deploy(firsts)
        partitions = [copies_of(rows, first, RECORDS // RECORD_HUBS) for first in firsts]
        of_kind = "RowKey ge 'spoke:' and RowKey lt 'spoke;'"

        def each_hub() -> int:
            query = f"PartitionKey eq @partition and {of_kind}"
            return sum(1 for each in partitions for _ in rows.query_entities(query, parameters={"partition": each}))

        def all_at_once() -> int:
            return sum(1 for _ in rows.query_entities(of_kind))

        with Load(stack.stack) as load:
            bare = [median_seconds(each_hub, RECORDS), median_seconds(all_at_once, RECORDS)]
            of_api = median_seconds(lambda: len(stack.spokes()), RECORDS)
    table.ratio("GET /api/spokes / the bare table query", of_api / min(bare), 3)
    table.figure("GET /api/spokes", of_api * 1000, "ms")
    table.figure("the bare queries, one a hub", bare[0] * 1000, "ms")
    table.figure("the bare query of the whole table", bare[1] * 1000, "ms")
    table.figure("cores busy with everything", load.machine, "%")
    return table


# --- POST's work ---


def posts() -> Table:
    """How often a POST asks tables and ARM before it answers, its deployment's start being lost."""
    work = {count: work_of_a_post([hub(number) for number in range(count)]) for count in POST_HUBS}
    table = Table("Calls of one POST with an Idempotency-Key, without a spoke_id")
    most, few = max(POST_HUBS), POST_HUBS[1]
    table.ratio(f"table calls, {most} hubs / {few} hubs", work[most][0] / work[few][0], 1)
    table.ratio("ARM calls, the most", max(arm for _, arm in work.values()), 0)
    for count, (tables, _) in work.items():
        table.figure(f"table calls, {count} hub{'s' if count > 1 else ''}", tables)
    return table


def work_of_a_post(hubs: list[Document]) -> tuple[int, int]:
    """`(table calls, ARM calls)` of a POST to the last of these hubs: the fewest of some, of a running app."""
    with bench_of(hubs, 1, tables_proxy=True) as stack:
        origin = httpx.URL(stack.stack.endpoints["api"]).join("/")
        lost = {"mode": "lose", "message": "start", "function": "^deploy_spoke$", "times": None}
        with httpx.Client(base_url=origin, trust_env=False) as host:
            host.post("/_local/faults", json=lost).raise_for_status()
        asked = httpx.URL(stack.stack.endpoints["tables_faults"]).join("/_local/requests")
        found: list[tuple[int, int]] = []
        for number in range(POSTS):
            httpx.delete(asked, trust_env=False).raise_for_status()
            stack.arm.delete("/_local/requests").raise_for_status()
            body = request_for(number) | {"hub": hubs[-1]["name"]}
            del body["spoke_id"]
            headers = {"Idempotency-Key": f"key-{number}"}
            stack.http.post("/spokes", json=body, headers=headers).raise_for_status()
            tables = httpx.get(asked, trust_env=False).json()
            found.append((len(tables), len(stack.arm.get("/_local/requests").json())))
        return min(each for each, _ in found[1:]), min(each for _, each in found[1:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ("posts", "records", "gateways", "hubs")
    parser.add_argument("--part", action="append", choices=parts)
    parser.add_argument("--spokes", type=int)
    parser.add_argument("--time-scale", type=float)
    given = parser.parse_args()
    measure: dict[str, Callable[[], Table]] = {
        "posts": posts,
        "records": lists,
        "gateways": lambda: on_three_gateways(given.spokes or MOST_SPOKES, given.time_scale or GATEWAYS_TIME_SCALE),
        "hubs": lambda: two_hubs(given.spokes or SPOKES, given.time_scale or TIME_SCALE),
    }
    return max(measure[part]().show() for part in given.part or parts)


if __name__ == "__main__":
    sys.exit(main())

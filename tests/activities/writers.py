"""The writers on a Durable engine in this process, and a clock that the engine, the app and the stand-in share."""

import contextlib
import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

from activities import gateway_writer, hub_writer
from activities.steps import gateway, peering
from local.azure.evaluation import route
from local.functions.durable.clock import VirtualClock
from local.functions.durable.stage import Stage
from orchestrators.write_gateway import write_gateway
from orchestrators.write_hub import write_hub
from shared import clock
from shared.data import from_data
from shared.saga.outcomes import Call, Failed, Outcome
from shared.settings import current_settings
from shared.spoke.records import GATEWAY_SITES_TABLE, SPOKES_TABLE, RunRow
from shared.tables.client import table, write_over
from shared.tables.codec import as_entity
from shared.tables.records import Records
from shared.writers.gateway.site_rows import SiteRow, request_site, site_key
from shared.writers.gateway.sites import site_of
from shared.writers.instances import writer_of
from shared.writers.peering.peering_rows import PeeringRow, peering_key
from shared.writers.writer_tables import gateway_sites, hub_peerings
from tests.activities.azure_stand_in import LocalAzure, a_plan, a_run, call_of, recorded
from tests.activities.network import Network
from tests.app import StandingTime

GATEWAY = "/applicationGateways/hub-agw$"
# In the transaction by which the gateway's writer says that its PUT is coming.
FENCE = '"phase": "sending"'

ACTIVITIES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    function.__name__: function.perform for function in (*gateway_writer.ACTIVITIES, *hub_writer.ACTIVITIES)
}


def writers_app() -> df.DFApp:
    """An app of nothing but the writers' orchestrations."""
    app = df.DFApp()
    for orchestration in (write_gateway, write_hub):
        app.orchestration_trigger(context_name="context")(orchestration)
    return app


@contextlib.contextmanager
def writer_harness(azure: LocalAzure, path: Path) -> Iterator["WriterHarness"]:
    """The writers' orchestrations on the real engine, their activities called through the harness."""
    time = Clock(azure)
    harness: WriterHarness

    def called(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return lambda payload: harness.call(name, payload)

    activities = {name: called(name) for name in ACTIVITIES}
    with clock.running_on(StandingTime(time)), Stage(writers_app(), path, activities=activities, clock=time) as stage:
        harness = WriterHarness(azure, stage, time)
        yield harness


# When a host dies at a request. Right before a request nothing else is known than right after the one before it was answered.
BEFORE_OR_AFTER = pytest.mark.parametrize("after", [pytest.param(False, id="before"), pytest.param(True, id="after")])


def each_of(requests: int) -> pytest.MarkDecorator:
    """At which request the host dies. In the ordinary run it dies at one after the other, and not only once."""
    return pytest.mark.parametrize(
        "victim", [pytest.param(number, marks=pytest.mark.full) for number in range(requests)]
    )


class KilledError(BaseException):
    """The host is gone. A BaseException: nobody's error handling may stop it."""


class Clock(VirtualClock):
    """One time for the engine, the app and the stand-in, which stands still until it is moved."""

    def __init__(self, azure: LocalAzure) -> None:
        super().__init__()
        self._azure = azure

    @property
    def moment(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.now(), dt.UTC)

    def advance(self, by: float) -> None:
        super().advance(by)
        if by > 0:
            self._azure.advance(by)

    def advance_to(self, moment: float) -> None:
        self.advance(max(moment - self.now(), 0.0))


class WriterHarness:
    """The writers, the steps that wait for them, and time, which passes for app and stand-in alike."""

    def __init__(self, azure: LocalAzure, stage: Stage, time: Clock) -> None:
        self.azure = azure
        self.stage = stage
        self.now = time
        self.calls: list[str] = []
        self.before_call: Callable[[str], None] = lambda name: None
        self.after_a_kill: Callable[[], None] | None = None
        self.runs_of_a_call = 1

    @cached_property
    def network(self) -> Network:
        return Network()

    # --- the steps of a run ---

    def run(self, number: int, **changes: Any) -> RunRow:
        return recorded(a_run(a_plan(number), **changes))

    def set_status(self, run: RunRow, status: str) -> RunRow:
        records = Records()
        found = records.run(run.deployment_id)
        assert found is not None
        return records.change_run(found, status=status)

    def step(self, run: RunRow, name: str, **given: Any) -> Outcome:
        """One call of a step that waits for a writer; the writer itself isn't started by it."""
        activity = getattr(gateway if "agw" in name else peering, name)
        outcome: Outcome = activity.perform(from_data(Call, call_of(run, name, **given)))
        return outcome

    def want_site(self, number: int) -> tuple[RunRow, Outcome]:
        run = self.run(number)
        return run, self.step(run, "update_agw", private_ip=f"10.11.{number}.4")

    def want_sites(self, numbers: Iterable[int]) -> None:
        """Requests the sites of many, without their runs."""
        key = current_settings().gateway_key
        table(GATEWAY_SITES_TABLE).write([write_over(as_entity(site_row(number), key), None) for number in numbers])

    def forget_sites(self, numbers: Iterable[int]) -> None:
        """Requests the removal of many, without their runs."""
        rows, key = {row.client: row for row in gateway_sites().everything()[1]}, current_settings().gateway_key
        going = [
            rows[f"client-{number}"].request_removal(deployment_id="delete", now=clock.timestamp())
            for number in numbers
        ]
        table(GATEWAY_SITES_TABLE).write([write_over(as_entity(row, key), row.etag) for row in going])

    # --- the writers ---

    def play(self, which: str) -> list[str]:
        """A writer on the engine from its start to its end; the names of its calls. Time goes from timer to timer."""
        self.calls = []
        writer, instance_id = writer_of(which), self.instance_id(which)
        writer.rows.writer()
        if not self.stage.exists(instance_id) or self.stage.status(instance_id).runtime_status == "Completed":
            self.stage.start(writer.orchestrator, None, instance_id)
        assert self.stage.run_to_end(instance_id).runtime_status == "Completed"
        return self.calls

    def instance_id(self, which: str) -> str:
        return writer_of(which).instance_id(1)

    def write_gateway(self) -> list[str]:
        return self.play("gateway")

    def write_hub(self) -> list[str]:
        return self.play("hub")

    def call(self, name: str, payload: dict[str, Any]) -> dict[str, Any]:
        """One call of an activity; one during which the host dies is made again when `after_a_kill` is set."""
        self.before_call(name)
        self.calls.append(name)
        try:
            return [ACTIVITIES[name](payload) for _ in range(self.runs_of_a_call)][-1]
        except KilledError:
            if self.after_a_kill is None:
                raise
            self.after_a_kill()
            return self.call(name, payload)

    def pass_time(self, seconds: float) -> None:
        self.now.advance(seconds)

    # --- what is there ---

    def site(self, number: int) -> SiteRow | None:
        return gateway_sites().read(site_key(f"client-{number}"))[0]

    def turn(self, number: int) -> PeeringRow | None:
        return hub_peerings().read(peering_key(number))[0]

    @property
    def gateway_id(self) -> str:
        return self.azure.id_of("hub-rg", "Microsoft.Network/applicationGateways", "hub-agw")

    def gateway(self) -> dict[str, Any]:
        found = self.azure.find(self.gateway_id)
        assert found is not None
        return found

    def gateway_puts(self) -> list[dict[str, Any]]:
        return [each for each in self.azure.requests("PUT") if each["path"].lower() == self.gateway_id.lower()]

    def address_of(self, host: str, port: int = 80) -> list[str]:
        answer = self.azure.client.get("/_local/route", params={"gateway": "hub-agw", "host": host, "port": port})
        found = answer.json() or {}
        addresses: list[str] = found.get("addresses") or []
        return addresses

    def reached(self, numbers: Iterable[int]) -> list[int]:
        """Those of many clients whose host names lead to their own VMs, by one look at the gateway."""
        properties = self.gateway()["properties"]
        return [
            number
            for number in numbers
            if (found := route(properties, f"client-{number}.spokes.example.com", 80))
            and found["addresses"] == [f"10.11.{number}.4"]
        ]

    def reaches(self, number: int) -> bool:
        """Whether the client's host name leads to its own VM."""
        return self.address_of(f"client-{number}.spokes.example.com") == [f"10.11.{number}.4"]


def kill() -> None:
    """The host dies."""
    raise KilledError


def kill_at(victim: int, harness: WriterHarness, *, after: bool) -> Iterator[int]:
    """The host dies once, right before one of the requests of a writer is sent, or after it was answered.

    A request that only repeats the one before it, such as a poll, doesn't count. Answers the count: the next one tells
    whether there were enough of them.
    """
    counted, network = count(), harness.network
    last = ""

    def deadly() -> None:
        nonlocal last
        previous, last = last, f"{network.present.method} {network.present.url}"
        if harness.calls and previous != last and next(counted) == victim:
            raise KilledError

    harness.after_a_kill = lambda: None
    (network.after if after else network.before)("", "", deadly, times=None)
    return counted


def kill_at_each(harness: WriterHarness, which: str, but: str) -> set[tuple[str, int, str]]:
    """Plays a writer whose host dies whenever a request was answered at which it has not died yet.

    A request is known by its activity, its number in this try of it, and what is asked for. Answers at which it died.
    `but`: how those begin at which it doesn't die. A PUT that is answered is polled; one at which it died is looked for.
    """
    network, died = harness.network, set[tuple[str, int, str]]()
    tried, requests, ended = 0, 0, False

    def deadly() -> None:
        nonlocal tried, requests
        if ended or not harness.calls:
            return
        if tried != len(harness.calls):
            tried, requests = len(harness.calls), 0
        requests += 1
        here = (harness.calls[-1], requests, f"{network.present.method} {network.present.url}")
        if here not in died and not (but and here[2].startswith(but)):
            died.add(here)
            raise KilledError

    harness.after_a_kill = lambda: None
    network.after("", "", deadly, times=None)
    harness.play(which)
    ended = True
    return died


def forget_run(run: RunRow) -> None:
    """Somebody deletes its row by hand."""
    table(SPOKES_TABLE).client.delete_entity(Records().hub_key, f"run:{run.deployment_id}")


def site_row(number: int) -> SiteRow:
    """The first row of a client."""
    plan = a_plan(number)
    site = site_of(plan, f"10.11.{number}.4", current_settings())
    made = {"client": plan.client, "made_by": plan.made_by, "deployment_id": plan.made_by}
    return request_site(None, **made, names=plan.site_names, site=site, now=clock.timestamp())


def code_of(outcome: Outcome) -> str:
    """Why a step failed."""
    assert isinstance(outcome, Failed), outcome
    return outcome.failure.code


def as_sent(document: dict[str, Any]) -> dict[str, Any]:
    """What somebody sends who changes a document that he read."""
    return {key: value for key, value in document.items() if key != "etag"}


def fail_puts_that_name(element: str, harness: WriterHarness, **fault: Any) -> None:
    """From now on the gateway takes no document with this element, and doesn't say what is wrong with it."""
    fails = partial(harness.azure.fault, method="PUT", path=GATEWAY, code="Odd", message="It can't be.", **fault)
    harness.network.before("PUT", GATEWAY, fails, body=element, times=None)

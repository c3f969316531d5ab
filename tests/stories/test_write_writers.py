"""The writers' orchestrations on a Durable engine: generations, broken activities, a host that is killed anywhere."""

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

from local.functions.durable.stage import Stage
from orchestrators.write_gateway import write_gateway
from orchestrators.write_hub import write_hub

POLL_SECONDS, BATCH = 1.0, 25
IDS = {"write_gateway": "gateway-hub-agw", "write_hub": "hub-hub-vnet"}
Activity = Callable[[dict[str, Any]], dict[str, Any]]


def app() -> df.DFApp:
    made = df.DFApp()
    for story in (write_gateway, write_hub):
        made.orchestration_trigger(context_name="context")(story)
    return made


class Gateway:
    """As much of a gateway as the story needs: a PUT takes so many polls, and so many PUTs are wanted."""

    def __init__(self, puts: int = 1, polls: int = 3) -> None:
        self.wanted, self.polls = puts, polls
        self.put: list[str] = []
        self.left = 0

    def gateway_round(self, payload: dict[str, Any]) -> dict[str, Any]:
        if self.left:
            return {"state": {"operation": {"url": "u"}, "ended": None}, "wait": 1.0}
        if len(self.put) == self.wanted:
            return {"end": True}
        self.put.append("put")
        self.left = self.polls
        return {"state": {"operation": {"url": "u"}, "ended": None}, "wait": 1.0, "round_is_over": False}

    def poll_gateway(self, payload: dict[str, Any]) -> dict[str, Any]:
        self.left = max(self.left - 1, 0)
        if self.left:
            return {"state": {}, "wait": POLL_SECONDS}
        return {"state": {"operation": None, "ended": {"state": "succeeded"}}, "wait": 0.0}

    @property
    def activities(self) -> dict[str, Activity]:
        return {"gateway_round": self.gateway_round, "poll_gateway": self.poll_gateway}


class Hub:
    """As much of a hub as the story needs: one hub side at a time, spoke sides only while it is at rest."""

    def __init__(self, spokes: int) -> None:
        self.wanted = [f"turn:{number}" for number in range(1, spokes + 1)]
        self.hub: set[str] = set()
        self.writing: str | None = None
        self.left = 0
        self.open: dict[str, int] = {}
        self.spoke: set[str] = set()
        self.handed: dict[str, Any] = {}
        self.log: list[str] = []

    def hub_round(self, payload: dict[str, Any]) -> dict[str, Any]:
        return {**self._looked(payload), "poll_seconds": POLL_SECONDS}

    def hand_over_hub(self, payload: dict[str, Any]) -> dict[str, Any]:
        self.handed = payload["handed"]
        return {"wait": 0.0}

    def _looked(self, payload: dict[str, Any]) -> dict[str, Any]:
        if payload["first"] and self.handed:
            handed, self.handed = self.handed, {}
            return {"handed": handed, "not_after": "later", "wait": 0.0}
        self.spoke |= {each["key"] for each in payload["results"]}
        waiting = [key for key in self.wanted if key not in self.spoke]
        if not waiting:
            return {"end": True}
        held = {"not_after": "later"}
        if self.writing:
            self._tick()
            return {**held, "wait": 1.0}
        free = [key for key in waiting if key not in payload["open"]]
        turns = [{"key": key, "version": 1} for key in free]
        return {
            **held,
            "hub_sides": [turn for turn in turns if turn["key"] not in self.hub][:BATCH],
            "spoke_sides": [turn for turn in turns if turn["key"] in self.hub],
            "wait": 0.0,
        }

    def _tick(self) -> None:
        self.left -= 1
        if self.left <= 0 and self.writing:
            self.hub.add(self.writing)
            self.writing = None

    def write_hub_side(self, payload: dict[str, Any]) -> dict[str, Any]:
        if self.writing:
            self._tick()
            if self.writing:
                if not payload["operation"]:
                    return {"state": "done", "begun": {"state": "again", "wait": 1.0, "refused": True}}
                return {"state": "running", "wait": 1.0}
        if payload["next"] is None:
            return {"state": "done"}
        key = payload["next"]["key"]
        if key in self.hub:
            return {"state": "done", "begun": {"state": "done"}}
        self.writing, self.left = key, 2
        self.log.append(f"hub {key}")
        return {"state": "done", "begun": {"state": "running", "operation": {"url": key}}}

    def write_spoke_side(self, payload: dict[str, Any]) -> dict[str, Any]:
        assert self.writing is None, "the hub is at rest"
        key = payload["turn"]["key"]
        if key in self.open or key in self.spoke:
            # Begun by a call whose answer was lost: it goes on by itself.
            self.open[key] = max(self.open.get(key, 0) - 1, 0)
            return {"state": "again", "wait": 1.0} if self.open[key] else {"state": "done"}
        self.open[key] = 2
        self.log.append(f"spoke {key}")
        return {"state": "running", "operation": {"url": key}}

    def settle_spoke_sides(self, payload: dict[str, Any]) -> dict[str, Any]:
        still = []
        for each in payload["open"]:
            self.open[each["key"]] = max(self.open.get(each["key"], 1) - 1, 0)
            if self.open[each["key"]]:
                still.append(each)
            else:
                self.spoke.add(each["key"])
        return {"open": still}

    @property
    def activities(self) -> dict[str, Activity]:
        return {
            name: getattr(self, name)
            for name in ("hub_round", "write_hub_side", "write_spoke_side", "settle_spoke_sides", "hand_over_hub")
        }


@pytest.fixture(scope="module")
def the_app() -> df.DFApp:
    return app()


def test_the_gateways_writer_writes_polls_and_ends(the_app: df.DFApp, tmp_path: Path) -> None:
    gateway = Gateway(puts=2, polls=50)
    with Stage(the_app, tmp_path / "s.sqlite", activities=gateway.activities) as stage:
        run = stage.start("write_gateway", None, IDS["write_gateway"])
        stage.run_to_end(run)
        assert stage.status(run).runtime_status == "Completed"
        assert len(stage.history(run)) < 120, "it has continued as new"
    assert gateway.put == ["put", "put"]


def test_hub_sides_come_one_after_the_other_and_spoke_sides_while_the_hub_rests(
    the_app: df.DFApp, tmp_path: Path
) -> None:
    hub = Hub(40)
    with Stage(the_app, tmp_path / "s.sqlite", activities=hub.activities) as stage:
        run = stage.start("write_hub", None, IDS["write_hub"])
        stage.run_to_end(run)
        assert stage.status(run).runtime_status == "Completed"
    assert len(hub.log) == 80
    assert [line for line in hub.log if line.startswith("hub")] == [f"hub turn:{number}" for number in range(1, 41)]


@pytest.mark.parametrize("name", ["gateway_round", "poll_gateway"])
def test_an_activity_that_breaks_does_not_break_the_gateways_writer(
    the_app: df.DFApp, tmp_path: Path, name: str
) -> None:
    gateway, broken = Gateway(), iter([True])
    with Stage(the_app, tmp_path / "s.sqlite", activities=breaking(gateway.activities, name, broken)) as stage:
        run = stage.start("write_gateway", None, IDS["write_gateway"])
        stage.run_to_end(run)
        assert stage.status(run).runtime_status == "Completed"
    assert gateway.put == ["put"]


@pytest.mark.parametrize("name", ["hub_round", "write_hub_side", "write_spoke_side", "settle_spoke_sides"])
def test_an_activity_that_breaks_does_not_break_the_hubs_writer(the_app: df.DFApp, tmp_path: Path, name: str) -> None:
    hub, broken = Hub(5), iter([True])
    with Stage(the_app, tmp_path / "s.sqlite", activities=breaking(hub.activities, name, broken)) as stage:
        run = stage.start("write_hub", None, IDS["write_hub"])
        stage.run_to_end(run)
        assert stage.status(run).runtime_status == "Completed"
    assert hub.spoke == set(hub.wanted)


def test_the_hubs_writer_counts_the_looks_that_fail_in_a_row(the_app: df.DFApp, tmp_path: Path) -> None:
    hub, fails, counted = Hub(1), iter([True, True, True, False, True]), []

    def look(payload: dict[str, Any]) -> dict[str, Any]:
        counted.append(payload["setbacks"])
        return {"wait": 5.0, "setback": True} if next(fails, False) else hub.hub_round(payload)

    with Stage(the_app, tmp_path / "s.sqlite", activities={**hub.activities, "hub_round": look}) as stage:
        stage.carry_out("write_hub", None, IDS["write_hub"])
    assert counted[:6] == [0, 1, 2, 3, 0, 1]
    assert hub.spoke == set(hub.wanted)


@pytest.mark.parametrize(("story", "look"), [("write_gateway", "gateway_round"), ("write_hub", "hub_round")])
def test_a_retry_after_of_days_does_not_stop_a_writer_for_days(
    the_app: df.DFApp, tmp_path: Path, story: str, look: str
) -> None:
    """Everybody waits for it, and no deadline ends it. Twenty minutes, Azure's longest, are waited out."""
    azure_stand_in: Any = Gateway() if story == "write_gateway" else Hub(1)
    throttled = iter([1200.0, 1e6])

    def round_(payload: dict[str, Any]) -> dict[str, Any]:
        if wait := next(throttled, None):
            return {"state": {}, "wait": wait, "setback": True}
        return dict(azure_stand_in.activities[look](payload))

    with Stage(the_app, tmp_path / "s.sqlite", activities={**azure_stand_in.activities, look: round_}) as stage:
        began = stage.clock.now()
        stage.carry_out(story, None, IDS[story])
        assert 1200 <= stage.clock.now() - began < 3600
    assert next(throttled, None) is None


def breaking(activities: dict[str, Activity], name: str, broken: Any) -> dict[str, Activity]:
    def breaks(payload: dict[str, Any]) -> dict[str, Any]:
        if next(broken, False):
            raise RuntimeError("the process died")
        return activities[name](payload)

    return {**activities, name: breaks}


@pytest.mark.parametrize("story", ["write_gateway", "write_hub"])
def test_a_host_that_is_killed_after_any_commit_goes_on(the_app: df.DFApp, tmp_path: Path, story: str) -> None:
    for number in itertools.count(1):
        azure_stand_in: Any = Gateway() if story == "write_gateway" else Hub(2)
        writer = IDS[story]
        with Stage(the_app, tmp_path / f"{number}.sqlite", activities=azure_stand_in.activities) as stage:
            stage.crash_after(number)
            if not stage.survive(partial(stage.carry_out, story, None, writer)):
                break
            stage.crash()
            if not stage.exists(writer):
                stage.start(story, None, writer)
            stage.run_to_end(writer)
            assert stage.status(writer).runtime_status == "Completed"
        if story == "write_gateway":
            assert len(azure_stand_in.put) == 1
        else:
            assert azure_stand_in.spoke == set(azure_stand_in.wanted)
            assert len(azure_stand_in.log) == 4
    assert number > 10

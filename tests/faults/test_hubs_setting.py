"""`HUBS` over a whole deployment: with the content of the single-hub settings nothing differs; set and taken back while
spokes live and while a deployment is under way nothing is lost."""

import json
import re
from typing import Any

import pytest

from shared.data import as_data
from shared.errors import DeploymentException
from shared.settings import at
from shared.tables.places import hub_of_run
from shared.tables.records import Records
from tests.faults.conftest import NewSimulation, SimulationAt, Use
from tests.faults.layouts import FAR, NEAR
from tests.faults.progress import progress_now
from tests.faults.simulation import Simulation
from triggers.deployments import _run
from triggers.http.queries import Filters
from triggers.spokes import _page, _view

Document = dict[str, Any]
SAME = [{"name": "first"}]
# What no two runs have alike: ids, moments, tokens, ETags.
_UNLIKE = re.compile(
    r"(deploy|delete)-client-1-\d+-[0-9a-f]{4}|\d{4}-\d\d-\d\d[T ][\d:.+Z]+|datetime\([^)]*\)|W/\S+?'"
    r"|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{8,64}\b"
)


def seen_of_a_life(simulation: Simulation) -> Document:
    """What a spoke's deployment and delete ask of Azure, write and answer, without what no two runs have alike."""
    simulation.complete = None  # that one has no tags of its caller's
    run = simulation.deploy(tags={"team": "blue"}, cloud_init="#cloud-config")
    simulation.play_out()
    simulation.check(run, "completed")
    rows = simulation.snapshot().rows
    answers = [as_data(each) for each in (_view(1), _page(Filters(), 0, 10), _run(run))]
    removal = simulation.delete()
    simulation.play_out()
    simulation.check(removal, "deleted")
    asked = [
        (each["method"], each["path"], each["request"])
        for each in simulation.azure.requests()
        if each["method"] != "GET"
    ]

    def alike(value: Any) -> Any:
        return json.loads(_UNLIKE.sub("*", json.dumps(value, sort_keys=True, default=str)))

    return {
        "rows": sorted((alike([name, *row]) for name, table in rows.items() for row in table.items()), key=json.dumps),
        "answers": alike(answers),
        "asked": sorted(map(alike, asked), key=json.dumps),
        "writers": sorted(
            each.instance_id for each in simulation.stage.instances() if "client" not in each.instance_id
        ),
    }


def test_hubs_with_the_content_of_the_single_hub_settings_change_nothing(
    new_simulation: NewSimulation, use: Use
) -> None:
    before = seen_of_a_life(new_simulation())
    use(SAME)
    now = seen_of_a_life(new_simulation())
    assert before["asked"], "bodies were compared"
    for part, found in before.items():
        unlike = [pair for pair in zip(found, now[part], strict=True) if pair[0] != pair[1]]
        assert unlike == [], part


def test_spokes_live_on_when_hubs_is_set_and_when_it_is_taken_back(deployed: tuple[Simulation, str], use: Use) -> None:
    simulation, old = deployed
    use([NEAR, FAR])
    assert _status(old) == "completed"
    new, far, removal = (
        simulation.deploy(2),
        simulation.deploy(1001, gateway="far-agw", hub="far"),
        simulation.delete(1),
    )
    simulation.play_out()
    assert [_status(run) for run in (new, far, removal)] == ["completed", "completed", "deleted"]
    use(None)
    assert _view(1001).status == "completed", "it is shown as it is"
    with pytest.raises(DeploymentException) as refused:
        simulation.delete(1001)
    assert refused.value.failure.code == "HubNotConfigured"
    assert refused.value.failure.hint
    removal = simulation.delete(2)
    simulation.play_out()
    assert _status(removal) == "deleted"
    use([NEAR, FAR])
    removal = simulation.delete(1001)
    simulation.play_out()
    assert _status(removal) == "deleted"
    simulation.assert_nothing_left(simulation.snapshot())


@pytest.mark.parametrize(
    ("activity", "order"),
    [
        pytest.param(activity, order, id=f"{which}-{activity}", marks=[] if which == ordinary else [pytest.mark.full])
        for activity, ordinary in (
            ("poll_gateway", "first"),
            ("gateway_round", "second"),
            ("write_hub_side", "first"),
            ("create_vm", "second"),
        )
        for which, order in (("first", [NEAR, FAR]), ("second", [FAR, NEAR]))
    ],
)
def test_a_deployment_goes_on_when_hubs_is_set_under_it_and_its_writers_run_under_other_ids(
    simulation_at: SimulationAt, use: Use, activity: str, order: list[Document]
) -> None:
    """The old writer may be anywhere in its work, and its hub anywhere in the list."""
    simulation = simulation_at("deploy", activity)
    run = simulation.take_up()
    use(order)
    simulation.play_out()
    assert _status(run) == "completed"
    simulation.check(run, "completed")
    if activity == "poll_gateway":  # where the most is under way; the delete meets nothing else in the other cases
        removal = simulation.delete(1)
        simulation.play_out()
        assert _status(removal) == "deleted"
        simulation.assert_nothing_left(simulation.snapshot())


def _status(run: str) -> str:
    progress = progress_now(run)
    assert progress is not None
    with at(hub_of_run(run)):
        assert Records().unfinished_runs() == []
    return str(progress["status"])

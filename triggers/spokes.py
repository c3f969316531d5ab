"""/spokes: create, list, show, delete, retry."""

from functools import partial

import azure.durable_functions as df

from shared.checks.preflight import PlanReport
from shared.data import taken_from
from shared.process.blocking import TABLES, in_arm_thread, in_tables_thread, side_by_side
from shared.saga.progress import Progress
from shared.settings import Settings, at, current_settings
from shared.spoke.records import TERMINAL, RunRow, SpokeRow
from shared.tables.places import at_spoke, former_hubs, gateway_of, hub_of_spoke_id, hubs
from shared.tables.records import Records
from shared.writers.waking import wake
from shared.writers.writer_tables import peering_statuses
from triggers import use_cases
from triggers.deployments import accepted, progress_now
from triggers.http import answers, queries
from triggers.http.requests import body_of
from triggers.http.responses import Answer
from triggers.http.wiring import Call, http_function

blueprint = df.Blueprint()

# The runs of a page are read side by side.
READERS = 8
# A spoke that was deployed anew under the look before its delete is looked at again.
LOOKS = 3

_creates = partial(
    http_function,
    blueprint,
    "POST",
    answers={200: PlanReport, 202: answers.Accepted},
    errors=(400, 409, 411, 413, 415, 422, 500, 502, 503),
    parameters=(queries.MODE, queries.IDEMPOTENCY_KEY),
    durable=True,
)
_FILTERS = (queries.STATUS, queries.CLIENT_NAME, queries.HUB, queries.GATEWAY, queries.LIMIT, queries.CONTINUATION)
_READ_ERRORS = (404, 500, 503)


@_creates("spokes", body="SpokeRequest")
async def create_spoke(call: Call) -> Answer:
    """Deploy a spoke, or with mode=plan say what would happen."""
    return await _create(call, v1=False)


@_creates("v1/create-spoke", body="V1SpokeRequest")
async def create_spoke_v1(call: Call) -> Answer:
    """Deploy a spoke, in the older form: the VM nested, the address block explicit."""
    return await _create(call, v1=True)


async def _create(call: Call, *, v1: bool) -> Answer:
    headers, params = call.request.headers, call.params
    mode = queries.one_of(params, queries.MODE)
    body = await in_tables_thread(body_of, call.request.get_body(), headers)
    if mode == "plan":
        request, hub = await in_tables_thread(use_cases.request_and_hub, body, v1)
        with at(hub):
            return Answer(200, await in_arm_thread(hub.arm_look_seconds, use_cases.plan, request))
    handle = await in_tables_thread(use_cases.deploy, body, headers.get(queries.IDEMPOTENCY_KEY.name), v1=v1)
    return await accepted(call, handle)


@http_function(blueprint, "GET", "spokes", {200: answers.SpokeList}, (400, 500, 503), _FILTERS)
async def list_spokes(call: Call) -> Answer:
    """List the spokes."""
    params = call.params
    filters = queries.filters(params)
    after, most = queries.continuation_after(params, filters), queries.limit(params)
    return Answer(200, await in_tables_thread(_page, filters, after, most))


def _page(filters: queries.Filters, after: int, most: int) -> answers.SpokeList:
    places = [hub for hub in [*hubs(), *former_hubs()] if filters.hub in (None, hub.hub_name)]
    read = side_by_side(TABLES, [partial(_spokes_of, hub, filters) for hub in places], READERS)
    found = [(spoke, hub) for spokes, hub in zip(read, places, strict=True) for spoke in spokes.result()]
    rest = sorted(((spoke, hub) for spoke, hub in found if spoke.spoke_id > after), key=lambda each: each[0].spoke_id)
    page = rest[:most]
    looks = [partial(_views_of, hub, [spoke for spoke, its in page if its is hub]) for hub in places]
    views = [view for seen in side_by_side(TABLES, looks, READERS) for view in seen.result()]
    more = queries.continuation_token(page[-1][0].spoke_id, filters) if len(rest) > len(page) else None
    return answers.SpokeList(sorted(views, key=lambda spoke: spoke.spoke_id), len(found), more)


def _spokes_of(hub: Settings, filters: queries.Filters) -> list[SpokeRow]:
    with at(hub):
        return [
            spoke
            for spoke in Records().spokes()
            if filters.status in (None, spoke.status)
            and filters.client_name in (None, spoke.client_name)
            and (filters.gateway is None or filters.gateway == gateway_of(spoke.plan, hub).hub_agw_name)
        ]


def _views_of(hub: Settings, spokes: list[SpokeRow]) -> list[answers.Spoke]:
    if not spokes:
        return []
    with at(hub):
        records = Records()
        # A spoke whose deployment has ended says all about it by itself.
        wanted = [each.deployment_id for each in spokes if not each.is_of_its_deployment or each.status not in TERMINAL]
        # One query for many: while a hundred are deployed, a hundred reads would keep the app busy with every list.
        runs: dict[str, RunRow | None] = {}
        if len(wanted) > READERS:
            runs = {run.deployment_id: run for run in records.unfinished_runs()}
        others = [each for each in wanted if each not in runs]
        read = side_by_side(TABLES, [partial(records.run, each) for each in others], READERS)
        runs |= {each: run.result() for each, run in zip(others, read, strict=True)}
        seen = peering_statuses() if any(each.status == "completed" for each in spokes) else {}
        return [
            answers.spoke_answer(spoke, runs.get(spoke.deployment_id, spoke), hub, seen.get(spoke.spoke_id))
            for spoke in spokes
        ]


@http_function(blueprint, "GET", "spokes/{spoke_id}", {200: answers.Spoke}, _READ_ERRORS)
async def get_spoke(call: Call) -> Answer:
    """Show a spoke."""
    number = queries.spoke_id(call.request.route_params)
    return Answer(200, await in_tables_thread(_view, number))


def _view(number: int) -> answers.Spoke:
    with at_spoke(number):
        spoke, run = use_cases.spoke_and_run(number)
        return answers.spoke_answer(spoke, run, current_settings(), peering_statuses(number).get(number))


@http_function(blueprint, "GET", "spokes/{spoke_id}/progress", {200: Progress}, _READ_ERRORS)
async def get_progress(call: Call) -> Answer:
    """Show how far the newest run of a spoke is."""
    number = queries.spoke_id(call.request.route_params)
    return Answer(200, await in_tables_thread(_progress, number))


def _progress(number: int) -> Progress:
    with at_spoke(number):
        _, run = use_cases.spoke_and_run(number)
        if run is None:
            raise queries.unknown_spoke(number)
        return progress_now(run)


@http_function(
    blueprint,
    "DELETE",
    "spokes/{spoke_id}",
    {202: answers.Accepted},
    (400, 404, 409, 500, 502, 503),
    (queries.FORCE,),
    durable=True,
)
async def remove_spoke(call: Call) -> Answer:
    """Delete a spoke, or cancel its deployment, or join the removal that is under way.

    A failed spoke has nothing left to delete: its record is removed at once, with status `deleted` and a null
    deployment_id.
    """
    number = queries.spoke_id(call.request.route_params)
    force = queries.flag(call.params, queries.FORCE)
    removal = await in_tables_thread(use_cases.remove, number, force=force)
    for _ in range(LOOKS):
        if not isinstance(removal, SpokeRow):
            if removal.kind == "deploy":
                await wake(call.durable, await in_tables_thread(use_cases.steps_under_way, removal))
            return await accepted(call, removal)
        with at(await in_tables_thread(hub_of_spoke_id, number)):
            kept = await in_arm_thread(current_settings().arm_look_seconds, use_cases.look_first, removal, force)
        removal = await in_tables_thread(use_cases.remove, number, force=force, looked_at=removal, kept=kept)
    raise use_cases.busy(number)


@http_function(
    blueprint, "POST", "spokes/{spoke_id}/retry", {202: answers.Accepted}, (400, 404, 409, 500, 503), durable=True
)
async def retry_spoke(call: Call) -> Answer:
    """Deploy a failed spoke again, or finish an unfinished rollback."""
    number = queries.spoke_id(call.request.route_params)
    return await accepted(call, await in_tables_thread(use_cases.retry, number))


@http_function(blueprint, "GET", "spokes/{spoke_id}/deployments", {200: answers.RunList}, _READ_ERRORS)
async def list_deployments(call: Call) -> Answer:
    """List every run of a spoke's id, newest first, also of spokes that are gone."""
    number = queries.spoke_id(call.request.route_params)
    runs = await in_tables_thread(_runs, number)
    return Answer(200, answers.RunList(number, runs, len(runs)))


def _runs(number: int) -> list[answers.Run]:
    with at_spoke(number):
        runs = Records().runs_of(number)
    if not runs:
        raise queries.unknown_spoke(number)
    return [taken_from(run, answers.Run, duration_seconds=answers.duration_seconds(run)) for run in runs]

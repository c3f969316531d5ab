"""`/_local/*`: what the stand-in offers beside ARM, for tests and for looking in. None of it is journalled.

- `GET /_local/requests?after=&method=&path=`: the journal, oldest first, a list of `n, time, method, path, query,
  api_version, request, status, headers, response, request_headers, dropped, principal, needs`; `needs` are the rights that
  the request needs, `{"action", "scope"}`, its own first; `DELETE` empties it.
- `GET /_local/resources?type=`: everything that is there, children in their parents. `PUT` plants whole documents (one
  or a list), unchecked and as they are; missing groups are made. `DELETE ?id=` takes one away with its children.
- `GET /_local/operations`: those that run.
- `GET`, `POST`, `DELETE /_local/faults`: lists, adds (one or a list), removes faults; see `local.azure.faults`.
- `GET /_local/held`: the requests that a fault of mode `hold` keeps waiting.
- `GET`, `POST /_local/clock`: `{"now", "time_scale"}`; `{"advance": seconds}` lets so many of Azure's seconds pass, at
  any time scale; `{"until": now}` lets it be that moment at least, and so does the header `x-local-clock` of a request to
  ARM, before the request is answered.
- `POST /_local/quota`: `{"subscription_id", "location", "quotas": {name: limit}, "restrictions": [{"size",
  "subscription_id", "location", "type", "reason", "remove"}]}`; names are `cores`, a family such as
  `standardBSFamily`, or one of the network provider's.
- `POST /_local/subscriptions`: `{"add": [id], "denied": [id]}`: more subscriptions, and all those in which the identity
  has no rights; `{"known", "denied"}` is answered.
- `POST /_local/limits`: `{"throttle": bool, "buckets": {name: [size, per_second]}, "nic_operations": "always" | "never"
  | "by_name", "gateway_limit": n, "page_size": n}`.
- `GET /_local/route?gateway=&host=&port=`: `{"rule", "priority", "listener", "pool", "settings", "addresses"}` of what a
  request would reach, 404 when nothing listens. `gateway` is a name or an id, `frontend` may name a frontend
  configuration, `path` chooses in a URL path map. What counts is the document that was last provisioned.
- `GET`, `PUT /_local/roles`: `{"roleDefinitions": [...], "roleAssignments": [...]}` in ARM's form, null when everything is
  allowed (`local.azure.rights`); `DELETE` puts those of the start in force again.
- `POST /_local/reset`: the starting hubs again, nothing else.
- `POST /_local/save`, `/_local/restore`: `{"name"}`; everything as it was when it was saved under that name, with an empty
  journal, as often as wanted, while the process lives. 404 when nothing was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local.azure import access, evaluation, faults, ids, rights, throttle
from local.azure.arm import Reply
from local.azure.resources import gateway_document
from local.azure.state import State
from local.azure.store import Resource


class BadRequestError(Exception):
    """What was asked for makes no sense; the text says why."""


def answer(state: State, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
    """Answer one of the calls above, within a transaction."""
    name = path.removeprefix("/_local").strip("/")
    function = _CALLS.get((method, name))
    if function is None:
        known = sorted(each for each, other in _CALLS if other == name)
        return Reply(405 if known else 404, {"error": f"no {method} {path}", "methods": known})
    try:
        with state.store.undone_on_error():
            return function(state, query, body)
    except BadRequestError as error:
        return Reply(400, {"error": str(error)})


def _number(value: Any, name: str, least: float = 0) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value < least:
        raise BadRequestError(f"{name} is a number, at least {least:g}")
    return value


def _whole(value: Any, name: str, least: int) -> int:
    if not isinstance(value, int):
        raise BadRequestError(f"{name} is a whole number")
    return int(_number(value, name, least))


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequestError(f"{name} is an object")
    return value


def _requests(state: State, query: dict[str, str], _: Any) -> Reply:
    after = query.get("after", "0")
    if not after.isdecimal():
        raise BadRequestError("after is a number")
    return Reply(200, state.journal.entries(int(after), query.get("method"), query.get("path")))


def _forget_requests(state: State, _: dict[str, str], __: Any) -> Reply:
    state.journal.clear()
    return Reply(200, {})


def _resources(state: State, query: dict[str, str], _: Any) -> Reply:
    wanted = query.get("type", "").lower()
    return Reply(200, [each for each in state.shown() if not wanted or each["type"].lower() == wanted])


def _plant(state: State, _: dict[str, str], body: Any) -> Reply:
    documents = body if isinstance(body, list) else [body]
    if not all(isinstance(each, dict) for each in documents):
        raise BadRequestError("a document, or a list of documents")
    try:
        planted = [state.plant(each) for each in documents]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRequestError(f"a document can't be planted: {error}") from None
    return Reply(200, {"planted": [each.id for each in planted]})


def _remove(state: State, query: dict[str, str], _: Any) -> Reply:
    return Reply(200 if state.remove(query.get("id", "")) else 404, {})


def _operations(state: State, _: dict[str, str], __: Any) -> Reply:
    return Reply(
        200,
        [
            {
                "id": each.id,
                "name": each.name,
                "method": each.method,
                "path": each.path,
                "target": each.target,
                "started": each.started,
                "ends": each.ends,
            }
            for each in state.arm.operations.running()
        ],
    )


def _list_faults(state: State, _: dict[str, str], __: Any) -> Reply:
    return Reply(200, state.faults.listed())


def _add_faults(state: State, _: dict[str, str], body: Any) -> Reply:
    try:
        wanted = [faults.parse(each) for each in (body if isinstance(body, list) else [body])]
    except ValueError as error:
        raise BadRequestError(str(error)) from None
    held = []
    for fault in wanted:
        for operation in state.faults.add(fault, state.arm.operations.running()):
            seconds = 60 if fault.mode == "slow" and fault.seconds is None else fault.seconds
            faults.take_hold(fault, operation, None if seconds is None else state.arm.clock.scaled(seconds))
            state.arm.operations.save(operation)
            held.append(operation.id)
    return Reply(200, {"added": len(wanted), "operations": held})


def _list_held(state: State, _: dict[str, str], __: Any) -> Reply:
    return Reply(200, [{"method": method, "path": path} for method, path in state.faults.held])


def _clear_faults(state: State, _: dict[str, str], __: Any) -> Reply:
    state.faults.clear()
    return Reply(200, {})


def _clock(state: State, _: dict[str, str], __: Any) -> Reply:
    clock = state.arm.clock
    return Reply(200, {"now": clock.now(), "time_scale": clock.time_scale})


def _advance(state: State, query: dict[str, str], body: Any) -> Reply:
    given, clock = _object(body, "the body"), state.arm.clock
    try:
        if "until" in given:
            clock.advance_to(_number(given["until"], "until"))
        else:
            clock.advance(_number(given.get("advance"), "advance"))
    except ValueError as error:
        raise BadRequestError(str(error)) from None
    state.arm.operations.settle()
    return _clock(state, query, body)


def _quota(state: State, _: dict[str, str], body: Any) -> Reply:
    body = _object(body, "the body")
    subscription = str(body.get("subscription_id", ids.SUBSCRIPTION_ID))
    location = str(body.get("location", "eastus"))
    quotas = dict(state.store.meta("quotas") or {})
    for name, limit in _object(body.get("quotas") or {}, "quotas").items():
        quotas[f"{subscription}/{location}/{name}".lower()] = _whole(limit, name, 0)
    state.store.set_meta("quotas", quotas)
    added = body.get("restrictions") or []
    if not isinstance(added, list) or not all(_is_restriction(each) for each in added):
        raise BadRequestError("restrictions is a list of objects, each with a size")
    state.store.set_meta("restrictions", [*(state.store.meta("restrictions") or []), *added])
    return Reply(200, {"quotas": quotas, "restrictions": state.store.meta("restrictions")})


def _is_restriction(item: Any) -> bool:
    texts = ("size", "subscription_id", "location", "type", "reason")
    return isinstance(item, dict) and bool(item.get("size")) and all(isinstance(item.get(n, ""), str) for n in texts)


def _limits(state: State, _: dict[str, str], body: Any) -> Reply:
    if unknown := set(_object(body, "the body")) - set(_LIMITS):
        raise BadRequestError(f"unknown: {', '.join(sorted(unknown))}")
    settings = {name: _LIMITS[name](value) for name, value in body.items()}
    if "buckets" in settings:
        settings["buckets"] = (state.store.meta("buckets") or {}) | settings["buckets"]
        state.throttle.forget()
    for name, value in settings.items():
        state.store.set_meta(name, value)
    return Reply(200, {})


def _subscriptions(state: State, _: dict[str, str], body: Any) -> Reply:
    """Adds and denies."""
    lists = {name: _object(body, "the body").get(name, []) for name in ("add", "denied")}
    if not all(isinstance(each, list) and all(isinstance(one, str) for one in each) for each in lists.values()):
        raise BadRequestError("add and denied are lists of subscription ids")
    for each in lists["add"]:
        access.add(state.arm, each)
    if "denied" in body:
        state.store.set_meta("denied_subscriptions", [each.lower() for each in lists["denied"]])
    return Reply(200, {"known": access.known(state.arm), "denied": state.store.meta("denied_subscriptions", [])})


def _throttle(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadRequestError("throttle is true or false")
    return value


def _buckets(value: Any) -> dict[str, list[float]]:
    for name, bucket in _object(value, "buckets").items():
        if name not in throttle.DEFAULTS or not isinstance(bucket, list) or len(bucket) != 2:
            raise BadRequestError(f"buckets is {{name: [size, per_second]}}, of {', '.join(throttle.DEFAULTS)}")
        for number in bucket:
            _number(number, name)
    return dict(value)


def _nic_operations(value: Any) -> str:
    if value not in ("always", "never", "by_name"):
        raise BadRequestError("nic_operations is always, never or by_name")
    return str(value)


_LIMITS: dict[str, Callable[[Any], Any]] = {
    "throttle": _throttle,
    "buckets": _buckets,
    "nic_operations": _nic_operations,
    "gateway_limit": lambda value: _whole(value, "gateway_limit", 1),
    "page_size": lambda value: _whole(value, "page_size", 1),
}


def _gateway(state: State, name: str) -> Resource | None:
    every = state.store.of_type(gateway_document.TYPE)
    found = [each for each in every if name.lower() in (each.name.lower(), each.key)]
    if len(found) > 1:
        raise BadRequestError(f"{name} is the name of several gateways: {', '.join(each.id for each in found)}")
    return found[0] if found else None


def _route(state: State, query: dict[str, str], _: Any) -> Reply:
    gateway = _gateway(state, query.get("gateway") or "hub-agw")
    if gateway is None:
        return Reply(404, {"error": f"no gateway {query.get('gateway')}"})
    properties = gateway.hidden.get("applied") or gateway.properties
    port = query.get("port", "80")
    if not port.isdecimal():
        raise BadRequestError("port is a number")
    if gateway.properties.get("operationalState") == "Stopped":
        return Reply(404, {"error": "the gateway is stopped"})
    reached = evaluation.route(
        properties, query.get("host", ""), int(port), query.get("frontend"), query.get("path", "/")
    )
    return Reply(200, reached) if reached else Reply(404, {"error": "nothing listens there"})


def _reset(state: State, _: dict[str, str], __: Any) -> Reply:
    state.reset()
    return Reply(200, {"subscription_id": ids.SUBSCRIPTION_ID})


def _named(body: Any) -> str:
    name = _object(body, "the body").get("name")
    if not isinstance(name, str) or not name:
        raise BadRequestError("name is a text")
    return name


def _save(state: State, _: dict[str, str], body: Any) -> Reply:
    state.save(_named(body))
    return Reply(200, {})


def _restore(state: State, _: dict[str, str], body: Any) -> Reply:
    name = _named(body)
    return Reply(200, {}) if state.restore(name) else Reply(404, {"error": f"nothing was saved as '{name}'"})


def _roles(state: State, _: dict[str, str], __: Any) -> Reply:
    return Reply(200, state.arm.rights.documents)


def _replace_roles(state: State, _: dict[str, str], body: Any) -> Reply:
    try:
        state.arm.rights.replace(_object(body, "the body"))
    except rights.RolesError as error:
        raise BadRequestError(str(error)) from None
    return Reply(200, {})


def _roles_of_the_start(state: State, _: dict[str, str], __: Any) -> Reply:
    state.arm.rights.replace(None)
    return Reply(200, {})


_CALLS = {
    ("GET", "requests"): _requests,
    ("DELETE", "requests"): _forget_requests,
    ("GET", "resources"): _resources,
    ("PUT", "resources"): _plant,
    ("DELETE", "resources"): _remove,
    ("GET", "operations"): _operations,
    ("GET", "faults"): _list_faults,
    ("POST", "faults"): _add_faults,
    ("GET", "held"): _list_held,
    ("DELETE", "faults"): _clear_faults,
    ("GET", "clock"): _clock,
    ("POST", "clock"): _advance,
    ("POST", "quota"): _quota,
    ("POST", "limits"): _limits,
    ("POST", "subscriptions"): _subscriptions,
    ("GET", "route"): _route,
    ("GET", "roles"): _roles,
    ("PUT", "roles"): _replace_roles,
    ("DELETE", "roles"): _roles_of_the_start,
    ("POST", "reset"): _reset,
    ("POST", "save"): _save,
    ("POST", "restore"): _restore,
}

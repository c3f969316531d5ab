"""Which address means what: from a path to the rule that answers it.

Paths are compared without letter case. A route is a pattern, the methods it knows, and a function.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from local.azure import access, catalogue, errors, ids, versions
from local.azure.arm import Arm, Call, Reply
from local.azure.ids import ResourceId
from local.azure.operations import Operation
from local.azure.resources import KINDS, locks, resource_filters, resource_group, subscription
from local.azure.resources.application_gateway import backend_health
from local.azure.resources.kind import Kind, plain_location
from local.azure.resources.network_interface import address_availability
from local.azure.resources.network_security_group import SecurityRule
from local.azure.resources.virtual_machine import instance_view
from local.azure.store import Json, Resource

Answer = Callable[[Arm, Call, re.Match[str]], Reply]

_SUB = r"/subscriptions/(?P<sub>[^/]+)"
_GROUP = _SUB + r"/resourceGroups/(?P<group>[^/]+)"


def paged(arm: Arm, call: Call, items: list[Json], top: int | None = None) -> Reply:
    """One page, with `nextLink` when there are more: the rest of the query goes along."""
    size = top or arm.page_size
    try:
        start = int(call.query.get("$skiptoken") or 0)
        if start < 0:
            raise ValueError(start)
    except ValueError:
        raise errors.by_gateway(400, "InvalidSkipToken", "The provided $skiptoken is invalid.") from None
    body: Json = {"value": items[start : start + size]}
    if start + size < len(items):
        query = {name: value for name, value in call.query.items() if name != "$skiptoken"}
        text = "&".join(f"{quote(name, safe='$')}={quote(value)}" for name, value in query.items())
        body["nextLink"] = f"https://{call.host}{quote(call.path)}?{text}&$skiptoken={start + size}"
    return Reply(200, body)


# -- subscriptions, groups, generic resources


def _subscriptions(arm: Arm, call: Call, _: re.Match[str]) -> Reply:
    found = [subscription.show(each) for each in access.readable(arm, call.principal)]
    return Reply(200, {"value": found, "count": {"type": "Total", "value": len(found)}})


def _tenants(arm: Arm, call: Call, _: re.Match[str]) -> Reply:
    tenant = {"id": f"/tenants/{ids.TENANT_ID}", "tenantId": ids.TENANT_ID, "displayName": "Local", "countryCode": "US"}
    return Reply(200, {"value": [tenant]})


def _subscription(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    return Reply(200, subscription.show(match["sub"].lower()))


def _locations(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    return Reply(200, {"value": subscription.locations(match["sub"].lower())})


def _providers(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    own = match["sub"].lower()
    return Reply(200, {"value": [subscription.provider(own, name) for name in subscription.NAMESPACES]})


def _provider(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    return Reply(200, subscription.provider(match["sub"].lower(), match["namespace"]))


def _groups(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    own = ids.subscription_id(match["sub"])
    found = [resource_group.show(each) for each in arm.store.of_type(resource_group.TYPE, own)]
    wanted = resource_filters.parsed(call.query.get("$filter", ""))
    return paged(arm, call, [each for each in found if wanted(each)])


def _group(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    group = _scope(match)
    locks.refuse(arm, call.method, group)
    if call.method == "PUT":
        return resource_group.put(arm, call, group)
    if call.method == "PATCH":
        return resource_group.patch(arm, call, group)
    if call.method == "DELETE":
        return resource_group.delete(arm, call, group)
    found = resource_group.get(arm, group)
    return Reply(204) if call.method == "HEAD" else Reply(200, resource_group.show(found))


def _scope(match: re.Match[str]) -> str:
    """The id of the group that a path names, or of its subscription where it names none."""
    group = match.groupdict().get("group")
    return ids.group_id(group, match["sub"]) if group else ids.subscription_id(match["sub"])


def _resources(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    """A list filtered by a tag doesn't show the tags ([D], [I])."""
    scope = _scope(match)
    if "group" in match.groupdict():
        resource_group.get(arm, scope)
    text = call.query.get("$filter", "")
    wanted = resource_filters.parsed(text)
    found = [
        subscription.entry(arm, each, call.query.get("$expand", ""))
        for each in arm.store.all()
        if each.type.lower() in KINDS and each.id.count("/") == 8 and each.key.startswith(ids.key(scope) + "/")
    ]
    found = [each for each in found if wanted(each)]
    if "tagname" in text.lower():
        found = [{name: value for name, value in each.items() if name != "tags"} for each in found]
    top = call.query.get("$top")
    return paged(arm, call, found, int(top) if top and top.isdecimal() else None)


# -- permissions and locks


def _check_group_of(arm: Arm, scope: str) -> None:
    """404 for what is in a group that isn't there."""
    identity = ids.parse(scope)
    if identity is not None:
        Kind.check_group(arm, identity)
    elif group := ids.group_of(scope):
        resource_group.get(arm, ids.group_id(group, ids.subscription_of(scope)))


def _permissions(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    """The caller's own, at a scope ([D] REST API, Permissions; the form for a subscription is that of the Portal)."""
    _check_group_of(arm, match["scope"])
    return paged(arm, call, arm.rights.permissions(call.principal, match["scope"]))


def _locks(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    scope = match["scope"]
    _check_group_of(arm, scope)
    return paged(arm, call, [subscription.lock(each) for each in locks.listed_at(arm, scope)])


def _lock(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    found = arm.store.get(f"{match['scope']}/providers/Microsoft.Authorization/locks/{match['name']}")
    if found is None:
        raise errors.by_gateway(404, "LockNotFound", f"The lock '{match['name']}' could not be found.")
    return Reply(200, subscription.lock(found))


# -- compute's and network's lists


def _skus(arm: Arm, call: Call, own: re.Match[str]) -> Reply:
    """The only filter is `location eq '..'`; any other is ignored."""
    match = re.search(r"location\s+eq\s+'([^']*)'", call.query.get("$filter", ""), re.IGNORECASE)
    place = plain_location(match[1]) if match else None
    return Reply(200, {"value": catalogue.skus(arm, own["sub"].lower(), place)})


def _compute_usages(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    return Reply(200, {"value": catalogue.usages(arm, match["sub"].lower(), plain_location(match["location"]))})


def _network_usages(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    place = plain_location(match["location"])
    return Reply(200, {"value": subscription.network_usages(arm, match["sub"].lower(), place)})


def _vm_sizes(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    found = catalogue.sizes_in(plain_location(match["location"]))
    return Reply(200, {"value": [subscription.vm_size(each) for each in found]})


def _images(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    return Reply(200, subscription.images(match["sub"].lower(), match["location"], match["rest"], call.query))


# -- operations


def _found_operation(arm: Arm, match: re.Match[str]) -> Operation | None:
    """The operation, where it is asked for in the subscription that it runs in."""
    found = arm.operations.find(match["operation"])
    return found if found and ids.subscription_of(found.target) == match["sub"].lower() else None


def _operation(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    operation = _found_operation(arm, match)
    if operation is None:
        raise errors.by_network("OperationNotFound", f"The operation '{match['operation']}' was not found.", 404)
    if not arm.operations.accepts(operation.id, call.raw_query):
        raise errors.by_gateway(
            403, "AuthorizationFailed", "The operation's address is signed and has to be used as it was given out."
        )
    results = match.groupdict().get("kind", "").lower() == "operationresults" or call.query.get("monitor") == "true"
    if results:
        return _results(arm, call, operation)
    headers = {}
    if operation.running:
        headers["Retry-After"] = arm.clock.retry_after(operation.retry_after)
    return Reply(200, arm.operations.poll_body(operation, _shown_target(arm, call, operation)), headers)


def _shown_target(arm: Arm, call: Call, operation: Operation) -> Json | None:
    found = arm.store.get(operation.target)
    kind = KINDS.get(found.type.lower()) if found else None
    return kind.show(arm, found, call) if kind and found else None


def _results(arm: Arm, call: Call, operation: Operation) -> Reply:
    """202 while it runs, then the resource, 204 after a network delete, 200 after a compute one."""
    if operation.running:
        return Reply(202, None, arm.operations.first_headers(operation, call.host))
    if operation.error is not None:
        raise errors.ArmError(
            409 if operation.status == "Canceled" else 400,
            str(operation.error.get("code")),
            str(operation.error.get("message")),
            details=operation.error.get("details") or [],
        )
    found = arm.store.get(operation.target)
    headers = {}
    if operation.form == "network":
        headers = arm.operations.first_headers(operation, call.host)
        headers.pop("Retry-After", None)
        headers.pop("x-ms-retry-after-ms", None)
    if operation.data.get("action") == "backendhealth" and found is not None:
        return Reply(200, backend_health(arm, found), headers)
    if operation.verb == "delete":
        return Reply(204 if operation.form == "network" else 200, None, headers)
    return Reply(200, _shown_target(arm, call, operation), headers)


def _group_operation(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    operation = _found_operation(arm, match)
    if operation is None:
        raise errors.by_gateway(404, "OperationNotFound", f"The operation '{match['operation']}' was not found.")
    return resource_group.poll(arm, call, operation)


# -- resources of a provider


def _kind(namespace: str, types: tuple[str, ...], version: str) -> Kind:
    kind = KINDS.get("/".join((namespace, *types)).lower())
    if kind is None:
        if namespace.lower() not in {each.lower() for each in subscription.NAMESPACES}:
            raise errors.by_gateway(
                404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid."
            )
        raise errors.by_gateway(
            404,
            "InvalidResourceType",
            f"The resource type could not be found in the namespace '{namespace}' for api version '{version}'.",
        )
    return kind


def _check_namespace(namespace: str) -> None:
    if namespace.lower() not in {each.lower() for each in subscription.NAMESPACES}:
        raise errors.by_gateway(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")


def _list_in_subscription(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    kind = _kind(match["namespace"], (match["type"],), call.api_version)
    return _listed(arm, call, kind, kind.list(arm, ids.subscription_id(match["sub"]), None))


def _listed(arm: Arm, call: Call, kind: Kind, found: list[Resource]) -> Reply:
    return paged(arm, call, [kind.show(arm, each, call) for each in found])


def _in_group(arm: Arm, call: Call, match: re.Match[str]) -> Reply:
    """A resource, a child, a list of either, or an action."""
    namespace, rest = match["namespace"], match["rest"].rstrip("/").split("/")
    if len(rest) % 2 == 0:
        target = ResourceId(match["sub"], match["group"], namespace, tuple(rest[::2]), tuple(rest[1::2]))
        kind = _kind(namespace, target.types, call.api_version)
        kind.check_group(arm, target)
        locks.refuse(arm, call.method, str(target))
        access.check_linked(arm, call, target)
        if call.method == "HEAD":
            kind.find(arm, target)
            return Reply(204)
        methods = {"GET": kind.get, "PUT": kind.put, "DELETE": kind.delete, "PATCH": kind.patch}
        if call.method not in methods or (call.method == "PATCH" and not kind.has_tags):
            raise method_not_allowed(call.method)
        return methods[call.method](arm, call, target)
    types, names = tuple(rest[::2]), tuple(rest[1::2])
    parent = ResourceId(match["sub"], match["group"], namespace, types[:-1], names) if names else None
    if call.method == "POST" and parent is not None:
        kind = _kind(namespace, parent.types, call.api_version)
        kind.check_group(arm, parent)
        locks.refuse(arm, call.method, str(parent))
        return kind.act(arm, call, parent, types[-1])
    if call.method != "GET":
        raise method_not_allowed(call.method)
    if parent is not None and types[-1].lower() == "checkipaddressavailability":
        vnet = _kind(namespace, parent.types, call.api_version).find(arm, parent)
        return Reply(200, address_availability(arm, vnet, call.query.get("ipaddress", "")))
    if parent is not None and types[-1].lower() == "instanceview":
        vm = _kind(namespace, parent.types, call.api_version).find(arm, parent)
        return Reply(200, instance_view(arm, vm))
    kind = _kind(namespace, types, call.api_version)
    resource_group.get(arm, _scope(match))
    if isinstance(kind, SecurityRule) and parent is not None:
        return paged(arm, call, kind.shown_list(arm, parent))
    return _listed(arm, call, kind, kind.list(arm, _scope(match), parent))


def method_not_allowed(method: str) -> errors.ArmError:
    """405, for what ARM has no such method for."""
    return errors.by_gateway(405, "MethodNotAllowed", f"The request method '{method}' is not supported here.")


_ROUTES: tuple[tuple[str, str, str, str, Answer], ...] = (
    # methods, pattern, namespace and type whose api-versions count, function
    ("GET", r"/subscriptions", "Microsoft.Resources", "subscriptions", _subscriptions),
    ("GET", r"/tenants", "Microsoft.Resources", "tenants", _tenants),
    ("GET", _SUB, "Microsoft.Resources", "subscriptions", _subscription),
    ("GET", _SUB + r"/locations", "Microsoft.Resources", "subscriptions", _locations),
    ("GET", _SUB + r"/resourceGroups", "Microsoft.Resources", "resourceGroups", _groups),
    ("GET HEAD PUT PATCH DELETE", _GROUP, "Microsoft.Resources", "resourceGroups", _group),
    ("GET", _SUB + r"/resources", "Microsoft.Resources", "resources", _resources),
    ("GET", _GROUP + r"/resources", "Microsoft.Resources", "resources", _resources),
    ("GET", _SUB + r"/operationresults/(?P<operation>[^/]+)", "Microsoft.Resources", "operations", _group_operation),
    ("GET", _SUB + r"/providers", "Microsoft.Resources", "providers", _providers),
    ("GET", _SUB + r"/providers/(?P<namespace>[^/]+)", "Microsoft.Resources", "providers", _provider),
    (
        "GET",
        r"(?P<scope>.+)/providers/Microsoft\.Authorization/permissions",
        "Microsoft.Authorization",
        "permissions",
        _permissions,
    ),
    ("GET", r"(?P<scope>.+)/providers/Microsoft\.Authorization/locks", "Microsoft.Authorization", "locks", _locks),
    (
        "GET",
        r"(?P<scope>.+)/providers/Microsoft\.Authorization/locks/(?P<name>[^/]+)",
        "Microsoft.Authorization",
        "locks",
        _lock,
    ),
    (
        "GET",
        _SUB + r"/providers/Microsoft\.Network/locations/(?P<location>[^/]+)"
        r"/(?P<kind>operations|operationResults)/(?P<operation>[^/]+)",
        "Microsoft.Network",
        "operations",
        _operation,
    ),
    (
        "GET",
        _SUB + r"/providers/Microsoft\.Compute/locations/(?P<location>[^/]+)/operations/(?P<operation>[^/]+)",
        "Microsoft.Compute",
        "operations",
        _operation,
    ),
    (
        "GET",
        _SUB + r"/providers/Microsoft\.Compute/locations/(?P<location>[^/]+)/DiskOperations/(?P<operation>[^/]+)",
        "Microsoft.Compute",
        "DiskOperations",
        _operation,
    ),
    (
        "GET",
        _SUB + r"/providers/Microsoft\.Network/locations/(?P<location>[^/]+)/usages",
        "Microsoft.Network",
        "usages",
        _network_usages,
    ),
    (
        "GET",
        _SUB + r"/providers/Microsoft\.Compute/locations/(?P<location>[^/]+)/usages",
        "Microsoft.Compute",
        "usages",
        _compute_usages,
    ),
    (
        "GET",
        _SUB + r"/providers/Microsoft\.Compute/locations/(?P<location>[^/]+)/vmSizes",
        "Microsoft.Compute",
        "vmSizes",
        _vm_sizes,
    ),
    (
        "GET",
        _SUB + r"/providers/Microsoft\.Compute/locations/(?P<location>[^/]+)/publishers(?P<rest>(/[^/]+)*)",
        "Microsoft.Compute",
        "publishers",
        _images,
    ),
    ("GET", _SUB + r"/providers/Microsoft\.Compute/skus", "Microsoft.Compute", "skus", _skus),
)
_COMPILED = [
    (set(methods.split()), re.compile(f"^{pattern}/?$", re.IGNORECASE), namespace, kind, answer)
    for methods, pattern, namespace, kind, answer in _ROUTES
]
_PROVIDER_LIST = re.compile(_SUB + r"/providers/(?P<namespace>[^/]+)/(?P<type>[^/]+)/?$", re.IGNORECASE)
_PROVIDER_GROUP = re.compile(_GROUP + r"/providers/(?P<namespace>[^/]+)/(?P<rest>.+)$", re.IGNORECASE)


def answer(arm: Arm, call: Call) -> Reply:
    """Answer a request, or raise ARM's error."""
    access.check(arm, call)
    for methods, pattern, namespace, kind, function in _COMPILED:
        match = pattern.match(call.path)
        if match is None:
            continue
        versions.check(call.api_version, namespace, kind)
        if call.method not in methods:
            raise method_not_allowed(call.method)
        return function(arm, call, match)
    path = re.sub("/{2,}", "/", call.path)  # azure-cli writes an empty parent as `//`
    match = _PROVIDER_GROUP.match(path)
    if match is not None:
        _check_namespace(match["namespace"])
        versions.check(call.api_version, match["namespace"], match["rest"].split("/")[0])
        reply = _in_group(arm, call, match)
        reply.body = versions.shown(reply.body, call.api_version)
        return reply
    match = _PROVIDER_LIST.match(call.path)
    if match is not None:
        _check_namespace(match["namespace"])
        versions.check(call.api_version, match["namespace"], match["type"])
        _kind(match["namespace"], (match["type"],), call.api_version)
        if call.method != "GET":
            raise method_not_allowed(call.method)
        reply = _list_in_subscription(arm, call, match)
        reply.body = versions.shown(reply.body, call.api_version)
        return reply
    raise _nothing_there(call.path)


def _nothing_there(path: str) -> Any:
    if not path.lower().startswith("/subscriptions/"):
        return errors.by_gateway(
            404,
            "MissingSubscription",
            "The request did not have a subscription or a valid tenant level resource provider.",
        )
    return errors.by_gateway(404, "NotFound", f"No HTTP resource was found that matches the request URI '{path}'.")

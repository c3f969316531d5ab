"""The gateway's document as raw JSON: read, compared, and edited in place. Pure.

Everything that no row of ours names goes back exactly as it was read: unknown properties, order, and also what ARM only
ever reads (`etag`, `provisioningState`), because it is accepted on a PUT and a list of what to strip would be a list of
what to break. Certificates go back by id, as GET shows them, without data. The one thing taken out of unmanaged elements is
a back-reference to an element of ours that this document removes: ARM writes those lists, and one that points nowhere
could be refused.
"""

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from shared.spoke.documents.raw import Document, listed, properties_of
from shared.spoke.plan import SiteNames

Element = dict[str, Any]

# Lists of ids by which ARM shows on an element who uses it.
BACK_REFERENCES = frozenset(
    {
        "backendHttpSettings",
        "backendHttpSettingsCollection",
        "httpListeners",
        "listeners",
        "pathRules",
        "requestRoutingRules",
        "routingRules",
        "urlPathMaps",
    }
)
# Written by ARM at every change.
_READ_ONLY = frozenset({"etag", "provisioningState", "operationalState", "resourceGuid"})


def element_named(gateway: Document, collection: str, name: str) -> Element | None:
    """An element by its name, which ARM compares without letter case."""
    folded = name.lower()
    return next((each for each in listed(gateway, collection) if str(each.get("name", "")).lower() == folded), None)


def reference(element: Element | None, name: str) -> str:
    """The id that an element refers to under this name, in lower case; empty when it refers to nothing."""
    found = properties_of(element).get(name)
    return str(found.get("id", "")).lower() if isinstance(found, dict) else ""


def element_id(gateway: Document, collection: str, name: str) -> str:
    return f"{gateway['id']}/{collection}/{name}"


def holds(live: Any, wanted: Any) -> bool:
    """Whether an element has all that we want of it; what ARM adds doesn't matter, nor does letter case."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(holds(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(holds, live, wanted))
    if isinstance(wanted, str) and isinstance(live, str):
        return live.lower() == wanted.lower()
    return bool(live == wanted) and isinstance(live, bool) == isinstance(wanted, bool)


def differences(gateway: Document, wanted: dict[str, Element]) -> list[str]:
    """`collection/name` of each wanted element that the gateway lacks or has otherwise."""
    return [
        f"{collection}/{element['name']}"
        for collection, element in wanted.items()
        if not holds(element_named(gateway, collection, element["name"]), element)
    ]


def present(gateway: Document, names: SiteNames) -> list[str]:
    """`collection/name` of the elements of these names that the gateway has."""
    return [
        f"{collection}/{name}"
        for collection, name in names.by_collection().items()
        if element_named(gateway, collection, name)
    ]


def is_whole(gateway: Document, names: SiteNames) -> bool:
    """Whether the gateway has an element of each of these names: a site comes and goes as a whole."""
    return len(present(gateway, names)) == len(names.by_collection())


def edited(gateway: Document, add: Iterable[dict[str, Element]], remove: Iterable[SiteNames]) -> Document:
    """The gateway with these sites' elements in it and those gone; a new document, everything else as it was.

    What is there as wanted stays as it is, what differs is replaced in its place, what is new comes last.
    """
    document = copy.deepcopy(gateway)
    properties = document.setdefault("properties", {})
    if gone := _keys(remove):
        for collection in {collection for collection, _ in gone} & properties.keys():
            properties[collection] = [
                each for each in listed(document, collection) if (collection, str(each["name"]).lower()) not in gone
            ]
        _drop_back_references(properties, {f"{collection}/{name}".lower() for collection, name in gone})
    places = {
        collection: {str(each["name"]).lower(): place for place, each in enumerate(listed(document, collection))}
        for collection in SiteNames("", "", "", "", "").by_collection()
    }
    for site in add:
        for collection, wanted in site.items():
            elements = properties.get(collection)
            if elements is None:
                elements = properties[collection] = []
            place = places[collection].setdefault(wanted["name"].lower(), len(elements))
            if place == len(elements):
                elements.append(wanted)
            elif not holds(elements[place], wanted):
                elements[place] = wanted
    return document


def _keys(sites: Iterable[SiteNames]) -> set[tuple[str, str]]:
    """`(collection, name)` of the elements of these sites, names in lower case."""
    return {(collection, name.lower()) for names in sites for collection, name in names.by_collection().items()}


def _drop_back_references(properties: dict[str, Any], gone: set[str]) -> None:
    for elements in properties.values():
        for element in elements if isinstance(elements, list) else []:
            own = element.get("properties") if isinstance(element, dict) else None
            for name in BACK_REFERENCES & set(own or ()):
                if own and _is_back_reference(own[name]):
                    kept = [each for each in own[name] if _tail(each["id"]) not in gone]
                    if kept:
                        own[name] = kept
                    elif own[name]:
                        del own[name]


def _is_back_reference(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, dict) and set(each) == {"id"} and isinstance(each["id"], str) for each in value
    )


def _tail(element_id: str) -> str:
    """`collection/name` of an element's id, in lower case."""
    return "/".join(element_id.lower().rstrip("/").rsplit("/", 2)[-2:])


def unmanaged_elements(gateway: Document, ours: Iterable[SiteNames]) -> Iterator[tuple[str, str, Element]]:
    """`(collection, name, element)` of each named part of the gateway that no row of ours names."""
    own = _keys(ours)
    for collection, elements in properties_of(gateway).items():
        for element in elements if isinstance(elements, list) else []:
            if isinstance(element, dict) and "name" in element:
                name = str(element["name"])
                if (collection, name.lower()) not in own:
                    yield collection, name, element


def unmanaged_users(gateway: Document, names: SiteNames, ours: Iterable[SiteNames]) -> list[str]:
    """`collection/name` of unmanaged elements that refer to an element of this site: it can't go before they do."""
    wanted = {f"{gateway['id']}/{collection}/{name}".lower() for collection, name in names.by_collection().items()}
    return [
        f"{collection}/{name}"
        for collection, name, element in unmanaged_elements(gateway, ours)
        if any(found in wanted for found in _references(properties_of(element)))
    ]


def _references(value: Any) -> Iterator[str]:
    """All ids inside an element, back-references left out, in lower case."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "id" and isinstance(part, str):
                yield part.lower()
            elif not (key in BACK_REFERENCES and _is_back_reference(part)):
                yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def elements_digest(gateway: Document, names: SiteNames) -> str:
    """A short digest of the elements of these names, as far as the gateway has them."""
    found = {
        collection: _without_read_only(element)
        for collection, name in names.by_collection().items()
        if (element := element_named(gateway, collection, name))
    }
    return _digest(found)


def unmanaged_digests(gateway: Document, ours: Iterable[SiteNames]) -> dict[str, str]:
    """A short digest of every part that isn't ours, by `collection/name` or property: what a read-back compares."""
    digests = {
        f"{collection}/{name}": _digest(_without_read_only(element))
        for collection, name, element in unmanaged_elements(gateway, ours)
    }
    for key, value in properties_of(gateway).items():
        named = isinstance(value, list) and all(isinstance(each, dict) and "name" in each for each in value)
        if not named and key not in _READ_ONLY:
            digests[f"properties.{key}"] = _digest(_without_read_only(value))
    for key, value in gateway.items():
        if key not in ("properties", "id", "name", "type", *_READ_ONLY):
            digests[key] = _digest(_without_read_only(value))
    return digests


def unmanaged_changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What was changed, added or removed by other clients, in words."""
    changes = [f"{name} changed" for name in before if name in after and before[name] != after[name]]
    changes += [f"{name} removed" for name in before if name not in after]
    changes += [f"{name} added" for name in after if name not in before]
    return sorted(changes)


def _without_read_only(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_read_only(part)
            for key, part in value.items()
            if key not in _READ_ONLY and not (key in BACK_REFERENCES and _is_back_reference(part))
        }
    if isinstance(value, list):
        return [_without_read_only(part) for part in value]
    return value


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

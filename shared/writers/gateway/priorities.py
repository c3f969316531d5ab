"""Which number each rule gets. Priorities decide alone: the lowest wins, also over a more exact listener. Pure."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass

from shared.errors import ConfigurationException, Failure
from shared.spoke.documents.raw import Document, listed, properties_of
from shared.spoke.plan import SiteNames
from shared.writers.gateway.document import Element, reference
from shared.writers.gateway.sites import Frontend, catches, frontend_key, gateway_in_command, hosts_of

NO_CEILING = 20001
HIGHEST = 20000
FIRST_MULTI_SITE = 19000
FIRST_BASIC = 19500
# So many numbers below the rules that are moved up are as good as all.
ENOUGH_ROOM = 100


@dataclass(frozen=True)
class Ceiling:
    """Our rules' numbers lie below `number`; `rule` is the unmanaged rule that sets it, None when none does."""

    number: int = NO_CEILING
    rule: str | None = None


def unmanaged_rules(gateway: Document, ours: Iterable[SiteNames]) -> list[Element]:
    """The rules that no row of ours names."""
    own = {names.rule.lower() for names in ours}
    return [rule for rule in listed(gateway, "requestRoutingRules") if str(rule["name"]).lower() not in own]


def priority_of(rule: Element) -> int | None:
    number = properties_of(rule).get("priority")
    return number if isinstance(number, int) else None


def ceiling_for(gateway: Document, unmanaged: list[Element], host_name: str, frontend: Frontend) -> Ceiling:
    """The lowest number of an unmanaged rule that would take this host's requests before ours."""
    catching = _catching(gateway, unmanaged, host_name, frontend)
    return catching[0] if catching else Ceiling()


def next_priority(ceiling: Ceiling, taken: set[int]) -> int | None:
    """The largest number below the ceiling that is free."""
    return next((number for number in range(ceiling.number - 1, 0, -1) if number not in taken), None)


def free_priorities(ceiling: Ceiling, taken: set[int]) -> int:
    """How many numbers below the ceiling are free."""
    below = ceiling.number - 1
    return below - sum(1 for number in taken if 1 <= number <= below)


def no_priority_left(
    gateway: Document, unmanaged: list[Element], taken: set[int], host_name: str, frontend: Frontend
) -> Failure:
    """What an operator has to do when no number is free below the rules that catch a host. taken: by any rule."""
    catching = _catching(gateway, unmanaged, host_name, frontend)
    ceiling = catching[0] if catching else Ceiling()
    message = f"No priority is free below {ceiling.number if ceiling.rule else HIGHEST}"
    if ceiling.rule:
        message += f", the priority of the gateway's rule {ceiling.rule}, which catches all that comes after it"
    moves = _moves(catching, taken)
    commands = " && ".join(f"{_command(gateway, rule)} --priority {number}" for rule, number in moves)
    if not moves:
        hint = "Remove rules from the gateway: there is no free number to which that rule could be moved."
    elif len(moves) == 1:
        hint = f"Give that rule a higher number: `{commands}`."
    else:
        hint = f"Give the rules that catch this host higher numbers, the last one first, so that they keep their order: `{commands}`."
    return Failure(
        ConfigurationException,
        "NoPriorityLeft",
        f"{message}.",
        hint,
        {"rule": ceiling.rule, "ceiling": ceiling.number},
    )


def _catching(gateway: Document, unmanaged: Iterable[Element], host_name: str, frontend: Frontend) -> list[Ceiling]:
    """The unmanaged rules that would take this host's requests, in the order in which the gateway asks them."""
    listeners = _listeners_by_id(gateway)
    found = []
    for rule in unmanaged:
        number, listener = priority_of(rule), _listener(rule, listeners)
        if number is not None and listener and frontend_key(listener) == frontend.key and catches(listener, host_name):
            found.append(Ceiling(number, str(rule["name"])))
    return sorted(found, key=lambda ceiling: ceiling.number)


def _moves(catching: list[Ceiling], taken: set[int]) -> list[tuple[str, int]]:
    """`(rule, free number)` of the rules to move up, in the order of the moves: as few as leave enough room below them,
    else those that leave most. They keep their order among each other and before those that stay."""
    best: list[tuple[str, int]] = []
    most = 0
    for count in range(1, len(catching) + 1):
        moved = catching[:count]
        upper = catching[count].number if count < len(catching) else NO_CEILING
        free = [number for number in range(upper - 1, moved[0].number, -1) if number not in taken][:count]
        if len(free) < count:
            continue
        staying = taken - {each.number for each in moved}
        room = free_priorities(Ceiling(free[-1]), staying)
        if room > most:
            most, best = room, [(str(each.rule), number) for each, number in zip(reversed(moved), free, strict=True)]
        if most >= ENOUGH_ROOM:
            break
    return best


def _command(gateway: Document, rule: str) -> str:
    return f"az network application-gateway rule update {gateway_in_command(gateway)} --name {rule}"


def no_priority_beside_others(gateway: Document, unmanaged: Iterable[Element]) -> Failure | None:
    """The rules without a number beside others that have one: Azure accepts no document with both."""
    lacking = [each for each in unmanaged if priority_of(each) is None]
    if not lacking:
        return None
    rules, listeners = listed(gateway, "requestRoutingRules"), _listeners_by_id(gateway)
    taken = {number for rule in rules if (number := priority_of(rule)) is not None}
    lacking.sort(key=lambda rule: bool(hosts_of(_listener(rule, listeners))))  # what catches all gets the last numbers
    numbers = {}
    for rule in lacking:
        number = _free_number_for(rule, rules, listeners, taken)
        taken.add(number)
        numbers[str(rule.get("name"))] = number
    names = ", ".join(numbers)
    if len(lacking) == 1:
        lack = f"rule {names} of the Application Gateway {gateway.get('name')} has"
        hint = f"Give it one: `{_command(gateway, names)} --priority {numbers[names]}`."
    else:
        lack = f"rules {names} of the Application Gateway {gateway.get('name')} have"
        places = [str(rule.get("name")) for rule in rules]
        changes = [f"requestRoutingRules[{places.index(name)}].priority={number}" for name, number in numbers.items()]
        command = f"az network application-gateway update --ids {gateway.get('id')} --set {' '.join(changes)}"
        hint = f"Give them one in one change: `{command}`."
    message, details = f"The {lack} no priority, others have one.", {"rule": lacking[0].get("name")}
    return Failure(ConfigurationException, "RuleWithoutPriority", message, hint, details)


def _free_number_for(rule: Element, rules: list[Element], listeners: dict[str, Element], taken: set[int]) -> int:
    """The largest free number for a rule before those that would catch its hosts; the largest of all when there is none."""
    own, below = _listener(rule, listeners), NO_CEILING
    for other in rules:
        number, listener = priority_of(other), _listener(other, listeners)
        if number is None or listener is None or own is None or frontend_key(listener) != frontend_key(own):
            continue
        if any(catches(listener, host) for host in hosts_of(own)):
            below = min(below, number)
    return next_priority(Ceiling(below), taken) or next_priority(Ceiling(), taken) or HIGHEST


def with_all_numbered(gateway: Document) -> Document:
    """The gateway with a number for each rule when none has one, because ARM wants all or none; else as it is.

    In their present order of evaluation: multi-site listeners from 19000, basic ones from 19500, the last one 20000.
    """
    rules = listed(gateway, "requestRoutingRules")
    if not rules or any(priority_of(rule) is not None for rule in rules):
        return gateway
    document = copy.deepcopy(gateway)
    listeners = _listeners_by_id(document)
    rules = listed(document, "requestRoutingRules")
    multi_site = [rule for rule in rules if hosts_of(_listener(rule, listeners))]
    basic = [rule for rule in rules if not hosts_of(_listener(rule, listeners))]
    for first, group in ((FIRST_MULTI_SITE, multi_site), (FIRST_BASIC, basic)):
        for number, rule in enumerate(group, start=first):
            rule.setdefault("properties", {})["priority"] = number
    (multi_site + basic)[-1]["properties"]["priority"] = HIGHEST
    return document


def _listener(rule: Element, listeners: dict[str, Element]) -> Element | None:
    return listeners.get(reference(rule, "httpListener"))


def _listeners_by_id(gateway: Document) -> dict[str, Element]:
    return {
        f"{gateway.get('id')}/httpListeners/{listener['name']}".lower(): listener
        for listener in listed(gateway, "httpListeners")
    }

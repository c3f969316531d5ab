"""Which number each rule gets. Priorities decide alone: the lowest wins, also over a more exact listener. Pure."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass

from shared.errors import Failure
from shared.writers.gateway.document import Document, Element, elements_of, inner, reference
from shared.writers.gateway.rows import SiteNames
from shared.writers.gateway.sites import Frontend, catches, hosts_of, listens_on

NO_CEILING = 20001
HIGHEST = 20000
FIRST_MULTI_SITE = 19000
FIRST_BASIC = 19500


@dataclass(frozen=True)
class Ceiling:
    """Our rules' numbers lie below `number`; `rule` is the foreign rule that sets it, None when none does."""

    number: int = NO_CEILING
    rule: str | None = None


def unmanaged_rules(gateway: Document, ours: Iterable[SiteNames]) -> list[Element]:
    """The rules that no row of ours names."""
    own = {names.rule.lower() for names in ours}
    return [rule for rule in elements_of(gateway, "requestRoutingRules") if str(rule["name"]).lower() not in own]


def priority_of(rule: Element) -> int | None:
    number = inner(rule).get("priority")
    return number if isinstance(number, int) else None


def ceiling_for(gateway: Document, foreign: list[Element], host_name: str, frontend: Frontend) -> Ceiling:
    """The lowest number of a foreign rule that would take this host's requests before ours."""
    listeners = _listeners_by_id(gateway)
    lowest = Ceiling()
    for rule in foreign:
        number, listener = priority_of(rule), listeners.get(reference(rule, "httpListener"))
        if number is None or listener is None or number >= lowest.number:
            continue
        if listens_on(listener, frontend) and catches(listener, host_name):
            lowest = Ceiling(number, str(rule["name"]))
    return lowest


def next_priority(ceiling: Ceiling, taken: set[int]) -> int | None:
    """The largest number below the ceiling that nobody has."""
    return next((number for number in range(ceiling.number - 1, 0, -1) if number not in taken), None)


def free_priorities(ceiling: Ceiling, taken: set[int]) -> int:
    """How many numbers below the ceiling nobody has."""
    below = ceiling.number - 1
    return below - sum(1 for number in taken if 1 <= number <= below)


def no_priority_left(gateway: Document, ceiling: Ceiling) -> Failure:
    """What an operator has to do when no number is free below a foreign rule's."""
    return Failure(
        "ConfigurationException",
        "NoPriorityLeft",
        f"No priority is free below {ceiling.number - 1 if ceiling.rule is None else ceiling.number}"
        + (
            f", the priority of the gateway's rule {ceiling.rule}, which catches all that comes after it."
            if ceiling.rule
            else "."
        ),
        f"Give that rule a higher number: {_command(gateway, ceiling.rule)}"
        if ceiling.rule
        else "Remove rules that nobody needs.",
        {"rule": ceiling.rule, "ceiling": ceiling.number},
    )


def _command(gateway: Document, rule: str) -> str:
    parts = str(gateway.get("id", "")).split("/")
    group = parts[4] if len(parts) > 4 else "<resource group>"
    return (
        f"az network application-gateway rule update --resource-group {group} --gateway-name {gateway.get('name')} "
        f"--name {rule} --priority {HIGHEST}"
    )


def no_priority_beside_others(gateway: Document, foreign: Iterable[Element]) -> Failure | None:
    """The rule without a number beside others that have one: no document with both is accepted, whoever sends it."""
    rule = next((each for each in foreign if priority_of(each) is None), None)
    if rule is None:
        return None
    return Failure(
        "ConfigurationException",
        "RuleWithoutPriority",
        f"The rule {rule.get('name')} of the Application Gateway {gateway.get('name')} has no priority, others have one.",
        f"Give it one: {_command(gateway, str(rule.get('name')))}",
        {"rule": rule.get("name")},
    )


def with_all_numbered(gateway: Document) -> Document:
    """The gateway with a number for each rule when none has one, because ARM wants all or none; else as it is.

    In their present order of evaluation: multi-site listeners from 19000, basic ones from 19500, the last one 20000.
    """
    rules = elements_of(gateway, "requestRoutingRules")
    if not rules or any(priority_of(rule) is not None for rule in rules):
        return gateway
    document = copy.deepcopy(gateway)
    listeners = _listeners_by_id(document)
    multi_site: list[Element] = []
    basic: list[Element] = []
    for rule in elements_of(document, "requestRoutingRules"):
        listener = listeners.get(reference(rule, "httpListener"))
        (multi_site if listener and hosts_of(listener) else basic).append(rule)
    for first, group in ((FIRST_MULTI_SITE, multi_site), (FIRST_BASIC, basic)):
        for number, rule in enumerate(group, start=first):
            rule.setdefault("properties", {})["priority"] = number
    (multi_site + basic)[-1]["properties"]["priority"] = HIGHEST
    return document


def _listeners_by_id(gateway: Document) -> dict[str, Element]:
    return {
        f"{gateway.get('id')}/httpListeners/{listener['name']}".lower(): listener
        for listener in elements_of(gateway, "httpListeners")
    }

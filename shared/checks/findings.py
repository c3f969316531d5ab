"""What a check finds, and how all findings become one failure. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from shared.errors import ConfigurationException, Failure, HubSpokeException, so_many

ERROR, WARNING, OK = "error", "warning", "ok"

# The order in which findings are reported, and the names under which `mode=plan` lists them.
CHECKS = (
    "settings",
    "credential",
    "permissions",
    "hub_vnet",
    "gateway",
    "gateway_capacity",
    "hub_peerings",
    "locks",
    "address_block",
    "names",
    "host_name",
    "vm_size",
    "quota",
)


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    check: one of `CHECKS`.  severity: `error` stops the deployment, `warning` goes along with its result.
    error: the public class of the failure that it makes.  resource: the id of what it is about.
    """

    check: str
    severity: str
    code: str
    message: str
    hint: str | None = None
    error: type[HubSpokeException] = ConfigurationException
    resource: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def stops(self) -> bool:
        return self.severity == ERROR

    def as_data(self) -> dict[str, Any]:
        """The finding as callers see it in `error.details.findings`."""
        always = {name: getattr(self, name) for name in ("check", "severity", "code", "message", "hint")}
        optional = {"resource": self.resource, "details": self.details}
        return {**always, **{name: value for name, value in optional.items() if value}}


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Errors before warnings, each in the order of `CHECKS`; repetitions are dropped."""
    distinct = {(each.check, each.severity, each.code, each.message, each.hint): each for each in findings}
    return sorted(distinct.values(), key=lambda finding: (not finding.stops, CHECKS.index(finding.check)))


def failure_from(findings: Iterable[Finding]) -> Failure | None:
    """The failure that all findings together make, told by the first error; None when none of them is an error."""
    ordered = in_order(findings)
    errors = [finding for finding in ordered if finding.stops]
    if not errors:
        return None
    first, more = errors[0], len(errors) - 1
    message = first.message
    if more:
        message = f"{message.rstrip('.')} (and {so_many(more, 'more finding')})"
    details: dict[str, Any] = {"findings": [finding.as_data() for finding in ordered]}
    if first.resource:
        details["resource"] = first.resource
    return Failure(first.error, first.code, message, first.hint, details)


def results_of(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Every check with its result, `ok`, `warning` or `error`, and what it found."""
    ordered = in_order(findings)
    results: list[dict[str, Any]] = []
    for check in CHECKS:
        own = [finding for finding in ordered if finding.check == check]
        result = ERROR if any(finding.stops for finding in own) else WARNING if own else OK
        results.append({"check": check, "result": result, "findings": [finding.as_data() for finding in own]})
    return results


def warnings_in(findings: Iterable[Finding]) -> list[str]:
    """The sentences of the findings that don't stop the deployment."""
    return [finding.message for finding in in_order(findings) if not finding.stops]

"""VM sizes: is this one offered here, can our image boot on it, and is there quota left for it. Pure."""

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.checks.findings import ERROR, Finding
from shared.checks.subjects.names import earlier_deployments
from shared.errors import AzureResourceException, ValidationException
from shared.spoke.documents.raw import Document
from shared.spoke.inventory import made_by
from shared.spoke.plan import SpokePlan
from shared.spoke.records import RunRow
from shared.spoke.resource_ids import group_of, name_of

_NEAREST = 3


@dataclass(frozen=True)
class Size:
    """A VM size as one region offers it. blocked_by: the reason of a restriction of type Location (one of type Zone
    doesn't matter to VMs without zones)."""

    name: str
    family: str
    vcpus: int
    memory_gb: float
    architecture: str
    generations: tuple[str, ...]
    trusted_launch: bool
    blocked_by: str | None

    @property
    def suits_the_image(self) -> bool:
        return self.architecture.lower() == "x64" and "V2" in self.generations


def sizes_in(location: str, skus: Iterable[Document]) -> tuple[Size, ...]:
    """The VM sizes of a region, from Resource SKUs (whose only filter is the location)."""
    return tuple(
        _size(location, sku)
        for sku in skus
        if str(sku.get("resourceType", "")).lower() == "virtualmachines"
        and location.lower() in [str(name).lower() for name in sku.get("locations") or [location]]
    )


def _size(location: str, sku: Document) -> Size:
    able = {str(entry.get("name")).lower(): str(entry.get("value")) for entry in sku.get("capabilities") or []}
    return Size(
        name=str(sku["name"]),
        family=str(sku.get("family", "")),
        vcpus=int(_number(able.get("vcpus"))),
        memory_gb=_number(able.get("memorygb")),
        architecture=able.get("cpuarchitecturetype", "x64"),
        generations=tuple(part.strip().upper() for part in able.get("hypervgenerations", "V1").split(",")),
        trusted_launch=able.get("trustedlaunchdisabled", "False").lower() != "true",
        blocked_by=_blocked_by(location, sku.get("restrictions") or []),
    )


def _number(text: str | None) -> float:
    """A capability's value; 0 for what is no number, which then limits nothing."""
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value >= 0 else 0.0


def _blocked_by(location: str, restrictions: Iterable[Document]) -> str | None:
    for restriction in restrictions:
        if str(restriction.get("type", "")).lower() != "location":
            continue
        named = (restriction.get("restrictionInfo") or {}).get("locations") or restriction.get("values") or [location]
        if location.lower() in [str(name).lower() for name in named]:
            return str(restriction.get("reasonCode") or "restricted")
    return None


def size_named(name: str, sizes: Iterable[Size]) -> Size | None:
    """The size of this name, whatever its letter case."""
    return next((size for size in sizes if size.name.lower() == name.lower()), None)


def security_type(size: Size | None) -> str:
    """`TrustedLaunch` where the size allows it, else `Standard`."""
    return "TrustedLaunch" if size and size.suits_the_image and size.trusted_launch else "Standard"


def size_findings(plan: SpokePlan, sizes: Sequence[Size]) -> list[Finding]:
    """The size is offered in the region, not blocked there, x64 and of Hyper-V generation 2."""
    size = size_named(plan.vm_size, sizes)
    if size is None:
        near = _offer("Sizes of a similar name", _alike(plan.vm_size, sizes))
        return [_refused("VmSizeUnknown", f"VM size {plan.vm_size} is not offered in {plan.location}", near)]
    near = _offer("Sizes nearest to it that can be had", _neighbours(size, sizes))
    flaws = (
        (size.blocked_by, "SkuNotAvailable", f"can't be used in {plan.location}: {size.blocked_by}"),
        (size.architecture.lower() != "x64", "VmSizeArchitecture", f"has {size.architecture} processors, not x64"),
        ("V2" not in size.generations, "VmSizeGeneration", "can't boot Hyper-V generation 2 images"),
    )
    return [_refused(code, f"VM size {size.name} {what}", near) for has_it, code, what in flaws if has_it]


def _refused(code: str, message: str, hint: str) -> Finding:
    return Finding("vm_size", ERROR, code, message, hint, ValidationException, details={"field": "vm_size"})


def _offer(what: str, sizes: Sequence[Size]) -> str:
    names = ", ".join(size.name for size in sizes)
    return f"{what}: {names}." if names else "`az vm list-skus --location <location>` shows what is offered."


def _usable(sizes: Iterable[Size]) -> list[Size]:
    return [size for size in sizes if size.suits_the_image and not size.blocked_by]


def _alike(name: str, sizes: Iterable[Size]) -> list[Size]:
    by_name = {size.name.lower(): size for size in _usable(sizes)}
    near = difflib.get_close_matches(name.lower(), by_name, n=_NEAREST, cutoff=0.5)
    if near:
        return [by_name[found] for found in near]
    return sorted(by_name.values(), key=lambda size: (size.vcpus, size.memory_gb, size.name))[:_NEAREST]


def _neighbours(wanted: Size, sizes: Iterable[Size]) -> list[Size]:
    def distance(size: Size) -> tuple[float, float, float, str]:
        likeness = difflib.SequenceMatcher(None, size.name.lower(), wanted.name.lower()).ratio()
        return abs(size.vcpus - wanted.vcpus), abs(size.memory_gb - wanted.memory_gb), -likeness, size.name

    return sorted((size for size in _usable(sizes) if size.name != wanted.name), key=distance)[:_NEAREST]


def quota_findings(
    plan: SpokePlan,
    sizes: Sequence[Size],
    usages: Iterable[Document],
    runs: Iterable[RunRow],
    vms: Sequence[Document],
) -> list[Finding]:
    """vCPUs left for the region and for the size's family; the tighter one first when both are exceeded.

    runs: ours that have not ended. Those that began before this one and whose VM isn't there yet count as used, so
    that of two runs for the last vCPUs exactly one goes on.  vms: what the groups of these runs hold (`id`, `tags`).
    """
    size = size_named(plan.vm_size, sizes)
    if size is None:
        return []
    there = {_place_of(str(vm["id"])): vm for vm in vms if "/virtualmachines/" in str(vm.get("id", "")).lower()}
    own = there.get(_place_in(plan))
    if own is not None and made_by(plan.made_by)(own):
        return []
    coming = [
        other
        for run in earlier_deployments(plan, runs)
        if run.plan.location == plan.location and _place_in(run.plan) not in there
        if (other := size_named(run.plan.vm_size, sizes))
    ]
    exceeded: list[tuple[int, Finding]] = []
    for usage in usages:
        name = str((usage.get("name") or {}).get("value", "")).lower()
        if name not in ("cores", size.family.lower()):
            continue
        used, limit = int(usage.get("currentValue", 0)), int(usage.get("limit", 0))
        pending = sum(other.vcpus for other in coming if name in ("cores", other.family.lower()))
        left = limit - used - pending
        if left < size.vcpus:
            exceeded.append((left, _over(plan, size, usage, used, limit, pending)))
    return [finding for _, finding in sorted(exceeded, key=lambda entry: entry[0])]


def _place_of(vm_id: str) -> tuple[str, str]:
    """Group and name of a VM, in lower case."""
    return name_of(group_of(vm_id) or "").lower(), name_of(vm_id).lower()


def _place_in(plan: SpokePlan) -> tuple[str, str]:
    return plan.resource_group.lower(), plan.vm_name.lower()


def _over(plan: SpokePlan, size: Size, usage: Document, used: int, limit: int, pending: int) -> Finding:
    also = f", {pending} more are taken by deployments under way" if pending else ""
    named = usage.get("name") or {}
    quota = str(named.get("localizedValue") or named.get("value"))
    return Finding(
        "quota",
        ERROR,
        "QuotaExceeded",
        f"Quota exceeded for {plan.vm_size} in {plan.location}: {used} of {limit} vCPUs used{also}",
        f"{size.vcpus} vCPUs are needed of the quota {quota}: ask for more (`az vm list-usage --location "
        f"{plan.location}`), delete unused VMs, or choose another vm_size.",
        AzureResourceException,
        details={"quota": quota, "used": used, "limit": limit, "needed": size.vcpus, "under_way": pending},
    )

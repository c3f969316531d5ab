"""VM sizes and quota, judged from what Compute lists."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.checks.findings import failure_from
from shared.checks.subjects.sizes import Size, quota_findings, security_type, size_findings, size_named, sizes_in
from shared.spoke.plan import our_tags
from shared.spoke.records import RunRow
from tests.activities.azure_stand_in import a_plan, a_run

PLAN = a_plan(1)
B2S = Size("Standard_B2s", "standardBSFamily", 2, 4.0, "x64", ("V1", "V2"), True, None)
B4MS = Size("Standard_B4ms", "standardBSFamily", 4, 16.0, "x64", ("V1", "V2"), True, None)
D2S = Size("Standard_D2s_v5", "standardDSv5Family", 2, 8.0, "x64", ("V1", "V2"), True, None)
ARM64 = Size("Standard_B2pls_v2", "standardBpsv2Family", 2, 4.0, "Arm64", ("V2",), False, None)
OLD = Size("Standard_A1_v2", "standardAv2Family", 1, 2.0, "x64", ("V1",), False, None)
SIZES = (B2S, B4MS, D2S, ARM64, OLD)


def sku(**changes: Any) -> dict[str, Any]:
    capabilities = {"vCPUs": "2", "MemoryGB": "4", "HyperVGenerations": "V1,V2", "CpuArchitectureType": "x64"}
    return {
        "resourceType": "virtualMachines",
        "name": "Standard_B2s",
        "family": "standardBSFamily",
        "locations": ["EastUS"],
        "restrictions": [],
        "capabilities": [{"name": name, "value": value} for name, value in capabilities.items()],
        **changes,
    }


def restriction(kind: str, *locations: str) -> dict[str, Any]:
    return {
        "type": kind,
        "values": list(locations),
        "restrictionInfo": {"locations": list(locations)},
        "reasonCode": "NotAvailableForSubscription",
    }


def usage(name: str, used: int, limit: int) -> dict[str, Any]:
    return {"name": {"value": name, "localizedValue": name.upper()}, "currentValue": used, "limit": limit}


def vm(name: str, **more: Any) -> dict[str, Any]:
    return {"id": f"/subscriptions/s/resourceGroups/HUB-RG/providers/Microsoft.Compute/virtualMachines/{name}", **more}


# --- the catalogue ---


def test_a_size_is_read_as_azure_lists_it() -> None:
    assert sizes_in("eastus", [sku(), sku(resourceType="disks"), sku(locations=["westus"])]) == (B2S,)


@pytest.mark.parametrize(
    ("given_restriction", "blocked"),
    [
        (restriction("Location", "eastus"), "NotAvailableForSubscription"),
        (restriction("Location", "EastUS"), "NotAvailableForSubscription"),
        (restriction("Location", "westus"), None),
        (restriction("Zone", "eastus"), None),
    ],
)
def test_only_a_restriction_of_the_location_blocks(given_restriction: dict[str, Any], blocked: str | None) -> None:
    assert sizes_in("eastus", [sku(restrictions=[given_restriction])])[0].blocked_by == blocked


@pytest.mark.parametrize(("disabled", "kind"), [("True", "Standard"), ("False", "TrustedLaunch")])
def test_trusted_launch_is_used_where_the_size_allows_it(disabled: str, kind: str) -> None:
    more = [*sku()["capabilities"], {"name": "TrustedLaunchDisabled", "value": disabled}]
    assert security_type(sizes_in("eastus", [sku(capabilities=more)])[0]) == kind


@given(st.dictionaries(st.sampled_from(["vCPUs", "MemoryGB", "HyperVGenerations", "CpuArchitectureType"]), st.text()))
def test_no_odd_catalogue_breaks_the_check(capabilities: dict[str, str]) -> None:
    entry = sku(capabilities=[{"name": name, "value": value} for name, value in capabilities.items()])
    sizes = sizes_in("eastus", [entry])
    size_findings(PLAN, sizes)
    quota_findings(PLAN, sizes, [usage("cores", 0, 10)], [], [])


# --- the size ---


def test_a_good_size_is_found_whatever_its_letter_case() -> None:
    assert size_findings(a_plan(1, vm_size="standard_b2S"), SIZES) == []
    assert size_named("STANDARD_B2S", SIZES) == B2S


def test_an_unknown_size_is_told_with_the_nearest_ones() -> None:
    (found,) = size_findings(a_plan(1, vm_size="Standard_B2"), SIZES)
    assert found.message == "VM size Standard_B2 is not offered in eastus"
    assert found.hint is not None
    assert "Standard_B2s" in found.hint
    assert ARM64.name not in found.hint


@pytest.mark.parametrize(("size", "code"), [(ARM64, "VmSizeArchitecture"), (OLD, "VmSizeGeneration")])
def test_a_size_on_which_the_image_does_not_boot_is_refused(size: Size, code: str) -> None:
    (found,) = size_findings(a_plan(1, vm_size=size.name), SIZES)
    assert found.code == code
    assert "Standard_" in str(found.hint)


# --- the quota ---


def test_the_sentence_names_size_place_and_numbers() -> None:
    (found,) = quota_findings(PLAN, SIZES, [usage("cores", 4, 4)], [], [])
    assert found.message == "Quota exceeded for Standard_B2s in eastus: 4 of 4 vCPUs used"
    assert found.code == "QuotaExceeded"


def test_of_two_exceeded_quotas_both_are_told_the_tighter_one_first() -> None:
    usages = [usage("cores", 3, 4), usage("standardBSFamily", 4, 4)]
    found = quota_findings(PLAN, SIZES, usages, [], [])
    assert [finding.details["quota"] for finding in found] == ["STANDARDBSFAMILY", "CORES"]


def test_two_exceeded_quotas_of_the_same_numbers_are_not_taken_for_one() -> None:
    usages = [usage("cores", 4, 4), usage("standardBSFamily", 4, 4)]
    failure = failure_from(quota_findings(PLAN, SIZES, usages, [], []))
    assert failure is not None
    assert len(failure.details["findings"]) == 2


@pytest.mark.parametrize(
    ("name", "used", "limit", "enough"),
    [
        ("cores", 2, 4, True),
        ("cores", 3, 4, False),
        ("standardbsfamily", 3, 4, False),
        ("standardDSv5Family", 4, 4, True),
    ],
)
def test_only_the_region_and_the_own_family_count(name: str, used: int, limit: int, enough: bool) -> None:
    assert (quota_findings(PLAN, SIZES, [usage(name, used, limit)], [], []) == []) is enough


def run_number(number: int, created_at: str, size: str = "Standard_B2s", **changes: Any) -> RunRow:
    return a_run(a_plan(number, vm_size=size), created_at=created_at, **changes)


def test_of_two_runs_for_the_last_cores_the_older_one_goes_on() -> None:
    older, newer = run_number(1, "2026-01-01T00:00:00.000Z"), run_number(2, "2026-01-01T00:00:01.000Z")
    left_for_one = [usage("cores", 2, 4)]
    assert quota_findings(older.plan, SIZES, left_for_one, [older, newer], []) == []
    (found,) = quota_findings(newer.plan, SIZES, left_for_one, [older, newer], [])
    assert "2 of 4 vCPUs used, 2 more are taken by deployments under way" in found.message


@pytest.mark.parametrize(
    "other",
    [
        run_number(2, "2025", kind="delete"),
        run_number(2, "2025", status="rolling_back"),
        run_number(2, "2025", size="Standard_Unknown"),
        a_run(a_plan(2, location="westus"), created_at="2025"),
    ],
)
def test_a_run_that_will_make_no_vm_here_takes_nothing(other: RunRow) -> None:
    own = run_number(1, "2026")
    assert quota_findings(own.plan, SIZES, [usage("cores", 2, 4)], [own, other], []) == []


def test_a_vm_that_is_there_is_counted_by_azure_alone() -> None:
    own, other = run_number(1, "2026"), run_number(2, "2025")
    assert quota_findings(own.plan, SIZES, [usage("cores", 2, 4)], [own, other], [vm("VM-2")]) == []
    mine = vm("vm-1", tags=our_tags(own.plan))
    assert quota_findings(own.plan, SIZES, [usage("cores", 4, 4)], [own], [mine]) == []


def test_a_vm_of_the_same_name_in_another_group_is_another_one() -> None:
    own, other = run_number(1, "2026"), run_number(2, "2025")
    elsewhere = [
        {"id": vm("vm-2")["id"].replace("HUB-RG", "other-rg")},
        {"id": vm("vm-1")["id"].replace("HUB-RG", "other-rg")},
    ]
    (found,) = quota_findings(own.plan, SIZES, [usage("cores", 2, 4)], [own, other], elsewhere)
    assert found.code == "QuotaExceeded"


@given(st.integers(0, 8), st.integers(0, 40), st.integers(0, 40))
def test_as_many_runs_go_on_as_there_is_room_for(runs: int, used: int, limit: int) -> None:
    unfinished = [run_number(number, f"2026-01-01T00:00:{number:02d}.000Z") for number in range(1, runs + 1)]
    go_on = [
        run for run in unfinished if not quota_findings(run.plan, SIZES, [usage("cores", used, limit)], unfinished, [])
    ]
    assert len(go_on) == min(runs, max(0, (limit - used) // B2S.vcpus))

"""Every code with which the local Azure refuses is met by a contract test: a rule that was added without one fails here by its code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Codes of rules that no contract test names yet. Takes no new ones.
NOT_MET_YET = frozenset(
    {
        "AddressPrefixOrPrefixesNotSpecified",
        "AnotherPeeringAlreadyUsesRemoteGateways",
        "ApplicationGatewayHttpsListenerMustReferenceSslCert",
        "ApplicationGatewayPathBasedRoutingRuleMissingUrlPathMap",
        "ApplicationGatewayRequestRoutingRuleBasicMissingBackend",
        "ApplicationGatewayRequestRoutingRuleMissingHttpListener",
        "ApplicationGatewayResourceCountExceedsLimit",
        "ApplicationGatewaySslCertificateDataMustBeSpecified",
        "ChangingRemoteVirtualNetworkNotAllowed",
        "InvalidJson",
        "InvalidPrivateIPAddress",
        "InvalidTagNameCharacters",
        "InvalidTagValueLength",
        "IpConfigurationMustReferenceSubnet",
        "LocationNotAvailableForResourceGroup",
        "LockNotFound",
        "MissingResourceName",
        "NetcfgAddressSpaceOverlaps",
        "NetworkInterfaceMustHaveIpConfiguration",
        "OperationNotFound",
        "PeeringRemoteVnetNotSpecified",
        "SecurityRuleMissingParameter",
        "SecurityRuleParameterContainsConflictingValues",
        "TooManyTags",
        "VirtualNetworkPeeringLimitReached",
        "VnetCannotBePeeredWithItself",
    }
)


def _codes(tree: ast.AST) -> Iterator[str]:
    """What stands in `errors.…("Code", …)`, `ArmError(400, "Code", …)` and the like."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not re.match(
            r"errors\.|by_network|by_gateway|ArmError", ast.unparse(call.func)
        ):
            continue
        for given in (*call.args[:2], *(each.value for each in call.keywords if each.arg == "code")):
            if isinstance(given, ast.Constant) and re.fullmatch(r"[A-Z][A-Za-z0-9]+", str(given.value)):
                yield str(given.value)


def test_every_code_of_the_local_azure_is_met_by_a_contract_test() -> None:
    codes = {
        code: path.relative_to(ROOT)
        for path in (ROOT / "local" / "azure").rglob("*.py")
        for code in _codes(ast.parse(path.read_text(encoding="utf-8")))
    }
    contracts = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "contracts").glob("test_*.py"))
    met = {code for code in codes if re.search(rf"\b{code}\b", contracts)}
    assert len(met) > 80
    missing = {code: str(codes[code]) for code in codes.keys() - met - NOT_MET_YET}
    assert not missing, f"no test in tests/contracts names these codes: {missing}"
    assert not NOT_MET_YET & met, "these are met now: take them out of NOT_MET_YET"
    assert codes.keys() >= NOT_MET_YET, "these codes are gone: take them out of NOT_MET_YET"

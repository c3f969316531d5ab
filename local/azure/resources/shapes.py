"""The shape of a body: which properties are objects, lists, texts, numbers, wherever they stand.

ARM's providers parse a body into their types before any rule looks at it; one of a wrong type is refused there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local.azure import errors

_OBJECTS = frozenset(
    """addressSpace autoscaleConfiguration backendAddressPool backendHttpSettings bootDiagnostics connectionDraining
    creationData diagnosticsProfile dnsSettings firewallPolicy frontendIPConfiguration frontendPort hardwareProfile
    httpListener imageReference linuxConfiguration loadDistributionPolicy managedDisk match natGateway networkProfile
    networkSecurityGroup osDisk osProfile probe properties publicIPAddress redirectConfiguration remoteVirtualNetwork
    routeTable securityProfile sslCertificate ssh storageProfile subnet uefiSettings urlPathMap
    webApplicationFirewallConfiguration""".split()  # noqa: SIM905 - a list of words reads best as words
)
_LISTS_OF_OBJECTS = frozenset(
    """authenticationCertificates backendAddresses backendAddressPools backendHttpSettingsCollection
    backendSettingsCollection dataDisks delegations listeners loadDistributionPolicies privateLinkConfigurations routingRules
    frontendIPConfigurations frontendPorts gatewayIPConfigurations httpListeners ipConfigurations networkInterfaces
    probes publicKeys redirectConfigurations requestRoutingRules rewriteRuleSets routes securityRules sslCertificates
    sslProfiles subnets trustedClientCertificates trustedRootCertificates urlPathMaps virtualNetworkPeerings""".split()  # noqa: SIM905 - a list of words reads best as words
)
_LISTS_OF_TEXTS = frozenset(
    """addressPrefixes destinationAddressPrefixes destinationPortRanges dnsServers hostNames sourceAddressPrefixes
    sourcePortRanges zones""".split()  # noqa: SIM905 - a list of words reads best as words
)
_TEXTS = frozenset(
    """adminUsername adminPassword addressPrefix computerName createOption customData deleteOption hostName id keyData
    location name path privateIPAddress privateIPAllocationMethod vmSize publisher offer storageAccountType""".split()  # noqa: SIM905 - a list of words reads best as words
)


_NUMBERS = frozenset({"diskSizeGB", "drainTimeoutInSec", "idleTimeoutInMinutes", "port", "requestTimeout"})


def _list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


# which properties, what their value is called in a refusal, and whether a value is one
_SHAPES: tuple[tuple[frozenset[str], str, Callable[[Any], bool]], ...] = (
    (_OBJECTS, "an object", lambda value: isinstance(value, dict)),
    (_TEXTS, "a string", lambda value: isinstance(value, str)),
    (_NUMBERS, "an integer", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    (_LISTS_OF_OBJECTS, "an array of objects", lambda value: _list_of(value, dict)),
    (_LISTS_OF_TEXTS, "an array of strings", lambda value: _list_of(value, str)),
)
_KNOWN = frozenset[str]().union(*(names for names, _, _ in _SHAPES))


def check(body: dict[str, Any]) -> None:
    """Refuse a body in which something is of another type than its name says; null is as good as left out, but for
    `subnets`, where it means none."""
    for name, value in list(body.items()):
        if value is None and name in _KNOWN:
            body.pop(name)
            if name == "subnets":
                body[name] = []
            continue
        if name == "tags" or value is None:
            continue
        for names, wanted, is_one in _SHAPES:
            if name in names and not is_one(value):
                raise _wrong(name, value, wanted)
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                check(inner)


def _wrong(name: str, value: Any, wanted: str) -> errors.ArmError:
    return errors.cannot_parse("InvalidJson", f"Error converting value {str(value)[:80]!r} of '{name}' to {wanted}.")

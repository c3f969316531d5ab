"""The shape of a body: which properties are objects, lists, texts, numbers, wherever they stand.

ARM's providers parse a body into their types before any rule looks at it; one of a wrong type is refused there.
"""

from __future__ import annotations

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

_KNOWN = _OBJECTS | _LISTS_OF_OBJECTS | _LISTS_OF_TEXTS | _TEXTS | _NUMBERS


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
        if name in _OBJECTS and not isinstance(value, dict):
            raise _wrong(name, value, "an object")
        if name in _TEXTS and not isinstance(value, str):
            raise _wrong(name, value, "a string")
        if name in _NUMBERS and (not isinstance(value, int) or isinstance(value, bool)):
            raise _wrong(name, value, "an integer")
        if name in _LISTS_OF_OBJECTS and not _list_of(value, dict):
            raise _wrong(name, value, "an array of objects")
        if name in _LISTS_OF_TEXTS and not _list_of(value, str):
            raise _wrong(name, value, "an array of strings")
        if isinstance(value, dict):
            check(value)
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, dict):
                    check(each)


def _list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


def _wrong(name: str, value: Any, wanted: str) -> errors.ArmError:
    return errors.cannot_parse("InvalidJson", f"Error converting value {str(value)[:80]!r} of '{name}' to {wanted}.")

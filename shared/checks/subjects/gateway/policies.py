"""The gateway's TLS and WAF policies: what Azure has ended, and what can't be known of them. Pure.

TLS 1.0 and 1.1 ended on 31 August 2025 (azure-docs: application-gateway-tls-version-retirement): the predefined policies of
2015 and 2017 can't be on a gateway any more, nor a custom one below TLS 1.2. A WAF configuration in the gateway's own
document ends on 15 March 2027 (azure-docs: upgrade-ag-waf-policy).
"""

from collections.abc import Mapping
from typing import Any

from shared.checks.findings import ERROR, WARNING, Finding
from shared.errors import Failure, how_to_grant
from shared.spoke.documents.raw import Document, listed, properties_of
from shared.writers.gateway.capacity import firewall_policy_id
from shared.writers.gateway.sites import gateway_in_command

_READ_POLICY = "Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies/read"
TLS_POLICY = "AppGwSslPolicy20220101"
_ENDED_POLICIES = frozenset({"appgwsslpolicy20150501", "appgwsslpolicy20170401"})
_ENDED_VERSIONS = frozenset({"tlsv1_0", "tlsv1_1"})


def tls_findings(gateway: Document) -> list[Finding]:
    """TLS policies with versions that have ended: the gateway's own, and those of its SSL profiles."""
    properties = properties_of(gateway)
    command = f"ssl-policy set {gateway_in_command(gateway)} --policy-type Predefined --name {TLS_POLICY}"
    found = []
    if ended := _ended(properties.get("sslPolicy")):
        found.append(_tls(gateway, ERROR, f"TLS policy {ended}", command))
    elif not properties.get("sslPolicy") and _is_ended(properties.get("defaultPredefinedSslPolicy")):
        # The default of a gateway that was made long ago; a PUT of today has another one, which is taken.
        found.append(_tls(gateway, WARNING, f"default TLS policy {properties['defaultPredefinedSslPolicy']}", command))
    for profile in listed(gateway, "sslProfiles"):
        if ended := _ended(properties_of(profile).get("sslPolicy")):
            command = (
                f"ssl-profile update {gateway_in_command(gateway)} --name {profile.get('name')} --policy-type Predefined "
                f"--policy-name {TLS_POLICY}"
            )
            found.append(_tls(gateway, ERROR, f"TLS policy {ended} of the SSL profile {profile.get('name')}", command))
    return found


def _ended(policy: Document | None) -> str | None:
    """What a TLS policy allows that has ended, None when nothing."""
    inner = policy or {}
    if _is_ended(inner.get("policyName")):
        return str(inner["policyName"])
    least = str(inner.get("minProtocolVersion", ""))
    return f"from {least}" if least.lower() in _ENDED_VERSIONS else None


def _is_ended(name: Any) -> bool:
    return str(name or "").lower() in _ENDED_POLICIES


def _tls(gateway: Document, severity: str, what: str, command: str) -> Finding:
    consequence = (
        "Azure refuses every change of the gateway for that." if severity == ERROR else "It is to be replaced."
    )
    return Finding(
        "gateway",
        severity,
        "ApplicationGatewayDeprecatedTlsVersionUsedInSslPolicy",
        f"The {what} of the Application Gateway {gateway.get('name')} allows TLS 1.0 or 1.1, which ended on "
        f"2025-08-31. {consequence}",
        f"Replace it: `az network application-gateway {command}`.",
        resource=str(gateway.get("id", "")),
    )


def waf_findings(
    gateway: Document, policies: Mapping[str, Document | None], unread: Mapping[str, Failure]
) -> list[Finding]:
    """WAF policies that could not be read, for which the limits of new rules are assumed, and a block that ends.

    policies: by id, None for one that isn't there.  unread: why one could not be read, by id.
    """
    reasons = {policy_id: failure.message for policy_id, failure in unread.items()}
    reasons |= {policy_id: "it isn't there" for policy_id, policy in policies.items() if policy is None}
    found = [
        Finding(
            "gateway_capacity",
            WARNING,
            "WafPolicyUnknown",
            f"The WAF policy {policy_id.rsplit('/', 1)[-1]} can't be read, and the limit of 100 is assumed: {reason}",
            f"With OWASP 3.1 or older the limit is 40. {how_to_grant([{'action': _READ_POLICY, 'scope': policy_id}])}",
            resource=policy_id,
        )
        for policy_id, reason in reasons.items()
    ]
    block = properties_of(gateway).get("webApplicationFirewallConfiguration") or {}
    if block.get("enabled") and not firewall_policy_id(gateway):
        found.append(
            Finding(
                "gateway",
                WARNING,
                "ApplicationGatewayWafConfigurationDeprecated",
                f"The Application Gateway {gateway.get('name')} has its WAF configuration in its own document, which "
                "Azure ends on 2027-03-15.",
                f"Attach a WAF policy: `az network application-gateway update --ids {gateway.get('id')} "
                "--set firewallPolicy.id=<policy id>`.",
                resource=str(gateway.get("id", "")),
            )
        )
    return found

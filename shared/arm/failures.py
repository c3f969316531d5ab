"""Which failures of Azure Resource Manager pass, and what a person should do about those that don't.

The only reader of ARM's error bodies and of what its SDK clients raise. Classified by `error.code`, never by the status alone: a
failed long operation arrives with status 200, every 409 looks alike to the SDK, and "busy" comes as 400, 409 and 429.
The codes and their sources are those of Azure's documentation and of the public issues named beside them.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from azure.core import exceptions as sdk

from shared.errors import AzureResourceException, ConfigurationException, Failure, how_to_grant
from shared.process.identity import TokenTimeoutError


@dataclass(frozen=True)
class Rule:
    """What a code means: whether it is transient, and the next step for a person when it isn't."""

    transient: bool
    hint: str | None = None


_BUSY = Rule(transient=True)
_NETWORK_QUOTA = Rule(
    False,
    "Ask for more quota (`az network list-usages --location <location>`), or delete what isn't needed; then retry.",
)
_GRANT = "Grant the app's identity the rights listed in docs/operations.md."
_PLAN = "POST /api/spokes?mode=plan shows the rule and the az command."
_TLS = (
    "TLS 1.0 and 1.1 have ended: `az network application-gateway ssl-policy set --resource-group <group> "
    "--gateway-name <gateway> --policy-type Predefined --name AppGwSslPolicy20220101`."
)
_WAF = (
    "Attach a WAF policy: `az network application-gateway update --resource-group <group> --name <gateway> "
    "--set firewallPolicy.id=<policy id>`."
)
_VAULT = (
    "Fix the gateway's Key Vault certificate: every change of the gateway reads it again. Its identity has to be "
    "allowed to read the secret, and the vault's firewall has to let it in."
)

# For what has no hint of its own.
PASSES = "This is transient: a step retries until its deadline; repeat a request in a moment."
_CREDENTIAL_HINT = (
    "Assign a managed identity to the function app, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET."
)
STAYS = "Look at the resource's activity log in the Portal, where Azure says more, and fix the cause; then retry."

# code (any level of the error body) -> rule. The innermost code that is listed decides.
RULES: dict[str, Rule] = {
    # --- transient: another write is under way (azapi#503, azuresandbox#329, terraform-azurerm#7986) ---
    "AnotherOperationInProgress": _BUSY,
    "ReferencedResourceNotProvisioned": _BUSY,
    "RetryableError": _BUSY,
    "RetryableErrorDueToAnotherOperation": _BUSY,
    "CanceledAndSupersededDueToAnotherOperation": _BUSY,
    "Canceled": _BUSY,
    "OperationPreempted": _BUSY,
    "PreconditionFailed": _BUSY,
    "PreconditionFailedEtagMismatch": _BUSY,
    "NicReservedForAnotherVm": _BUSY,  # 180 s after a failed VM: AzureTRE#4511, rancher/machine#359
    "NicInUse": _BUSY,  # only until the VM's delete operation has ended; `remove` looks who holds it
    "InUseSubnetCannotBeDeleted": _BUSY,
    "InUseNetworkSecurityGroupCannotBeDeleted": _BUSY,
    "ResourceReadFailed": _BUSY,
    "ResourceNotProvisioned": _BUSY,
    # --- transient: throttled or out of order (Azure Resource Manager throttling) ---
    "TooManyRequests": _BUSY,
    "SubscriptionRequestsThrottled": _BUSY,
    "ResourceRequestsThrottled": _BUSY,
    "ServerBusy": _BUSY,
    "ServerTimeout": _BUSY,
    "GatewayTimeout": _BUSY,
    "ServiceUnavailable": _BUSY,
    "InternalServerError": _BUSY,
    "InternalExecutionError": _BUSY,
    "InternalOperationError": _BUSY,
    "NetworkingInternalOperationError": _BUSY,
    "OperationTimedOut": _BUSY,
    "OperationTimeout": _BUSY,
    "OSProvisioningTimedOut": _BUSY,
    "VMStartTimedOut": _BUSY,
    "ExpiredAuthenticationToken": _BUSY,  # it ran out on its way; the next request gets a new one
    # --- permanent: what was asked for can't be had ---
    "QuotaExceeded": Rule(
        False, "Ask for more quota (`az vm list-usage`), delete unused VMs, or choose another vm_size."
    ),
    "OperationNotAllowed": Rule(False),
    "VnetCountLimitReached": _NETWORK_QUOTA,
    "NetworkInterfaceCountLimitReached": _NETWORK_QUOTA,
    "NetworkSecurityGroupCountLimitReached": _NETWORK_QUOTA,
    "SkuNotAvailable": Rule(
        False, "Choose another vm_size: `az vm list-skus --location <location> --size <size>` shows what is restricted."
    ),
    "AllocationFailed": Rule(
        False, "Azure has no capacity for this size just now: try again later, or choose another vm_size."
    ),
    "ZonalAllocationFailed": Rule(
        False, "Azure has no capacity for this size just now: try again later, or choose another vm_size."
    ),
    "OverconstrainedAllocationRequest": Rule(False, "Choose another vm_size."),
    "PlatformImageNotFound": Rule(False, "Check the setting VM_IMAGE (`az vm image list`)."),
    "ConflictingUserInput": Rule(False, "A disk of that name exists: choose another vm_name, or delete the disk."),
    "PropertyChangeNotAllowed": Rule(False),
    "InvalidParameter": Rule(False),
    "InvalidRequestFormat": Rule(False),
    "InvalidRequestContent": Rule(False),
    "InvalidResourceName": Rule(False),
    "InvalidResourceReference": Rule(False),
    "InvalidAddressPrefixFormat": Rule(False),
    "NetcfgSubnetRangeOutsideVnet": Rule(False),
    "NetcfgInvalidSubnet": Rule(False),
    "NetcfgSubnetRangesOverlap": Rule(False),
    "PrivateIPAddressNotInAnySubnet": Rule(False),
    "SecurityRuleParameterContainsUnsupportedValue": Rule(False),
    "OverlappingSubnetsNotPermittedInSecurityRule": Rule(False),
    "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies": Rule(False),
    "SecurityRuleConflict": Rule(False),
    # --- permanent: peerings ---
    "VnetAddressSpacesOverlap": Rule(
        False, "Use another spoke_id or address_prefix: this block overlaps with the hub's."
    ),
    "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet": Rule(
        False, "Use another spoke_id or address_prefix: a VNet that is peered with the hub uses this block."
    ),
    # The hub's gateway is asked for only while its subnet names one: it is still being made, or just gone.
    "RemoteVnetHasNoGateways": Rule(True, "The hub's virtual network gateway is not ready; the peering waits for it."),
    "RemotePeeringIsDisconnected": Rule(False, "Delete both sides of the peering, then retry."),
    "AnotherPeeringAlreadyReferencesRemoteVnet": Rule(
        False, "Delete the peering that references the spoke's VNet under another name."
    ),
    "ChangingRemoteVirtualNetworkNotAllowed": Rule(
        False, "A peering of that name leads elsewhere: remove it, or choose another spoke_id."
    ),
    # --- permanent: the gateway's document ---
    "ApplicationGatewayRequestRoutingRulesUsingSameHttpListener": Rule(False),
    "ApplicationGatewayRequestRoutingRulePriorityCannotBeEmpty": Rule(False),
    "ApplicationGatewayRequestRoutingRulePartialPriorityDefined": Rule(False),
    "ApplicationGatewayRequestRoutingRulePriorityMustBeUnique": Rule(False),
    "ApplicationGatewayHttpListenersUsingSameFrontendPortHostNameAndFrontendIpConfig": Rule(
        False, "Choose another host_name: a listener of the gateway has it."
    ),
    "ApplicationGatewayHttpListenersUsingSameFrontendPort": Rule(False),
    "ApplicationGatewayMustHaveAtleastOneResourceOfType": Rule(False),
    "ApplicationGatewayProbeHostIsNull": Rule(False),
    # --- permanent: the gateway itself, its subnet, its policies and its key vaults; no site can fix them ---
    "ApplicationGatewayNetworkIsolationRequiresSubnetDelegation": Rule(
        False, "Delegate the gateway's subnet to Microsoft.Network/applicationGateways."
    ),
    "ApplicationGatewaySubnetInboundTrafficBlockedByNetworkSecurityGroup": Rule(  # AKS-Construction#333
        False,
        f"Allow TCP 65200-65535 from GatewayManager in the network security group of the gateway's subnet. {_PLAN}",
    ),
    "ApplicationGatewaySubnetOutboundTrafficBlockedByNetworkSecurityGroup": Rule(  # azure-docs#87202, #84599
        False, f"Remove the outbound deny rules from the network security group of the gateway's subnet. {_PLAN}"
    ),
    "ApplicationGatewaySubnetUserDefinedRouteNotAllowed": Rule(  # azure-docs#22065
        False, f"Lead 0.0.0.0/0 to the Internet in the route table of the gateway's subnet. {_PLAN}"
    ),
    "ApplicationGatewaySubnetCannotHaveOtherResourceTypes": Rule(
        False, "Move everything but Application Gateways out of the gateway's subnet."
    ),
    "ApplicationGatewayInsufficientPermissionOnSubnet": Rule(  # azure-docs#118359
        False, "Grant the app's identity virtualNetworks/subnets/join/action on the gateway's subnet."
    ),
    "ApplicationGatewayForbidden": Rule(False, _GRANT),
    "SubnetIsFull": Rule(  # azure-docs#88211
        False, "The gateway's subnet has no free address: lower the gateway's maxCapacity, or give it a larger subnet."
    ),
    "SubnetTooSmall": Rule(False, "Give the gateway a larger subnet; Azure recommends /24."),
    "InvalidSubnet": Rule(False, "The gateway's subnet can't be delegated to another service."),
    "ApplicationGatewayDeprecatedTlsVersionUsedInSslPolicy": Rule(False, _TLS),  # MicroHack#280
    "ApplicationGatewaySslPolicyMisMatch": Rule(  # terraform-azurerm-avm-res-network-applicationgateway#173
        False, f"All SSL profiles and the gateway's own TLS policy have to be of 2022 or CustomV2. {_TLS}"
    ),
    "ApplicationGatewayWafConfigurationDeprecated": Rule(False, _WAF),
    "ApplicationGatewayFirewallNotConfiguredForSelectedSku": Rule(False, _WAF),  # azure-cli#24029
    "ApplicationGatewayFirewallPolicyCannotBeRemoved": Rule(False, _WAF),  # pagopa io-infrastructure-live-new#267
    "ApplicationGatewayFirewallCannotBeEnabledForSelectedSku": Rule(
        False, "The gateway has a WAF configuration but no WAF tier: remove the one, or change the other to WAF_v2."
    ),
    "ApplicationGatewayFeatureCannotBeEnabledForSelectedSku": Rule(  # azure-cli#27145
        False, "The gateway needs a public frontend IP, or network isolation (tag EnhancedNetworkControl)."
    ),
    "ApplicationGatewaySkuNameInvalidForSkuTier": Rule(False, "The gateway's SKU name and tier have to be the same."),
    "ApplicationGatewayKeyVaultSecretException": Rule(False, _VAULT),  # azure-docs#33157
    "ApplicationGatewayKeyVaultSecretAccessDenied": Rule(False, _VAULT),
    "ApplicationGatewayKeyVaultSecretNotFound": Rule(False, _VAULT),
    "ApplicationGatewayKeyVaultSecretRequiresUserAssignedIdentity": Rule(
        False,
        "Assign the gateway the identity that may read the vault: `az network application-gateway identity assign`.",
    ),
    "LinkedAccessCheckFailed": Rule(False, _VAULT),
    "PublicIPCountLimitReached": _NETWORK_QUOTA,
    "ResourceProviderNotRegistered": Rule(False, "Register it: `az provider register --namespace Microsoft.Network`."),
    "DuplicateResourceName": Rule(False),
    # --- permanent: who may do what ---
    "AuthorizationFailed": Rule(False, _GRANT),
    "LinkedAuthorizationFailed": Rule(False, _GRANT),
    "InvalidAuthenticationToken": Rule(False, "The credential's token was refused: check the identity and its tenant."),
    "InvalidAuthenticationTokenTenant": Rule(  # azure-docs#111919
        False, "The subscription belongs to another tenant than the app's identity. After a transfer, wait for an hour."
    ),
    "ScopeLocked": Rule(False, "A lock forbids this: `az lock list` shows it. Remove it, then retry."),
    "RequestDisallowedByPolicy": Rule(False, "An Azure Policy forbids this: the message names it."),
    "MissingSubscriptionRegistration": Rule(
        False, "Register the resource provider: `az provider register --namespace <namespace>`."
    ),
    "ResourceGroupNotFound": Rule(False, "Check HUB_RESOURCE_GROUP and SPOKE_RESOURCE_GROUP."),
    "ResourceGroupBeingDeleted": Rule(False),
    "ResourceGroupDeletionBlocked": Rule(False),
    "ResourceNotFound": Rule(False),
    "NotFound": Rule(False),
    "InvalidResourceType": Rule(False),
    "InvalidResourceGroup": Rule(False),
    "LocationRequired": Rule(False),
    "LocationNotAvailableForResourceType": Rule(False, "Choose another location."),
    "SubscriptionNotFound": Rule(False, "Check AZURE_SUBSCRIPTION_ID."),
}

# Not caused by the caller, so it is worth waiting until it is fixed.
_RETRIED_STATUSES = frozenset({0, 408, 412, 429, 500, 502, 503, 504})
# More than any error that Azure writes; one that embeds others must not burst the records.
_LONGEST_MESSAGE = 4000
_LONGEST_BODY = 100_000
_MOST_MENTIONED = 30
_RESOURCE_ID = re.compile(r"(?:/subscriptions/|https://[\w.-]+\.vault\.)[^\s'\"<>,;()\\]+")
_QUOTA = re.compile(
    r"approved (?P<family>.+?) Cores quota.*?Location: (?P<location>\S+?),.*?Current Limit: (?P<limit>\d+), "
    r"Current Usage: (?P<used>\d+), Additional Required: (?P<more>\d+)",
    re.S,
)
# AuthorizationFailed, and LinkedAuthorizationFailed with one or several actions and their scopes (AGIC#999).
_MISSING_RIGHTS = re.compile(
    r"does not have (?:authorization|permission) to perform action(?:\(s\))? '(?P<actions>[^']+)' "
    r"(?:over|at|on the linked) scope(?:\(s\))? ?'(?P<scopes>[^']+)'"
)
_RETRIED_IN = re.compile(r"can be retried in (\d+(?:\.\d+)?) seconds", re.I)


class ArmError(AzureResourceException):
    """Azure Resource Manager refused a call, gave no answer, or an operation of it failed.

    status: HTTP status, 0 when no answer came.  codes: every code of the error body, outermost first.
    """

    def __init__(self, failure: Failure, status: int, codes: tuple[str, ...] = ()) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.status = status
        self.codes = codes or (failure.code,)


def failure_of_error(
    error: dict[str, Any] | None,
    *,
    status: int,
    retry_after: float | None = None,
    request_id: str | None = None,
    target: str | None = None,
) -> tuple[Failure, tuple[str, ...]]:
    """What an ARM error object (`{"code", "message", "details"}`) means, and all codes in it.

    Bodies that are no ARM error (HTML of a gateway, nothing at all) are judged by the status.
    """
    codes = tuple(_codes(error)) if error else ()
    message = _message(error) or f"Azure Resource Manager answered {status} without an explanation."
    code = next((code for code in reversed(codes) if code in RULES), codes[0] if codes else f"Http{status}")
    rule = RULES.get(code)
    transient = rule.transient if rule else status in _RETRIED_STATUSES
    hint = rule.hint if rule else None
    more: dict[str, Any] = {}
    if code == "OperationNotAllowed":
        code, message, transient, hint, more = _operation_not_allowed(codes, message, status)
    elif status in (429, 503):
        transient = True
    elif missing := _missing_rights(message):
        hint, more = how_to_grant(missing), {"missing": missing}
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}…"
    if transient and retry_after is None and (named := _RETRIED_IN.search(message)):
        retry_after = float(named[1])
    details: dict[str, Any] = {"azure_code": codes[0] if codes else None, "status": status, **more}
    if request_id:
        details["request_id"] = request_id
    if target:
        details["resource"] = target
    if mentioned := _mentioned(error, message):
        details["mentioned"] = mentioned
    hint = hint or (PASSES if transient else STAYS)
    return Failure(AzureResourceException, code, message, hint, details, transient, retry_after), codes


def _operation_not_allowed(
    codes: tuple[str, ...], message: str, status: int
) -> tuple[str, str, bool, str | None, dict[str, Any]]:
    """One code for three things: a quota, a throttle, a disk that is in use (karpenter-azure#192, Compute throttling)."""
    if status == 429 or "TooManyRequests" in codes or "too many requests" in message.lower():
        return "TooManyRequests", message, True, None, {}
    if quota := _QUOTA.search(message):
        sentence = (
            f"Quota exceeded for {quota['family']} cores in {quota['location']}: "
            f"{quota['used']} of {quota['limit']} vCPUs used, {quota['more']} more needed."
        )
        numbers = {"used": int(quota["used"]), "limit": int(quota["limit"]), "needed": int(quota["more"])}
        return "QuotaExceeded", sentence, False, RULES["QuotaExceeded"].hint, numbers
    return "OperationNotAllowed", message, "is attached to VM" in message, None, {}


def _missing_rights(message: str) -> list[dict[str, str]]:
    """The actions that the app's identity lacks, each with its scope, as ARM's refusal names them."""
    found = _MISSING_RIGHTS.search(message)
    if found is None:
        return []
    actions, scopes = found["actions"].split(","), found["scopes"].split(",")
    if len(scopes) != len(actions):
        scopes = [found["scopes"]] * len(actions)
    return [{"action": action, "scope": scope} for action, scope in zip(actions, scopes, strict=True)]


def _codes(error: dict[str, Any]) -> list[str]:
    """All codes of an error body, outermost first; ARM nests them in `details`, `innerError`, and in either letter case."""
    found: list[str] = []
    pending: list[Any] = [error]
    while pending and len(found) < 50:
        part = pending.pop(0)
        if not isinstance(part, dict):
            continue
        folded = {str(key).lower(): value for key, value in part.items()}
        if isinstance(folded.get("code"), str) and folded["code"]:
            found.append(folded["code"])
        if isinstance(folded.get("details"), list):
            pending.extend(folded["details"])
        pending.append(folded.get("innererror"))
    return found


def _message(error: dict[str, Any] | None) -> str:
    """The outer message, with the inner one behind it when the outer says nothing by itself."""
    if not isinstance(error, dict):
        return ""
    folded = {str(key).lower(): value for key, value in error.items()}
    message = str(folded.get("message") or "").strip()
    details = folded.get("details")
    if isinstance(details, list) and details:
        inner = _message(details[0])
        if inner and inner not in message:
            message = f"{message} {inner}".strip()
    return message


def _mentioned(error: dict[str, Any] | None, message: str) -> list[str]:
    """Ids in the details, targets and inner errors that the message itself doesn't show, in order."""
    text = json.dumps(error, default=str)[:_LONGEST_BODY] if error else ""
    found = dict.fromkeys(each.rstrip(".:") for each in _RESOURCE_ID.findall(text))
    return [each for each in found if each not in message][:_MOST_MENTIONED]


def error_object(body: bytes | str | None) -> dict[str, Any] | None:
    """The error object of an answer's body, whatever letter case; None for HTML, emptiness and other surprises."""
    if not body:
        return None
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    inner = parsed.get("error", parsed.get("Error"))
    if isinstance(inner, dict):
        return inner
    return parsed if "code" in parsed or "Code" in parsed else None


def error_of_exception(exception: sdk.AzureError, target: str | None = None) -> ArmError:
    """The `ArmError` for an exception of the Azure SDKs."""
    if isinstance(exception, sdk.HttpResponseError) and getattr(exception, "response", None) is not None:
        response: Any = exception.response
        body = response.text() if callable(getattr(response, "text", None)) else None
        failure, codes = failure_of_error(
            error_object(body),
            status=exception.status_code or 0,
            request_id=_request_id(response.headers),
            target=target,
        )
        return ArmError(failure, exception.status_code or 0, codes)
    if isinstance(exception, sdk.ClientAuthenticationError):
        # Without a response it is azure-identity: no credential of the chain could give a token.
        reason = {"reason": " ".join(str(exception).split())[:_LONGEST_MESSAGE]}
        said = str(exception).lower()
        if "timed out" in said or "unreachable" in said:
            message = "The identity endpoint gave no token in time."
            hint = f"{PASSES} If it stays so: {_CREDENTIAL_HINT}"
            failure = Failure(AzureResourceException, "TokenTimeout", message, hint, reason, transient=True)
            return ArmError(failure, 0)
        message = "The app's identity could not get a token for Azure Resource Manager."
        failure = Failure(ConfigurationException, "CredentialUnavailable", message, _CREDENTIAL_HINT, reason)
        return ArmError(failure, 401)
    if isinstance(exception, TokenTimeoutError):
        failure = Failure(AzureResourceException, "TokenTimeout", str(exception), PASSES, transient=True)
        return ArmError(failure, 0)
    # No answer, a broken one, or one that could not be decoded: what was asked may or may not have happened.
    failure = Failure(
        AzureResourceException,
        "NoAnswer",
        f"Azure Resource Manager gave no usable answer ({type(exception).__name__}).",
        PASSES,
        {"resource": target, "reason": str(exception)[:300]},
        transient=True,
    )
    return ArmError(failure, 0)


def _request_id(headers: Any) -> str | None:
    return headers.get("x-ms-request-id") if headers else None

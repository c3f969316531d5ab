"""Which failures of Azure Resource Manager pass, and what a person should do about those that don't.

The only reader of ARM's error bodies and of what its SDK clients raise. Classified by `error.code`, never by the status alone: a
failed long operation arrives with status 200, every 409 looks alike to the SDK, and "busy" comes as 400, 409 and 429.
The codes and their sources are those of Azure's documentation and of the public issues named beside them.
"""

import json
import re
from typing import Any

from azure.core import exceptions as sdk

from shared.errors import AzureResourceException, ConfigurationException, Failure, how_to_grant
from shared.process.identity import TokenTimeoutError

_NETWORK_QUOTA = (
    "Ask for more quota (`az network list-usages --location <location>`), or delete what isn't needed; then retry."
)
_NO_CAPACITY = "Azure has no capacity for this size just now: try again later, or choose another vm_size."
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

# Codes, at any level of an error's body; of several the innermost that is listed here or in `HINTS` decides.
TRANSIENT = frozenset(
    {
        # another write is under way (azapi#503, azuresandbox#329, terraform-azurerm#7986)
        "AnotherOperationInProgress",
        "ReferencedResourceNotProvisioned",
        "RetryableError",
        "RetryableErrorDueToAnotherOperation",
        "CanceledAndSupersededDueToAnotherOperation",
        "Canceled",
        "OperationPreempted",
        "PreconditionFailed",
        "PreconditionFailedEtagMismatch",
        "NicReservedForAnotherVm",  # 180 s after a failed VM: AzureTRE#4511, rancher/machine#359
        "NicInUse",  # only until the VM's delete operation has ended; `remove` looks who holds it
        "InUseSubnetCannotBeDeleted",
        "InUseNetworkSecurityGroupCannotBeDeleted",
        "ResourceReadFailed",
        "ResourceNotProvisioned",
        # throttled or out of order (Azure Resource Manager throttling)
        "TooManyRequests",
        "SubscriptionRequestsThrottled",
        "ResourceRequestsThrottled",
        "ServerBusy",
        "ServerTimeout",
        "GatewayTimeout",
        "ServiceUnavailable",
        "InternalServerError",
        "InternalExecutionError",
        "InternalOperationError",
        "NetworkingInternalOperationError",
        "OperationTimedOut",
        "OperationTimeout",
        "OSProvisioningTimedOut",
        "VMStartTimedOut",
        "ExpiredAuthenticationToken",  # it ran out on its way; the next request gets a new one
        "RemoteVnetHasNoGateways",  # asked for only while the hub's subnet names a gateway: it is being made, or just gone
    }
)

# What a person should do, None where there is nothing special to say. But for those above, these codes are permanent.
HINTS: dict[str, str | None] = {
    # --- what was asked for can't be had ---
    "QuotaExceeded": "Ask for more quota (`az vm list-usage`), delete unused VMs, or choose another vm_size.",
    "OperationNotAllowed": None,
    "VnetCountLimitReached": _NETWORK_QUOTA,
    "NetworkInterfaceCountLimitReached": _NETWORK_QUOTA,
    "NetworkSecurityGroupCountLimitReached": _NETWORK_QUOTA,
    "SkuNotAvailable": (
        "Choose another vm_size: `az vm list-skus --location <location> --size <size>` shows what is restricted."
    ),
    "AllocationFailed": _NO_CAPACITY,
    "ZonalAllocationFailed": _NO_CAPACITY,
    "OverconstrainedAllocationRequest": "Choose another vm_size.",
    "PlatformImageNotFound": "Check the setting VM_IMAGE (`az vm image list`).",
    "ConflictingUserInput": "A disk of that name exists: choose another vm_name, or delete the disk.",
    "PropertyChangeNotAllowed": None,
    "InvalidParameter": None,
    "InvalidRequestFormat": None,
    "InvalidRequestContent": None,
    "InvalidResourceName": None,
    "InvalidResourceReference": None,
    "InvalidAddressPrefixFormat": None,
    "NetcfgSubnetRangeOutsideVnet": None,
    "NetcfgInvalidSubnet": None,
    "NetcfgSubnetRangesOverlap": None,
    "PrivateIPAddressNotInAnySubnet": None,
    "SecurityRuleParameterContainsUnsupportedValue": None,
    "OverlappingSubnetsNotPermittedInSecurityRule": None,
    "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies": None,
    "SecurityRuleConflict": None,
    # --- peerings ---
    "VnetAddressSpacesOverlap": "Use another spoke_id or address_prefix: this block overlaps with the hub's.",
    "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet": (
        "Use another spoke_id or address_prefix: a VNet that is peered with the hub uses this block."
    ),
    "RemoteVnetHasNoGateways": "The hub's virtual network gateway is not ready; the peering waits for it.",
    "RemotePeeringIsDisconnected": "Delete both sides of the peering, then retry.",
    "AnotherPeeringAlreadyReferencesRemoteVnet": (
        "Delete the peering that references the spoke's VNet under another name."
    ),
    "ChangingRemoteVirtualNetworkNotAllowed": (
        "A peering of that name leads elsewhere: remove it, or choose another spoke_id."
    ),
    # --- the gateway's document ---
    "ApplicationGatewayRequestRoutingRulesUsingSameHttpListener": None,
    "ApplicationGatewayRequestRoutingRulePriorityCannotBeEmpty": None,
    "ApplicationGatewayRequestRoutingRulePartialPriorityDefined": None,
    "ApplicationGatewayRequestRoutingRulePriorityMustBeUnique": None,
    "ApplicationGatewayHttpListenersUsingSameFrontendPortHostNameAndFrontendIpConfig": (
        "Choose another host_name: a listener of the gateway has it."
    ),
    "ApplicationGatewayHttpListenersUsingSameFrontendPort": None,
    "ApplicationGatewayMustHaveAtleastOneResourceOfType": None,
    "ApplicationGatewayProbeHostIsNull": None,
    # --- the gateway itself, its subnet, its policies and its key vaults; no site can fix them ---
    "ApplicationGatewayNetworkIsolationRequiresSubnetDelegation": (
        "Delegate the gateway's subnet to Microsoft.Network/applicationGateways."
    ),
    "ApplicationGatewaySubnetInboundTrafficBlockedByNetworkSecurityGroup": (  # AKS-Construction#333
        f"Allow TCP 65200-65535 from GatewayManager in the network security group of the gateway's subnet. {_PLAN}"
    ),
    "ApplicationGatewaySubnetOutboundTrafficBlockedByNetworkSecurityGroup": (  # azure-docs#87202, #84599
        f"Remove the outbound deny rules from the network security group of the gateway's subnet. {_PLAN}"
    ),
    "ApplicationGatewaySubnetUserDefinedRouteNotAllowed": (  # azure-docs#22065
        f"Lead 0.0.0.0/0 to the Internet in the route table of the gateway's subnet. {_PLAN}"
    ),
    "ApplicationGatewaySubnetCannotHaveOtherResourceTypes": (
        "Move everything but Application Gateways out of the gateway's subnet."
    ),
    "ApplicationGatewayInsufficientPermissionOnSubnet": (  # azure-docs#118359
        "Grant the app's identity virtualNetworks/subnets/join/action on the gateway's subnet."
    ),
    "ApplicationGatewayForbidden": _GRANT,
    "SubnetIsFull": (  # azure-docs#88211
        "The gateway's subnet has no free address: lower the gateway's maxCapacity, or give it a larger subnet."
    ),
    "SubnetTooSmall": "Give the gateway a larger subnet; Azure recommends /24.",
    "InvalidSubnet": "The gateway's subnet can't be delegated to another service.",
    "ApplicationGatewayDeprecatedTlsVersionUsedInSslPolicy": _TLS,  # MicroHack#280
    "ApplicationGatewaySslPolicyMisMatch": (  # terraform-azurerm-avm-res-network-applicationgateway#173
        f"All SSL profiles and the gateway's own TLS policy have to be of 2022 or CustomV2. {_TLS}"
    ),
    "ApplicationGatewayWafConfigurationDeprecated": _WAF,
    "ApplicationGatewayFirewallNotConfiguredForSelectedSku": _WAF,  # azure-cli#24029
    "ApplicationGatewayFirewallPolicyCannotBeRemoved": _WAF,  # pagopa io-infrastructure-live-new#267
    "ApplicationGatewayFirewallCannotBeEnabledForSelectedSku": (
        "The gateway has a WAF configuration but no WAF tier: remove the one, or change the other to WAF_v2."
    ),
    "ApplicationGatewayFeatureCannotBeEnabledForSelectedSku": (  # azure-cli#27145
        "The gateway needs a public frontend IP, or network isolation (tag EnhancedNetworkControl)."
    ),
    "ApplicationGatewaySkuNameInvalidForSkuTier": "The gateway's SKU name and tier have to be the same.",
    "ApplicationGatewayKeyVaultSecretException": _VAULT,  # azure-docs#33157
    "ApplicationGatewayKeyVaultSecretAccessDenied": _VAULT,
    "ApplicationGatewayKeyVaultSecretNotFound": _VAULT,
    "ApplicationGatewayKeyVaultSecretRequiresUserAssignedIdentity": (
        "Assign the gateway the identity that may read the vault: `az network application-gateway identity assign`."
    ),
    "LinkedAccessCheckFailed": _VAULT,
    "PublicIPCountLimitReached": _NETWORK_QUOTA,
    "ResourceProviderNotRegistered": "Register it: `az provider register --namespace Microsoft.Network`.",
    "DuplicateResourceName": None,
    # --- who may do what ---
    "AuthorizationFailed": _GRANT,
    "LinkedAuthorizationFailed": _GRANT,
    "InvalidAuthenticationToken": "The credential's token was refused: check the identity and its tenant.",
    "InvalidAuthenticationTokenTenant": (  # azure-docs#111919
        "The subscription belongs to another tenant than the app's identity. After a transfer, wait for an hour."
    ),
    "ScopeLocked": "A lock forbids this: `az lock list` shows it. Remove it, then retry.",
    "RequestDisallowedByPolicy": "An Azure Policy forbids this: the message names it.",
    "MissingSubscriptionRegistration": (
        "Register the resource provider: `az provider register --namespace <namespace>`."
    ),
    "ResourceGroupNotFound": "Check HUB_RESOURCE_GROUP and SPOKE_RESOURCE_GROUP.",
    "ResourceGroupBeingDeleted": None,
    "ResourceGroupDeletionBlocked": None,
    "ResourceNotFound": None,
    "NotFound": None,
    "InvalidResourceType": None,
    "InvalidResourceGroup": None,
    "LocationRequired": None,
    "LocationNotAvailableForResourceType": "Choose another location.",
    "SubscriptionNotFound": "Check AZURE_SUBSCRIPTION_ID.",
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


def error_of_answer(
    error: dict[str, Any] | None,
    *,
    status: int,
    retry_after: float | None = None,
    request_id: str | None = None,
    target: str | None = None,
) -> ArmError:
    """What an ARM error object (`{"code", "message", "details"}`) means.

    Bodies that are no ARM error (HTML of a gateway, nothing at all) are judged by the status.
    """
    codes = tuple(_codes(error)) if error else ()
    message = _message(error) or f"Azure Resource Manager answered {status} without an explanation."
    listed = (code for code in reversed(codes) if code in TRANSIENT or code in HINTS)
    code = next(listed, codes[0] if codes else f"Http{status}")
    transient = code in TRANSIENT or (code not in HINTS and status in _RETRIED_STATUSES)
    hint = HINTS.get(code)
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
    failure = Failure(AzureResourceException, code, message, hint, details, transient, retry_after)
    return ArmError(failure, status, codes)


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
        return "QuotaExceeded", sentence, False, HINTS["QuotaExceeded"], numbers
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


def _no_token_in_time(message: str, hint: str, details: dict[str, Any]) -> ArmError:
    return ArmError(Failure(AzureResourceException, "TokenTimeout", message, hint, details, transient=True), 0)


def error_of_exception(exception: sdk.AzureError, target: str | None = None) -> ArmError:
    """The `ArmError` for an exception of the Azure SDKs."""
    if isinstance(exception, sdk.HttpResponseError) and getattr(exception, "response", None) is not None:
        response: Any = exception.response
        body = response.text() if callable(getattr(response, "text", None)) else None
        request_id = (response.headers or {}).get("x-ms-request-id")
        return error_of_answer(
            error_object(body), status=exception.status_code or 0, request_id=request_id, target=target
        )
    if isinstance(exception, sdk.ClientAuthenticationError):
        # Without a response it is azure-identity: no credential of the chain could give a token.
        reason = {"reason": " ".join(str(exception).split())[:_LONGEST_MESSAGE]}
        said = str(exception).lower()
        if "timed out" in said or "unreachable" in said:
            hint = f"{PASSES} If it stays so: {_CREDENTIAL_HINT}"
            return _no_token_in_time("The identity endpoint gave no token in time.", hint, reason)
        message = "The app's identity could not get a token for Azure Resource Manager."
        failure = Failure(ConfigurationException, "CredentialUnavailable", message, _CREDENTIAL_HINT, reason)
        return ArmError(failure, 401)
    if isinstance(exception, TokenTimeoutError):
        return _no_token_in_time(str(exception), PASSES, {})
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

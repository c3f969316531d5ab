"""What callers may send: checked before anything is read or written. The only module that imports pydantic at its top.

Import it inside functions: a cold start shouldn't pay for pydantic and cryptography before the first request needs them.
The OpenAPI document is generated from these models.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from shared.errors import HubSpokeException, ValidationException
from shared.spoke import names as naming
from shared.spoke.addresses import (
    calculate_spoke_address_space,
    calculate_subnet_ranges,
    spoke_id_of_block,
)
from shared.spoke.plan import SECRETS, SpokePlan
from shared.spoke.request.ssh_keys import checked_ssh_public_key

if TYPE_CHECKING:
    from shared.settings import Settings


MAX_TAGS = 46  # Azure takes 50 on a resource, and four are ours
MAX_CLOUD_INIT_BYTES = 24 * 1024
# Reserved prefixes of tag names, without regard to letter case (REST reference of Azure Resource Manager, Tags).
_AZURES_OWN = ("microsoft", "azure", "windows")
_OUR_TAGS = frozenset({"client_name", "spoke_id", "deployment_id", "managed_by"})
_SHOWN = 80
_BIGGEST_SHOWN = 2**53  # beyond it, JSON readers differ
# What is never shown, whichever field it was sent in: a key of either half, cloud-init.
_LOOKS_SECRET = re.compile(r"private\s*key|ssh-(rsa|dss|ed25519)|#cloud-config|#!/", re.IGNORECASE)

# Refused by Azure for any VM (Microsoft.Compute virtualMachines, osProfile.adminUsername).
RESERVED_ADMIN_NAMES = frozenset(
    [
        "administrator",
        "admin",
        "user",
        "user1",
        "test",
        "user2",
        "test1",
        "user3",
        "admin1",
        "1",
        "123",
        "a",
        "actuser",
        "adm",
        "admin2",
        "aspnet",
        "backup",
        "console",
        "david",
        "guest",
        "john",
        "owner",
        "root",
        "server",
        "sql",
        "support",
        "support_388945a0",
        "sys",
        "test2",
        "test3",
        "user4",
        "user5",
    ]
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_KEY_BREAKERS = re.compile(r"[/\\#?]")
_TAG_BREAKERS = re.compile(r"[<>%&\\?/]")

# Sentences for what a pattern refuses; pydantic's own would show the pattern.
_ELEMENT_RULE = (
    "must be 1 to 80 letters, digits, dots, hyphens and underscores, begin with a letter or digit,"
    " and end with one or an underscore"
)
_RULES = {
    "vm_name": "must be 1 to 64 letters, digits and hyphens, and begin and end with a letter or digit",
    "vm_size": "must be a VM size such as Standard_B2s: letters, digits, hyphens and underscores",
    "admin_username": "must be 1 to 32 lower-case letters, digits, hyphens and underscores, and not begin with a digit or hyphen",
    "location": "must be an Azure region such as eastus",
    "vnet_name": _ELEMENT_RULE.replace("1 to 80", "2 to 64"),
    "backend_pool_name": _ELEMENT_RULE,
    "routing_rule_name": _ELEMENT_RULE,
    "host_name": "must be a plain lower-case DNS name such as acme.spokes.example.com, without wildcard",
    "vm.name": "must be 1 to 64 letters, digits and hyphens, and begin and end with a letter or digit",
}
_RULES |= {f"vm.{name.removeprefix('vm_')}": _RULES[name] for name in ("vm_size", "admin_username")}


def _refused(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{sentence}", {"sentence": sentence})


def _fit_for_names(text: str) -> str:
    if _CONTROL.search(text):
        raise _refused("must not hold control characters")
    if _KEY_BREAKERS.search(text):
        raise _refused("must not hold any of / \\ # ?")
    if not naming.stem_of(text):
        raise _refused("must hold at least one letter a-z or digit: the names in Azure are made from it")
    return text


def _vm_name(text: str) -> str:
    if text.isdigit():
        raise _refused("must not be all digits")
    return text


def _admin_username(text: str) -> str:
    if text.lower() in RESERVED_ADMIN_NAMES:
        raise _refused(
            f"{text} is refused by Azure as the name of an administrator; choose another one, such as azureuser"
        )
    return text


def _ssh_public_key(text: str) -> str:
    try:
        return checked_ssh_public_key(text)
    except ValueError as error:
        raise _refused(str(error)) from error


def _tags(tags: dict[str, str]) -> dict[str, str]:
    seen: dict[str, str] = {}
    for name, value in tags.items():
        folded = name.lower()
        if folded in _OUR_TAGS:
            raise _refused(f"must not hold {name}, which this service sets")
        if folded.startswith(_AZURES_OWN):
            raise _refused(
                f"must not hold {name[:_SHOWN]}: names that begin with microsoft, azure or windows are Azure's"
            )
        if folded in seen:
            raise _refused(f"must not hold {seen[folded]} beside {name}: Azure takes them for one")
        if not name.strip() or _units(name) > 512 or _TAG_BREAKERS.search(name) or _CONTROL.search(name):
            raise _refused(f"must have names of 1 to 512 characters without < > % & \\ ? / (not {name[:_SHOWN]!r})")
        if _units(value) > 256 or _CONTROL.search(value):
            raise _refused(
                f"must have values of at most 256 characters, without control characters (not that of {name[:_SHOWN]!r})"
            )
        seen[folded] = name
    return tags


def _units(text: str) -> int:
    """The length as Azure counts it: what lies beyond the basic plane, such as an emoji, is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _cloud_init(text: str) -> str:
    if len(text.encode()) > MAX_CLOUD_INIT_BYTES:
        raise _refused(f"must be at most {MAX_CLOUD_INIT_BYTES} bytes (24 KiB) in UTF-8")
    if "\0" in text:
        raise _refused("must not hold NUL characters")
    return text


def _location(value: Any) -> Any:
    """`East US` is how the Portal writes `eastus`."""
    return value.replace(" ", "").lower() if isinstance(value, str) and len(value) <= _SHOWN else value


ClientName = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_fit_for_names)]
VmName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?$", max_length=64), AfterValidator(_vm_name)
]
VmSize = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$", max_length=64)]
AdminUsername = Annotated[
    str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$", max_length=32), AfterValidator(_admin_username)
]
SshPublicKey = Annotated[str, Field(min_length=1, max_length=8192), AfterValidator(_ssh_public_key)]
SpokeId = Annotated[int, Field(ge=1)]
Location = Annotated[str, Field(pattern=r"^[a-z0-9]{2,40}$"), BeforeValidator(_location)]
VnetName = Annotated[str, Field(pattern=f"^{naming.VNET_NAME}$", max_length=64)]
ElementName = Annotated[str, Field(pattern=f"^{naming.ELEMENT_NAME}$", max_length=80)]
HostName = Annotated[str, Field(pattern=rf"^({naming.DNS_LABEL}\.)+{naming.DNS_LABEL}$", max_length=253)]
AddressPrefix = Annotated[str, Field(max_length=18)]
Tags = Annotated[dict[str, str], Field(max_length=MAX_TAGS), AfterValidator(_tags)]
CloudInit = Annotated[str, AfterValidator(_cloud_init)]

_SPOKE_ID = "The spoke's number, from which its address block follows. Absent: the lowest free one."
_ADDRESS_PREFIX = "Exactly one block of the address pool. Without spoke_id, the block's number is the id."
# A key whose private half was thrown away.
_SSH_EXAMPLE = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJFPNCFoTy+GNqzeT9tbAh6XAz3RiVuhXOD7cqUMmiUI throw-away@acme-corp.example"
)
_SSH_KEY = "One line as in a .pub file: RSA of at least 2048 bits, or Ed25519."


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class SpokeRequest(_Strict):
    """The body of POST /spokes."""

    client_name: ClientName = Field(
        description="Whose spoke it is; gateway names and the host name are made from it.", examples=["acme-corp"]
    )
    vm_name: VmName = Field(description="The VM's name, and its computer name.", examples=["acme-vm-prod"])
    vm_size: VmSize = Field(description="An Azure VM size.", examples=["Standard_B2s"])
    admin_username: AdminUsername = Field(
        description="The VM's administrator; names that Azure reserves are refused.", examples=["azureuser"]
    )
    ssh_public_key: SshPublicKey = Field(description=_SSH_KEY, examples=[_SSH_EXAMPLE])
    spoke_id: SpokeId | None = Field(default=None, description=_SPOKE_ID)
    location: Location | None = Field(default=None, description="An Azure region. Absent: the hub's.")
    vnet_name: VnetName | None = Field(default=None, description="Absent: spoke-vnet-{spoke_id}. Never the hub's.")
    backend_pool_name: ElementName | None = Field(default=None, description="Absent: {client}-pool.")
    routing_rule_name: ElementName | None = Field(default=None, description="Absent: {client}-route.")
    host_name: HostName | None = Field(
        default=None, description="A lower-case DNS name under one of SPOKE_DOMAINS. Absent: {client}.{SPOKE_DOMAIN}."
    )
    address_prefix: AddressPrefix | None = Field(default=None, description=_ADDRESS_PREFIX)
    tags: Tags = Field(default_factory=dict, description="Further tags for every resource; none of this service's own.")
    cloud_init: CloudInit | None = Field(
        default=None, description="Custom data for the VM's first boot, at most 24 KiB."
    )
    hub: Annotated[str, Field(min_length=1, max_length=80)] | None = Field(
        default=None,
        description="The hub by its name. Absent: that of spoke_id, address_prefix or location, or the first.",
    )
    gateway: Annotated[str, Field(min_length=1, max_length=80)] | None = Field(
        default=None, description="One of the hub's gateways by its name. Absent: the one with the most free places."
    )

    def as_body(self) -> dict[str, Any]:
        """The request as JSON, what was left out left out: kept for a retry."""
        return self.model_dump(exclude_none=True, exclude_defaults=True)


class V1Vm(_Strict):
    """The VM in the older form."""

    name: VmName = Field(examples=["acme-vm-prod"])
    size: VmSize = Field(examples=["Standard_B2s"])
    admin_username: AdminUsername = Field(examples=["azureuser"])
    ssh_public_key: SshPublicKey = Field(description=_SSH_KEY, examples=[_SSH_EXAMPLE])


class V1SpokeRequest(_Strict):
    """The body of POST /v1/create-spoke: the VM nested, the address block explicit."""

    client_name: ClientName = Field(examples=["acme-corp"])
    address_prefix: AddressPrefix = Field(description=_ADDRESS_PREFIX, examples=["10.11.3.0/24"])
    vm: V1Vm
    spoke_id: SpokeId | None = Field(default=None, description=_SPOKE_ID)
    location: Location | None = None
    vnet_name: VnetName | None = None
    backend_pool_name: ElementName | None = None
    routing_rule_name: ElementName | None = None
    host_name: HostName | None = None
    tags: Tags = Field(default_factory=dict)
    cloud_init: CloudInit | None = None

    def as_request(self) -> SpokeRequest:
        """The same in the present form."""
        vm = self.vm.model_dump(exclude={"name", "size"}, exclude_none=True)
        body = self.model_dump(exclude={"vm"}, exclude_none=True)
        return SpokeRequest(vm_name=self.vm.name, vm_size=self.vm.size, **vm, **body)


def spoke_request(body: dict[str, Any], *, v1: bool = False) -> SpokeRequest:
    """The body of POST /spokes, or in the older form that of POST /v1/create-spoke, checked; a `ValidationException`
    names what is wrong with it."""
    try:
        return V1SpokeRequest.model_validate(body).as_request() if v1 else SpokeRequest.model_validate(body)
    except ValidationError as error:
        raise _refusal(error) from error


def check_against_settings(request: SpokeRequest, settings: "Settings") -> SpokeRequest:
    """What only a gateway's settings can judge: id, block, host name, VNet name. Answers the request with its id, when
    the block decides it."""
    pool, length = settings.spoke_address_pool, settings.spoke_prefix_length
    if request.address_prefix is not None:
        number = spoke_id_of_block(request.address_prefix, pool, length)
        if request.spoke_id is None:
            request = request.model_copy(update={"spoke_id": settings.first_spoke_id + number - 1})
    first, last = settings.first_spoke_id, settings.last_spoke_id
    if request.spoke_id is not None and not first <= request.spoke_id <= last:
        raise invalid("spoke_id", request.spoke_id, f"spoke_id must be a whole number from {first} to {last}.")
    host = request.host_name or f"{naming.sanitize_name(request.client_name)}.{settings.spoke_domain}"
    if request.host_name and not any(host.endswith(f".{domain}") for domain in settings.spoke_domains):
        raise outside(host, settings.spoke_domains)
    if len(host) > 253:
        raise invalid(
            "host_name", host, f"The host name {host} is longer than 253 characters; give a shorter host_name."
        )
    if request.vnet_name is not None and request.vnet_name.lower() == settings.hub_vnet_name.lower():
        raise invalid("vnet_name", request.vnet_name, "vnet_name must not be the hub's own VNet.")
    return request


def outside(host_name: str, domains: Iterable[str]) -> ValidationException:
    """A host name that lies under none of the domains."""
    return invalid("host_name", host_name, f"host_name must lie under one of {', '.join(domains)}.")


def check_reserved(request: SpokeRequest, settings: "Settings") -> None:
    """Refuses a new spoke that would take one of RESERVED_CLIENTS, as its client or as the first label of its host name.
    One that is there already is retried all the same."""
    for field, value, name in (
        ("client_name", request.client_name, naming.sanitize_name(request.client_name)),
        ("host_name", request.host_name, (request.host_name or "").split(".")[0]),
    ):
        if name in settings.reserved_clients:
            sentence = f"{field} can't be {shown(value)}: the name {name} is reserved."
            hint = "Choose another one; the setting RESERVED_CLIENTS lists the names that can't be taken."
            raise invalid(field, value, sentence, code="ReservedName", hint=hint)


def plan_from(request: SpokeRequest, settings: "Settings", spoke_id: int, deployment_id: str) -> SpokePlan:
    """Every name and address of a spoke. The request has been through `check_against_settings`."""
    client = naming.sanitize_name(request.client_name)
    prefix = request.address_prefix or calculate_spoke_address_space(
        spoke_id - settings.first_spoke_id + 1, settings.spoke_address_pool, settings.spoke_prefix_length
    )
    elsewhere = settings.spoke_subscription_id != settings.subscription_id
    return SpokePlan(
        spoke_id=spoke_id,
        client_name=request.client_name,
        client=client,
        made_by=deployment_id,
        location=request.location or settings.hub_location,
        resource_group=settings.spoke_resource_group,
        vnet_name=request.vnet_name or naming.vnet_name(spoke_id),
        address_prefix=prefix,
        subnet_prefixes=tuple(calculate_subnet_ranges(prefix)),
        vm_name=request.vm_name,
        vm_size=request.vm_size,
        admin_username=request.admin_username,
        ssh_public_key=request.ssh_public_key,
        host_name=request.host_name or f"{client}.{settings.spoke_domain}",
        backend_pool_name=request.backend_pool_name or f"{client}-pool",
        routing_rule_name=request.routing_rule_name or f"{client}-route",
        tags=dict(request.tags),
        cloud_init=request.cloud_init,
        hub=settings.hub_name if settings.several else "",
        gateway=settings.hub_agw_name if settings.several else "",
        subscription_id=settings.spoke_subscription_id if elsewhere else "",
    )


def invalid(field: str, value: Any, sentence: str, **more: Any) -> ValidationException:
    """A field that can't be accepted. more: `code` and `hint`, where they are not the general ones."""
    return ValidationException(sentence, field=field, value=shown(value), **more)


def shown(value: Any) -> Any:
    """A value fit for an answer: short, and never a whole key or document."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if abs(value) < _BIGGEST_SHOWN else f"{value!r:.{_SHOWN}}"
    if isinstance(value, str) and _LOOKS_SECRET.search(value):
        return None
    text = value if isinstance(value, str) else f"a JSON {'array' if isinstance(value, list) else 'object'}"
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _refusal(error: ValidationError) -> HubSpokeException:
    """All that pydantic found, as sentences; the first one speaks for all."""
    found = [_finding(one) for one in error.errors(include_url=False)]
    first = found[0]
    message = first["message"] if len(found) == 1 else f"{first['message']} ({len(found) - 1} more in details.errors)"
    return ValidationException(message, field=first["field"], value=first["value"], errors=found)


def _finding(one: ErrorDetails) -> dict[str, Any]:
    location = [str(part) for part in one["loc"] if part != "[key]"]
    field = ".".join(location) or "body"
    kind, context = one["type"], one.get("ctx", {})
    # An unknown field may be a secret one with its name misspelt.
    hidden = kind in ("missing", "extra_forbidden") or not SECRETS.isdisjoint(location)
    value = None if hidden else shown(one.get("input"))
    return {"field": field[:200], "value": value, "message": _sentence(field, kind, context, one["msg"])}


# What is said about a field, by the type of pydantic's error.
_SAID_OF = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this request; the fields are listed in /api/openapi.json",
    "int_type": "must be a whole number",
    "string_type": "must be a string",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "string_unicode": "holds half a surrogate pair, which is no character",
    "string_too_short": "must not be empty",
}


def _sentence(field: str, kind: str, context: dict[str, Any], said: str) -> str:
    field = field[:_SHOWN]
    match kind:
        case _ if kind in _SAID_OF:
            return f"{field} {_SAID_OF[kind]}."
        case "refused":
            return f"{field} {context['sentence']}."
        case "string_pattern_mismatch" if field in _RULES:
            return f"{field} {_RULES[field]}."
        case "greater_than_equal":
            return f"{field} must be {context['ge']} or more."
        case "string_too_long" | "too_long":
            most = context.get("max_length")
            return (
                f"{field} is too long: {most} is the most." if field != "tags" else f"At most {most} tags can be given."
            )
        case _:
            return f"{field}: {said[0].lower()}{said[1:]}."

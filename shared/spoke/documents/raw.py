"""How any document of Azure is read: lists and objects that are null count as left out. Pure."""

from typing import Any

Document = dict[str, Any]


def properties_of(document: Document | None) -> Document:
    return (document or {}).get("properties") or {}


def listed(document: Document | None, name: str) -> list[Document]:
    """A list of the properties: a VNet's `subnets`."""
    return properties_of(document).get(name) or []


def id_in(document: Document | None, name: str) -> str:
    """The id that a property refers to, empty when it refers to nothing: a peering's `remoteVirtualNetwork`."""
    return str((properties_of(document).get(name) or {}).get("id") or "")


def address_prefixes(document: Document | None, name: str = "addressSpace") -> list[str]:
    """The prefixes of an address space: a VNet's own, a peering's `remoteAddressSpace`."""
    return (properties_of(document).get(name) or {}).get("addressPrefixes") or []


def provisioning_state(document: Document) -> str:
    return str(properties_of(document).get("provisioningState", "Succeeded"))

"""Names that follow from a client's name and a spoke's id. Pure."""

import hashlib
import re

DNS_LABEL_LENGTH = 63
# Patterns of whole names, as Azure Resource Manager takes them, and of one label of a DNS name.
VNET_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}[A-Za-z0-9_]"
ELEMENT_NAME = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,78}[A-Za-z0-9_])?"
DNS_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"

_SEPARATORS = re.compile(r"[ _]")
_OTHERS = re.compile(r"[^a-z0-9-]")


def sanitize_name(name: str) -> str:
    """A name as the stem of Azure names and as one DNS label: `Acme Corp! 2024` becomes `acme-corp-2024`.

    Lower case; spaces and underscores become hyphens; everything else is dropped; no hyphen at either end; at most 63
    characters. A name of which nothing is left gets a stem of its own, the same every time, so that it is never empty.
    """
    kept = stem_of(name)
    if kept:
        return kept
    return "client-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def stem_of(name: str) -> str:
    """What sanitising keeps of a name; empty when it has neither a letter a-z nor a digit."""
    kept = _OTHERS.sub("", _SEPARATORS.sub("-", name.lower()))
    return kept.strip("-")[:DNS_LABEL_LENGTH].strip("-")


def vnet_name(spoke_id: int) -> str:
    return f"spoke-vnet-{spoke_id}"

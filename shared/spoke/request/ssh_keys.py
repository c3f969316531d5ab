"""SSH public keys as Azure takes them for a Linux VM. Import inside functions: it needs cryptography."""

import base64
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

LEAST_RSA_BITS = 2048
_TYPES = ("ssh-rsa", "ssh-ed25519")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def checked_ssh_public_key(text: str) -> str:
    """The key without white space around it; a `ValueError` says in words what is wrong with it."""
    key = text.strip()
    if "PRIVATE KEY" in key:
        raise ValueError("is a private key; give the public one (the .pub file), and change this one: it has been sent")
    if _CONTROL.search(key):
        raise ValueError("must be one line, as in a .pub file")
    if key.split(" ", 1)[0] not in _TYPES:
        raise ValueError("must begin with ssh-rsa or ssh-ed25519, as in a .pub file")
    try:
        parsed = load_ssh_public_key(key.encode())
    except (ValueError, UnsupportedAlgorithm, UnicodeEncodeError) as error:
        raise ValueError("can't be read as an SSH public key; paste the whole line of the .pub file") from error
    blob = key.split()[1]
    if base64.b64encode(base64.b64decode(blob)).decode() != blob:  # read here, but not by everybody
        raise ValueError("has a key that is not plain base64; paste the whole line of the .pub file")
    if isinstance(parsed, RSAPublicKey) and parsed.key_size < LEAST_RSA_BITS:
        raise ValueError(f"is an RSA key of {parsed.key_size} bits; at least {LEAST_RSA_BITS} are needed")
    if not isinstance(parsed, RSAPublicKey | Ed25519PublicKey):
        raise ValueError("must be an RSA or Ed25519 key")
    return key

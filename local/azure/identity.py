"""Tokens: a managed identity's endpoint, and an authority good enough for a service principal.

Both are served over TLS on the one port; unmodified azure-identity takes them with `IDENTITY_ENDPOINT` and
`IDENTITY_HEADER`, or with `AZURE_AUTHORITY_HOST` and instance discovery off. Tokens are signed with a secret of the
state, so that they outlive a restart.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
import uuid
from urllib.parse import parse_qs

from local.azure import ids
from local.azure.arm import Reply
from local.azure.errors import ArmError
from local.azure.store import Json, Store

LIFETIME_SECONDS = 86_400
_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Identity:
    """Who may ask, and with what."""

    def __init__(self, store: Store) -> None:
        for name in ("token_secret", "identity_header"):
            if store.meta(name) is None:
                store.set_meta(name, secrets.token_hex(24))
        self._secret = str(store.meta("token_secret")).encode()
        self.header = str(store.meta("identity_header"))

    def token(self, resource: str, principal: str = ids.PRINCIPAL_ID, now: float | None = None) -> Json:
        """A bearer token of an identity for a resource."""
        issued = int(time.time() if now is None else now)
        claims = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{ids.TENANT_ID}/",
            "iat": issued,
            "nbf": issued,
            "exp": issued + LIFETIME_SECONDS,
            "appid": principal,
            "oid": principal,
            "sub": principal,
            "tid": ids.TENANT_ID,
            "idtyp": "app",
            "ver": "1.0",
        }
        head = _encoded(json.dumps({"typ": "JWT", "alg": "HS256"}).encode())
        body = _encoded(json.dumps(claims).encode())
        signature = _encoded(hmac.digest(self._secret, f"{head}.{body}".encode(), "sha256"))
        return {
            "access_token": f"{head}.{body}.{signature}",
            "expires_in": LIFETIME_SECONDS,
            "expires_on": claims["exp"],
            "resource": resource,
            "token_type": "Bearer",
        }

    def check(self, authorization: str | None) -> str:
        """Whose token it is; 401 with ARM's body unless a token of ours is there."""
        if not authorization:
            raise _unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        scheme, _, token = authorization.partition(" ")
        parts = token.split(".")
        if scheme.lower() != "bearer" or len(parts) != 3:
            raise _unauthorized(
                "AuthenticationFailedInvalidHeader",
                "Authentication failed. The 'Authorization' header is provided in an invalid format.",
            )
        wanted = _encoded(hmac.digest(self._secret, f"{parts[0]}.{parts[1]}".encode(), "sha256"))
        if not hmac.compare_digest(wanted.encode(), parts[2].encode()):
            raise _unauthorized("InvalidAuthenticationToken", "The access token is invalid.")
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        if claims["exp"] < time.time():
            raise _unauthorized("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than now.")
        if str(claims["aud"]).rstrip("/") not in _AUDIENCES:
            raise _unauthorized(
                "InvalidAuthenticationTokenAudience",
                f"The access token has been obtained for wrong audience or resource '{claims['aud']}'.",
            )
        return str(claims["oid"])

    def managed_identity(self, query: dict[str, str], headers: dict[str, str]) -> Reply:
        """App Service's endpoint: `X-IDENTITY-HEADER` and `resource`."""
        if headers.get("x-identity-header") != self.header:
            return Reply(401, {"statusCode": 401, "message": "The X-IDENTITY-HEADER header is missing or wrong."})
        resource = query.get("resource")
        if not resource:
            return Reply(400, {"statusCode": 400, "message": "The parameter 'resource' is missing."})
        token = self.token(resource)
        return Reply(200, token | {"expires_on": str(token["expires_on"]), "client_id": ids.PRINCIPAL_ID})

    def authority(self, path: str, method: str, body: bytes, host: str) -> Reply | None:
        """The OpenID document and the token endpoint, below any tenant; None for any other path."""
        parts = path.strip("/").split("/")
        tenant = parts[0]
        base = f"https://{host}/{tenant}"
        if path.lower() == "/metadata/endpoints":
            return Reply(200, _cloud(host))
        if path.endswith("/.well-known/openid-configuration"):
            return Reply(
                200,
                {
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                    "jwks_uri": f"{base}/discovery/v2.0/keys",
                    "issuer": f"{base}/v2.0",
                    "response_types_supported": ["code", "id_token", "token"],
                    "subject_types_supported": ["pairwise"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                    "tenant_region_scope": "NA",
                    "cloud_instance_name": host,
                },
            )
        if path.endswith(("/oauth2/v2.0/token", "/oauth2/token")) and method == "POST":
            return self._service_principal(parse_qs(body.decode(errors="replace")))
        if path.endswith("/common/discovery/instance"):
            return Reply(
                200,
                {"tenant_discovery_endpoint": f"https://{host}/{ids.TENANT_ID}/v2.0/.well-known/openid-configuration"},
            )
        return None

    def _service_principal(self, form: dict[str, list[str]]) -> Reply:
        grant = form.get("grant_type", [""])[0]
        given = form.get("client_secret") or form.get("client_assertion")
        if grant != "client_credentials" or not given or not form.get("client_id"):
            return Reply(
                400,
                {
                    "error": "invalid_request",
                    "error_description": "AADSTS900144: The request body must contain client_id, client_secret and "
                    "grant_type=client_credentials.",
                    "error_codes": [900144],
                    "correlation_id": str(uuid.uuid4()),
                },
            )
        scope = (form.get("scope") or [f"{_AUDIENCES[0]}/.default"])[0].split(" ")[0]
        resource = (form.get("resource") or [scope.removesuffix("/.default")])[0]
        token = self.token(resource.rstrip("/") or resource, form["client_id"][0].lower())
        return Reply(200, token | {"ext_expires_in": LIFETIME_SECONDS})


def _cloud(host: str) -> Json:
    """What ARM tells anybody about its cloud: `az cloud register` asks for it."""
    here = f"https://{host}"
    return {
        "name": "Local",
        "portal": here,
        "resourceManager": here,
        "authentication": {
            "loginEndpoint": here,
            "audiences": list(_AUDIENCES),
            "tenant": ids.TENANT_ID,
            "identityProvider": "AAD",
        },
        "graphAudience": here,
        "microsoftGraphResourceId": here,
        "gallery": here,
        "suffixes": {"storage": "localhost", "keyVaultDns": "localhost"},
    }


def _unauthorized(code: str, message: str) -> ArmError:
    challenge = (
        f'Bearer authorization_uri="https://login.windows.net/{ids.TENANT_ID}", error="invalid_token", '
        f'error_description="{message}"'
    )
    return ArmError(401, code, message, headers={"WWW-Authenticate": challenge}, from_gateway=True)

"""The app's identity: one credential for a process, whose tokens are asked for in threads of its own.

An identity endpoint that hangs holds up a caller that needs a token until that caller's deadline, and never one that has
a token: it is renewed before it expires, while the old one is still in use.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.core.exceptions import ServiceRequestTimeoutError

from shared.process import logs
from shared.process.deadline import seconds_left, waiting_for
from shared.process.once import importing, once

if TYPE_CHECKING:
    from azure.core.credentials import TokenRequestOptions

# The longest that one request to the identity endpoint takes; azure-identity repeats it a few times.
CONNECT_SECONDS = 5
READ_SECONDS = 10
# How long a call waits for a token, unless it has less time left.
TOKEN_SECONDS = 60.0
# A token is renewed when it is valid for less than this, and used while it is valid for more than that.
_RENEW_SECONDS = 600
_USE_SECONDS = 30
# Of two audiences (ARM, tables) each can be asked for at a time.
_THREADS = 2

_Key = tuple[tuple[str, ...], tuple[tuple[str, Any], ...]]


class TokenTimeoutError(ServiceRequestTimeoutError):
    """No token in time: the request that needs it was not sent."""


class Identity:
    """What the clients of the Azure SDKs take for a credential."""

    def __init__(self, credential: Any) -> None:
        self._credential = credential
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="identity")
        self._lock = Lock()
        self._tokens: dict[_Key, AccessTokenInfo] = {}
        self._asked: dict[_Key, Future[AccessTokenInfo]] = {}

    def get_token_info(self, *scopes: str, options: "TokenRequestOptions | None" = None) -> AccessTokenInfo:
        """A token for these scopes: the one that is kept, or a new one. Raises `TokenTimeoutError`, or what
        azure-identity raises."""
        key: _Key = (scopes, tuple(sorted((options or {}).items())))
        token = self._tokens.get(key)
        if token is not None and _seconds(token) > _RENEW_SECONDS:
            return token
        asked = self._ask(key)
        if token is not None and _seconds(token) > _USE_SECONDS:
            return token
        seconds = seconds_left(TOKEN_SECONDS)
        with waiting_for(f"the identity endpoint (a token for {' '.join(scopes)})"):
            try:
                return asked.result(seconds)
            except TimeoutError as error:
                if asked.done():
                    raise
                raise TokenTimeoutError(f"The identity endpoint gave no token within {seconds:g} seconds.") from error

    def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, **options: Any
    ) -> AccessToken:
        """The same, for clients that ask in the older form."""
        given = {"claims": claims, "tenant_id": tenant_id, "enable_cae": options.get("enable_cae")}
        asked: Any = {name: value for name, value in given.items() if value}
        info = self.get_token_info(*scopes, options=asked)
        return AccessToken(info.token, info.expires_on)

    def close(self) -> None:
        """For tests: gives its connections and threads back."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._credential.close()

    def _ask(self, key: _Key) -> "Future[AccessTokenInfo]":
        """Asks once, however many wait for the answer; not again when it came while the lock was waited for."""
        with self._lock:
            asked, token = self._asked.get(key), self._tokens.get(key)
            if asked is None and token is not None and _seconds(token) > _RENEW_SECONDS:
                asked = Future()
                asked.set_result(token)
            elif asked is None:
                # Its log lines arrive late, under another function: the one that asks first may be gone by then.
                late = logs.context_of_thread(logs.LATE)
                asked = self._asked[key] = self._threads.submit(late.run, self._fetch, key)
        return asked

    def _fetch(self, key: _Key) -> AccessTokenInfo:
        scopes, options = key
        try:
            token: AccessTokenInfo = self._credential.get_token_info(*scopes, options=dict(options))
            self._tokens[key] = token  # before it leaves `_asked`: who finds it in neither asks anew
            return token
        finally:
            with self._lock:
                self._asked.pop(key, None)


def _seconds(token: AccessTokenInfo) -> float:
    """For how long it is still good; nothing when its issuer wants it renewed."""
    left = token.expires_on - time.time()
    is_to_be_renewed = token.refresh_on is not None and token.refresh_on <= time.time()
    return min(left, _RENEW_SECONDS) if is_to_be_renewed else left


@once
def identity() -> Identity:
    """The identity of this process."""
    with importing:
        from azure.identity import DefaultAzureCredential

        return Identity(DefaultAzureCredential(connection_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS))

"""The HTTP transport of all clients of the Azure SDKs: each request keeps the deadline of the one who waits for it, and the
environment's proxy and certificates.

Import it under `shared.process.once.importing` only: `requests`, which it needs, costs a cold start too much.
"""

from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import ServiceRequestTimeoutError
from azure.core.pipeline.transport._requests_basic import RequestsTransport
from requests import Session
from requests.adapters import HTTPAdapter

from shared.process.deadline import seconds_left

# As many connections to one host as threads can ask for at once; more would be opened anew for each request.
_CONNECTIONS = 64


class Transport(RequestsTransport):
    """Opened when it is made: its session is set up before several threads can ask for it."""

    def __init__(self, **keywords: Any) -> None:
        # Left to `requests`, the environment is read anew for every request, a fifth of what a request costs, and so is a
        # .netrc, whose password would replace the token.
        super().__init__(use_env_settings=False, **keywords)
        self._by_host: dict[str, dict[str, Any]] = {}
        self.open()  # type: ignore[no-untyped-call]

    def send(self, request: Any, **keywords: Any) -> Any:
        """Raises `ServiceRequestTimeoutError`, and sends nothing, when the deadline has passed."""
        config = self.connection_config
        for name, configured in (("connection_timeout", config.timeout), ("read_timeout", config.read_timeout)):
            keywords[name] = seconds_left(keywords.get(name, configured))
        if keywords["read_timeout"] <= 0:
            raise ServiceRequestTimeoutError("The time for this call was over before the request could be sent.")
        return super().send(request, **(self._environment_for(request.url) | keywords))

    def _environment_for(self, url: str) -> dict[str, Any]:
        """By which proxy a host is reached, and whose certificates are trusted: read from the environment once."""
        host = urlsplit(url).netloc
        if host not in self._by_host:
            verify = self.connection_config.verify
            found = Session().merge_environment_settings(url, {}, None, verify, None)
            self._by_host[host] = {"proxies": found["proxies"], "connection_verify": found["verify"]}
        return self._by_host[host]

    def _init_session(self, session: Session) -> None:
        super()._init_session(session)
        for adapter in session.adapters.values():
            if isinstance(adapter, HTTPAdapter):
                adapter.init_poolmanager(_CONNECTIONS, _CONNECTIONS)

"""The network under the app's real clients: what happens right before a request is sent, or right after its answer came.

An adapter of `requests`, mounted on the sessions of the app's own transports. Each request still goes to the stand-in or
to Azurite; between two of them a test lets another writer come, time pass, or the host die.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from shared.arm.client import arm
from shared.tables.client import _transport as transport_of_tables

# Every path of the table that is asked for by name, and every transaction.
A_TRANSACTION = r"/\$batch$"


@dataclass
class _Event:
    """act: what happens.  times: how often at most, None for ever.  skip: so many requests before it."""

    method: str
    path: re.Pattern[str]
    body: str
    act: Callable[[], Any]
    times: int | None
    skip: int

    def strikes(self, request: PreparedRequest) -> bool:
        path = unquote(urlsplit(request.url or "").path)
        if self.method not in ("", request.method) or not self.path.search(path) or self.body not in _text(request):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            if not self.times:
                return False
            self.times -= 1
        return True


class Network:
    """Mounted on the clients that the app has now; they are forgotten with them (`forget_app`)."""

    def __init__(self) -> None:
        self._before: list[_Event] = []
        self._after: list[_Event] = []
        self.present = PreparedRequest()
        """The request that something is happening at."""
        azure = arm()
        azure._client("network")
        assert azure._transport is not None
        for transport in (azure._transport, transport_of_tables()):
            session: Any = transport.session
            for prefix, adapter in list(session.adapters.items()):
                session.mount(prefix, _Watched(adapter, self))

    def before(
        self,
        method: str,
        path: str,
        act: Callable[[], Any],
        *,
        body: str = "",
        times: int | None = 1,
        skip: int = 0,
    ) -> None:
        """act is called before such a request is sent; what it raises, its sender gets. An empty method is any one."""
        self._before.append(_Event(method, re.compile(path, re.IGNORECASE), body, act, times, skip))

    def after(
        self,
        method: str,
        path: str,
        act: Callable[[], Any],
        *,
        body: str = "",
        times: int | None = 1,
        skip: int = 0,
    ) -> None:
        """act is called when such a request has been answered, and before its sender knows the answer."""
        self._after.append(_Event(method, re.compile(path, re.IGNORECASE), body, act, times, skip))

    def about_to_send(self, request: PreparedRequest) -> None:
        self._happen(self._before, request)

    def answered(self, request: PreparedRequest) -> None:
        self._happen(self._after, request)

    def _happen(self, events: list[_Event], request: PreparedRequest) -> None:
        for event in list(events):
            if event.strikes(request):
                self.present = request
                event.act()


class _Watched(HTTPAdapter):
    def __init__(self, adapter: Any, network: Network) -> None:
        super().__init__()
        self._adapter = adapter
        self._network = network

    def send(self, request: PreparedRequest, *args: Any, **keywords: Any) -> Response:
        self._network.about_to_send(request)
        answer: Response = self._adapter.send(request, *args, **keywords)
        try:
            self._network.answered(request)
        except BaseException:
            answer.close()
            raise
        return answer

    def close(self) -> None:
        self._adapter.close()


def _text(request: PreparedRequest) -> str:
    return request.body.decode("utf-8", "replace") if isinstance(request.body, bytes) else str(request.body or "")

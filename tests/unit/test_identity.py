"""Tokens: one request at a time for all who wait, renewed before they expire, never waited for beyond a deadline."""

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from azure.core.credentials import AccessTokenInfo
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential

from shared.arm.failures import error_of_exception
from shared.errors import AzureResourceException
from shared.process.deadline import within
from shared.process.identity import Identity, TokenTimeoutError

SCOPE = "https://management.azure.com/.default"


class Endpoint:
    """A credential whose answers the test gives or holds back."""

    def __init__(self) -> None:
        self.asked = 0
        self.released = threading.Event()
        self.released.set()
        self.valid_for = 3600.0
        self.error: Exception | None = None

    def get_token_info(self, *scopes: str, options: dict[str, Any]) -> AccessTokenInfo:
        self.asked += 1
        number = self.asked
        self.released.wait()
        if self.error is not None:
            raise self.error
        return AccessTokenInfo(f"token-{number}", int(time.time() + self.valid_for))

    def close(self) -> None:
        self.released.set()


def test_all_who_wait_share_one_request_and_its_token_is_kept() -> None:
    endpoint = Endpoint()
    endpoint.released.clear()
    identity = Identity(endpoint)
    with ThreadPoolExecutor(8) as callers:
        waiting = [callers.submit(identity.get_token_info, SCOPE) for _ in range(8)]
        while not endpoint.asked:
            pass
        endpoint.released.set()
        assert {each.result().token for each in waiting} == {"token-1"}
    assert identity.get_token(SCOPE).token == "token-1"
    assert endpoint.asked == 1
    identity.close()


def test_a_caller_waits_until_its_deadline_and_the_next_one_gets_the_token_of_the_same_request() -> None:
    endpoint = Endpoint()
    endpoint.released.clear()
    identity = Identity(endpoint)
    for _ in range(3):
        with within(0.01), pytest.raises(TokenTimeoutError) as timeout:
            identity.get_token_info(SCOPE)
    endpoint.released.set()
    assert identity.get_token_info(SCOPE).token == "token-1"
    assert endpoint.asked == 1
    error = error_of_exception(timeout.value)
    assert error is not None
    assert (error.failure.code, error.failure.transient) == ("TokenTimeout", True)
    assert "identity endpoint" in error.failure.message
    identity.close()


def test_an_identity_endpoint_that_hangs_is_no_missing_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """azure-identity says of both that no credential of its chain gave a token."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}/token")
        monkeypatch.setenv("IDENTITY_HEADER", "secret")
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        credential = DefaultAzureCredential(read_timeout=0.1, retry_total=0)
        with credential, pytest.raises(ClientAuthenticationError) as hung:
            credential.get_token_info(SCOPE)
    failure = error_of_exception(hung.value).failure
    assert (failure.error, failure.code, failure.transient) == (AzureResourceException, "TokenTimeout", True)
    assert "timed out" in failure.details["reason"]
    assert "secret" not in str(failure)
    assert "managed identity" in str(failure.hint)


def test_a_token_that_is_about_to_expire_is_used_while_a_new_one_is_asked_for() -> None:
    endpoint = Endpoint()
    endpoint.valid_for = 300
    identity = Identity(endpoint)
    assert identity.get_token_info(SCOPE).token == "token-1"
    endpoint.released.clear()
    endpoint.valid_for = 3600
    assert identity.get_token_info(SCOPE).token == "token-1", "the endpoint hangs, and a token is there"
    endpoint.released.set()
    while identity.get_token_info(SCOPE).token == "token-1":
        pass
    identity.close()


def test_a_refusal_is_raised_and_asked_for_anew_by_the_next_caller() -> None:
    endpoint = Endpoint()
    identity = Identity(endpoint)
    endpoint.error = ClientAuthenticationError("no identity")
    with pytest.raises(ClientAuthenticationError):
        identity.get_token_info(SCOPE)
    endpoint.error = None
    assert identity.get_token_info(SCOPE).token == "token-2"
    identity.close()


def test_tokens_of_other_scopes_and_claims_are_others() -> None:
    endpoint = Endpoint()
    identity = Identity(endpoint)
    tokens = {
        identity.get_token_info(SCOPE).token,
        identity.get_token_info("https://storage.azure.com/.default").token,
        identity.get_token_info(SCOPE, options={"claims": "more"}).token,
        identity.get_token(SCOPE).token,
    }
    assert tokens == {"token-1", "token-2", "token-3"}
    identity.close()


def test_health_probes_share_one_answer() -> None:
    from triggers.http.responses import Answer
    from triggers.status import SharedAnswer

    asked: list[int] = []

    async def probes() -> None:
        released, shared = asyncio.Event(), SharedAnswer()

        async def ask() -> Answer:
            asked.append(len(asked))
            await released.wait()
            return Answer(200, {})

        waiting = [asyncio.ensure_future(shared.get(ask)) for _ in range(4)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # the first probe's client goes away
        released.set()
        assert [answer.status for answer in await asyncio.gather(*waiting[1:])] == [200] * 3
        assert (await shared.get(ask)).status == 200, "a moment later"

    asyncio.run(probes())
    assert asked == [0]

"""What an e2e test does with a running stack: call the API as a user would, look at Azure from the other side."""

import itertools
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, Self

import httpx

from local.recipes import ROOT

Document = dict[str, Any]
# Each look is work for the stack, which deploys meanwhile.
SECONDS_BETWEEN_POLLS = 0.2
UNDER_WAY = frozenset({"accepted", "in_progress", "rolling_back", "deleting"})
GONE = "gone"


def sample(name: str) -> Document:
    """A request body of samples/, such as `acme-corp`."""
    body: Document = json.loads((ROOT / "samples" / f"{name}.json").read_text(encoding="utf-8"))
    return body


def request_for(spoke_id: int | None = None, client_name: str | None = None, **changes: Any) -> Document:
    """A complete request, like the sample's but for another spoke. What is None is left out."""
    client = client_name or f"client-{spoke_id}"
    body = sample("acme-corp") | {"spoke_id": spoke_id, "client_name": client, "vm_name": f"vm-{client}"[:64]} | changes
    return {name: value for name, value in body.items() if value is not None}


class Served(Protocol):
    """What tells where a stack is, such as a Stack."""

    @property
    def endpoints(self) -> Document: ...


class Api:
    """The API of a stack and, beside it, the stand-in's own endpoints. Each call answers as the server did: no retries."""

    def __init__(self, stack: Served) -> None:
        self.stack = stack
        endpoints = stack.endpoints
        self.http = httpx.Client(
            base_url=endpoints["api"],
            headers={"x-functions-key": endpoints["function_key"]},
            timeout=60,
            trust_env=False,
        )
        self.arm = httpx.Client(
            base_url=endpoints["arm"],
            verify=ssl.create_default_context(cafile=endpoints["ca"]),
            timeout=60,
            trust_env=False,
        )

    def close(self) -> None:
        self.http.close()
        self.arm.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # --- the API

    def post_spoke(self, body: Document, *, idempotency_key: str | None = None, **query: str) -> httpx.Response:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self.http.post("/spokes", json=body, headers=headers, params=query)

    def accepted(self, body: Document, *, idempotency_key: str | None = None) -> Document:
        """The answer of a create that must be accepted."""
        answer = self.post_spoke(body, idempotency_key=idempotency_key)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def spokes(self, **query: str) -> Document:
        return self._found(self.http.get("/spokes", params=query))

    def spoke(self, spoke_id: int) -> httpx.Response:
        return self.http.get(f"/spokes/{spoke_id}")

    def progress(self, spoke_id: int) -> Document:
        return self._found(self.http.get(f"/spokes/{spoke_id}/progress"))

    def deployment(self, deployment_id: str) -> Document:
        return self._found(self.http.get(f"/deployments/{deployment_id}"))

    def deployments(self, spoke_id: int) -> httpx.Response:
        return self.http.get(f"/spokes/{spoke_id}/deployments")

    def delete(self, spoke_id: int, *, force: bool = False) -> httpx.Response:
        return self.http.delete(f"/spokes/{spoke_id}", params={"force": "true"} if force else {})

    def retry(self, spoke_id: int) -> httpx.Response:
        return self.http.post(f"/spokes/{spoke_id}/retry")

    def status_of(self, spoke_id: int) -> str:
        """The spoke's status; `gone` when the id answers 404."""
        answer = self.spoke(spoke_id)
        return GONE if answer.status_code == 404 else str(self._found(answer)["status"])

    def wait_until(self, spoke_id: int, *wanted: str, seconds: float = 60) -> Document:
        """The spoke once its status is one of `wanted` (`gone` counts as one, and gives an empty document).

        Fails at once when the spoke has finished in any other state, with its error and its steps. A host that is
        being started again is waited for.
        """
        latest = time.monotonic() + seconds
        while True:
            document: Document = {}
            try:
                answer = self.spoke(spoke_id)
                document = {} if answer.status_code == 404 else self._found(answer)
                status = document.get("status", GONE)
            except httpx.TransportError as lost:
                status = f"no answer ({lost!r})"
            else:
                if status in wanted:
                    return document
                assert status in UNDER_WAY, f"spoke {spoke_id} is {status}, not {wanted}: {self._story(document)}"
            assert time.monotonic() < latest, (
                f"spoke {spoke_id} is {status}, not {wanted}, after {seconds:g} s: {self._story(document)}"
            )
            time.sleep(SECONDS_BETWEEN_POLLS)

    def deployed(self, body: Document, *, seconds: float = 60) -> Document:
        """The spoke that a request makes, completed."""
        return self.wait_until(self.accepted(body)["spoke_id"], "completed", seconds=seconds)

    def deleted(self, spoke_id: int, *, seconds: float = 60) -> None:
        answer = self.delete(spoke_id)
        assert answer.status_code == 202, answer.text
        self.wait_until(spoke_id, GONE, seconds=seconds)

    # --- Azure, seen from the other side

    def arm_journal(self, method: str | None = None, path: str = "") -> list[Document]:
        """What ARM was asked, in order; only requests with this method and with `path` in theirs (in any letter case)."""
        journal: list[Document] = self._found(self.arm.get("/_local/requests"))  # type: ignore[assignment]  # a list
        return [
            entry for entry in journal if method in (None, entry["method"]) and path.lower() in entry["path"].lower()
        ]

    def arm_resources(self) -> Any:
        """Everything that Azure holds."""
        return self._found(self.arm.get("/_local/resources"))

    @contextmanager
    def arm_faults(self, *faults: Document) -> Iterator[None]:
        self._found(self.arm.post("/_local/faults", json=list(faults)))
        try:
            yield
        finally:
            self.arm.delete("/_local/faults").raise_for_status()

    @contextmanager
    def tables_faults(self, *faults: Document) -> Iterator[None]:
        """For stacks with `tables_proxy=True`: see local/tables_proxy.py for what a fault is."""
        where = self.stack.endpoints["tables_faults"]
        httpx.post(where, json=list(faults), trust_env=False).raise_for_status()
        try:
            yield
        finally:
            httpx.delete(where, trust_env=False).raise_for_status()

    def route(self, host: str, port: int = 80, gateway: str = "hub-agw") -> httpx.Response:
        """Which rule, pool and address a request for this host would reach on the gateway."""
        return self.arm.get("/_local/route", params={"gateway": gateway, "host": host, "port": port})

    # --- failures that say what happened

    def _found(self, answer: httpx.Response) -> Document:
        assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
        document: Document = answer.json() if answer.content else {}
        return document

    def _story(self, spoke: Document) -> str:
        if not spoke:
            return "it isn't there"
        run = self.http.get(f"/spokes/{spoke['spoke_id']}/progress")
        steps = itertools.chain(run.json()["deployment_steps"], run.json()["rollback_steps"]) if run.is_success else ()
        lines = [f"  {step['step_name']}: {step['status']} {step.get('message') or ''}" for step in steps]
        return "\n".join([json.dumps(spoke.get("error")), *lines])

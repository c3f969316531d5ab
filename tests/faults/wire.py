"""The wire between the app and Azure Resource Manager: every call gets a name, and a fault can strike at one of them.

A call is named by who makes it and what it asks: `create_vnet: PUT virtualNetworks/{vnet}`, and a poll by the operation
that it asks after: `create_vnet: poll of PUT virtualNetworks/{vnet}`. Faults are ordered at the stand-in just before the
call that they are for; a kill is a `CrashedError` just before or just after it, which no error handling stops.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local.functions.durable.stage import CrashedError
from shared.arm.client import Arm
from tests.activities.azure_stand_in import LocalAzure

KILL_BEFORE = "killed right before"
KILL_AFTER = "killed right after"

_OPERATION = re.compile(r"/(operations|operationresults|diskoperations)/", re.IGNORECASE)
_SUBSCRIPTION = re.compile(r"^https://[^/]+")
Response = Any


@dataclass
class Fault:
    """What goes wrong at a call. times: how often, None for ever.  fault: for the stand-in.  kill: of the host.
    interference: what another client does just before."""

    call: str
    fault: dict[str, Any] | None = None
    kill: str = ""
    times: int | None = 1
    interference: Callable[[], object] | None = None
    struck: int = 0

    def strikes(self, call: str) -> bool:
        if call != self.call or (self.times is not None and self.struck >= self.times):
            return False
        self.struck += 1
        return True


@dataclass
class Wire:
    """Stands around `Arm._send`; the call itself goes to the stand-in as it is."""

    azure: LocalAzure
    names: dict[str, str] = field(default_factory=dict)
    caller: str = ""
    calls: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    operations: dict[str, str] = field(default_factory=dict)
    """What the operations that are polled were begun by, by their URLs."""
    azure_time: Callable[[], float] = lambda: 0.0
    """What the stand-in's clock says by now; every call brings it along."""
    keep_time: Callable[[], None] = lambda: None
    """Moves the stand-in's clock there at once."""

    def around(self, send: Callable[..., Response]) -> Callable[..., Response]:
        def sent(arm: Arm, method: str, target: str, **more: Any) -> Response:
            name = self._name(method, target)
            self.calls.append(name)
            struck = [fault for fault in self.faults if fault.strikes(name)]
            if struck:
                self.keep_time()
            for fault in struck:
                if fault.interference is not None:
                    fault.interference()
                if fault.kill == KILL_BEFORE:
                    raise CrashedError
                if fault.fault is not None:
                    path = _SUBSCRIPTION.sub("", target.partition("?")[0])
                    self.azure.fault(method=method, path=re.escape(path) + "$", times=1, **fault.fault)
            try:
                more["headers"] = {**(more.get("headers") or {}), "x-local-clock": repr(self.azure_time())}
                response = send(arm, method, target, **more)
                self._remember(response, method, target)
            finally:
                if struck and not any(fault.fault and fault.fault["mode"] in LATER for fault in struck):
                    self.azure.client.delete("/_local/faults")
            if any(fault.kill == KILL_AFTER for fault in struck):
                raise CrashedError
            return response

        return sent

    def forget(self) -> None:
        self.names, self.caller = {}, ""
        self.calls, self.faults = [], []
        self.operations = {}

    def _name(self, method: str, target: str) -> str:
        url = target.partition("?")[0]
        if _OPERATION.search(url):
            return f"{self.caller}: poll of {self.operations.get(url, 'an unknown operation')}"
        return f"{self.caller}: {method} {self._short(url)}"

    def _remember(self, response: Response, method: str, target: str) -> None:
        for header in ("Azure-AsyncOperation", "Location"):
            if url := response.headers.get(header):
                self.operations[url.partition("?")[0]] = f"{method} {self._short(target)}"

    def _short(self, path: str) -> str:
        path = _SUBSCRIPTION.sub("", path)
        parts = re.split(r"/providers/", path, flags=re.IGNORECASE)
        found = parts[-1] if len(parts) > 1 else path.strip("/")
        found = found.removeprefix("Microsoft.Network/").removeprefix("Microsoft.Compute/")
        found = found.replace(f"subscriptions/{self.azure.subscription_id}", "{subscription}")
        for text, name in self.names.items():
            found = re.sub(rf"(?<![\w-]){re.escape(text)}(?![\w-])", name, found)
        return found


LATER = frozenset({"fail_operation", "never_end", "slow"})

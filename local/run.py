"""`make run`: the local stack, one spoke deployed through the API in front of the visitor's eyes, then served until Ctrl-C.

With --once it ends when the spoke is there: 0 when it is completed. A second run finds the spoke of the first one.
"""

import argparse
import json
import ssl
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from local.azure.hub import Hub, read
from local.options import add_options
from local.recipes import ROOT, StackError
from local.stack import Stack, StoppedError, stack_from, stopping_on_signals

SAMPLE = ROOT / "samples" / "acme-corp.json"
IDEMPOTENCY_KEY = "make-run"
SECONDS_BETWEEN_POLLS = 0.15
UNDER_WAY = {"accepted", "in_progress", "rolling_back", "deleting"}
MARKS = {
    "pending": ("·", "dim"),
    "in_progress": ("…", "cyan"),
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("–", "yellow"),
}


class InterruptedRunError(Exception):
    """The visitor has asked to stop."""


class RefusedError(Exception):
    """The API has answered with an error: its message and hint are for the visitor to read."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        try:
            self.body: dict[str, Any] = answer.json()
        except ValueError:
            self.body = {"message": answer.text[:500]}
        super().__init__(explained(self.body) or f"HTTP {self.status}")


def explained(error: object) -> str:
    """The message of an error of ours, with its hint when it has one."""
    if not isinstance(error, dict):
        return str(error or "")
    details = error.get("details")
    hint = details.get("hint") if isinstance(details, dict) else None
    return "\n".join(str(part) for part in (error.get("message"), hint) if part)


@dataclass
class Api:
    """The calls of a visitor, as `curl` would make them."""

    stack: Stack
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = {"x-functions-key": self.stack.endpoints["function_key"]}
        self.client = httpx.Client(base_url=self.stack.endpoints["api"], headers=headers, timeout=60, trust_env=False)

    def call(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        """The answer's document. A host that is just being started again is waited for; an error raises `RefusedError`."""
        latest = time.monotonic() + 30
        while True:
            if self.stack.stopping:
                raise InterruptedRunError
            try:
                answer = self.client.request(method, path, **given)
            except httpx.TransportError:
                if time.monotonic() > latest:
                    raise
                time.sleep(0.2)
                continue
            if answer.is_error:
                raise RefusedError(answer)
            document: dict[str, Any] = answer.json()
            return document

    def post_spoke(self, request: dict[str, Any], key: str) -> dict[str, Any]:
        return self.call("POST", "/spokes", json=request, headers={"Idempotency-Key": key})

    def spoke(self, spoke_id: int) -> dict[str, Any] | None:
        try:
            return self.call("GET", f"/spokes/{spoke_id}")
        except RefusedError as refused:
            if refused.status == 404:
                return None
            raise

    def progress(self, spoke_id: int) -> dict[str, Any]:
        return self.call("GET", f"/spokes/{spoke_id}/progress")


# --- the deployment ---------------------------------------------------------------------------------------------------


def deploy(api: Api, request: dict[str, Any], console: Console) -> tuple[dict[str, Any], bool]:
    """The spoke as it is when it has finished, and whether it was there before."""
    spoke_id = int(request["spoke_id"])
    try:
        request_sample(api, request)
    except RefusedError as refused:
        if refused.status != 409 or api.spoke(spoke_id) is None:
            raise
    first = api.progress(spoke_id)
    if first["status"] not in UNDER_WAY:
        found = api.spoke(spoke_id)
        if found is not None:
            return found, True
    watch(api, spoke_id, first, console)
    found = api.spoke(spoke_id)
    if found is None:
        raise StackError(f"Spoke {spoke_id} has been deleted meanwhile.")
    return found, False


def request_sample(api: Api, request: dict[str, Any]) -> None:
    """POST the sample. A key whose deployment failed, or whose spoke was deleted, is followed by the next one.

    Each key names the deployment before it, so that two runs at once still send the same one.
    """
    key = IDEMPOTENCY_KEY
    while True:
        try:
            answer = api.post_spoke(request, key)
            if answer["status"] != "failed":
                return
            spent = answer["deployment_id"]
        except RefusedError as refused:
            details = refused.body.get("details") or {}
            if details.get("code") != "IdempotencyKeySpent":
                raise
            spent = details["deployment_id"]
        key = f"{IDEMPOTENCY_KEY} after {spent}"


def watch(api: Api, spoke_id: int, progress: dict[str, Any], console: Console) -> None:
    """Show the steps until the run has finished: drawn over on a terminal, one line per change elsewhere."""
    began = time.monotonic()
    if console.is_terminal:
        busy = Spinner("dots", style="cyan")
        with Live(steps_picture(progress, began, busy), console=console, refresh_per_second=12) as live:
            while progress["status"] in UNDER_WAY:
                time.sleep(SECONDS_BETWEEN_POLLS)
                progress = api.progress(spoke_id)
                live.update(steps_picture(progress, began, busy))
        return
    told: dict[str, str] = {}
    while True:
        for step in [*progress["deployment_steps"], *progress["rollback_steps"]]:
            name, status = step["step_name"], step["status"]
            if status != told.get(name) and status != "pending":
                told[name] = status
                line = f"{progress['progress_percentage']:>4} %  {name}: {status} {step.get('message') or ''}"
                console.print(line.rstrip(), markup=False, soft_wrap=True)
        if progress["status"] not in UNDER_WAY:
            return
        time.sleep(SECONDS_BETWEEN_POLLS)
        progress = api.progress(spoke_id)


def steps_picture(progress: dict[str, Any], began: float, busy: RenderableType) -> RenderableType:
    steps = Table.grid(padding=(0, 2))
    for step in [*progress["deployment_steps"], *progress["rollback_steps"]]:
        mark, style = MARKS.get(step["status"], ("…", "cyan"))
        tries = f"try {step['attempts']}" if (step.get("attempts") or 0) > 1 else ""
        sign = busy if mark == "…" else Text(mark, style=style)
        message = Text(step.get("message") or "", style="dim", no_wrap=True, overflow="ellipsis")
        steps.add_row(sign, Text(step["step_name"], style=style), Text(tries, style="yellow"), message)
    done = int(progress["progress_percentage"])
    bar = Table.grid(padding=(0, 2))
    seconds = f"{time.monotonic() - began:.1f} s"
    bar.add_row(
        ProgressBar(100, done, width=40, complete_style="cyan", finished_style="green"),
        f"{done} %",
        seconds,
        Text(progress["status"], "bold"),
    )
    return Group(steps, Text(), bar)


# --- what the visitor sees at the end ---------------------------------------------------------------------------------


def pairs_of(subnets: Any) -> list[tuple[str, str]]:
    """Subnets by name and prefix, whether they come as a list or as an object."""
    if isinstance(subnets, dict):
        return [(str(name), str(prefix)) for name, prefix in subnets.items()]
    return [(str(each.get("name")), str(each.get("address_prefix"))) for each in subnets or []]


def way_through_the_gateway(stack: Stack, spoke: dict[str, Any]) -> str:
    """Where the gateway would send a visitor of the spoke's site, by its own order of evaluation."""
    agw = spoke.get("agw") or {}
    host, gateway = agw.get("host_name"), agw.get("gateway") or first_gateway(stack)
    trusted = ssl.create_default_context(cafile=stack.endpoints["ca"])
    asked = {"gateway": gateway, "host": host, "port": 80}
    answer = httpx.get(f"{stack.endpoints['arm']}/_local/route", params=asked, verify=trusted, trust_env=False)
    reached = answer.json() if answer.is_success else None
    if not reached or not reached.get("addresses"):
        return f"[bold]http://{host}/[/]  →  nothing yet"
    rule = f"{reached.get('rule')}, priority {reached.get('priority')}"
    return f"[bold]http://{host}/[/]  →  {gateway} [dim]({rule})[/]  →  {reached['addresses'][0]}"


def first_gateway(stack: Stack) -> str:
    """The gateway of a spoke that names none: there is one alone."""
    return (read(stack.hubs) if stack.hubs else (Hub(),))[0].gateways[0].name


def spoke_picture(spoke: dict[str, Any], site: str, seconds: float | None) -> RenderableType:
    vnet, vm, agw = (spoke.get(part) or {} for part in ("vnet", "vm", "agw"))
    facts = Table.grid(padding=(0, 3))
    facts.add_column(style="dim")
    facts.add_row(
        "VNet", f"[bold]{vnet.get('name')}[/]  {vnet.get('address_space')}  peering {vnet.get('peering_status')}"
    )
    for number, (name, prefix) in enumerate(pairs_of(vnet.get("subnets"))):
        facts.add_row("" if number else "subnets", f"{name}  {prefix}")
    facts.add_row("VM", f"[bold]{vm.get('name')}[/]  {vm.get('private_ip')}  {vm.get('size')}  {vm.get('os') or ''}")
    facts.add_row("gateway", f"{agw.get('backend_pool_name')}  {agw.get('routing_rule_name')}")
    facts.add_row("site", site)
    took = f", in {seconds:.1f} s" if seconds is not None else ""
    title = f"[green]✓[/] spoke {spoke['spoke_id']} of [bold]{spoke['client_name']}[/] is {spoke['status']}{took}"
    return Panel(facts, title=title, title_align="left", border_style="green", expand=False, padding=(1, 2))


def bill_of(stack: Stack) -> dict[str, int]:
    """What the engine has done since the host's start; nothing where the host is Azure's own."""
    if stack.core_tools:
        return {}
    total: dict[str, int] = httpx.get(f"{origin_of(stack)}/_local/bill", trust_env=False).json()["total"]
    return total


def bill_line(before: dict[str, int], after: dict[str, int]) -> str:
    """What one deployment cost. A host that was started again meanwhile has counted from 0."""
    counted = {what: number - (before[what] if number >= before[what] else 0) for what, number in after.items()}
    return "  Durable Functions: " + ", ".join(
        f"{counted[what]} {words}"
        for what, words in (
            ("calls", "activity calls"),
            ("episodes", "orchestrator episodes"),
            ("messages", "queue messages"),
            ("appends", "appends to histories"),
        )
    )


def origin_of(stack: Stack) -> str:
    parts = urlsplit(stack.endpoints["api"])
    return f"{parts.scheme}://{parts.netloc}"


def left_behind_line(left: object) -> str:
    if not isinstance(left, dict):
        return f"  {left}"
    resource = str(left.get("resource") or left.get("step")).rpartition("/providers/")[2]
    return f"  {resource}: {left.get('reason') or 'not removed'}"


def failure_picture(spoke: dict[str, Any]) -> RenderableType:
    lines = [explained(spoke.get("error")) or "no reason was recorded"]
    if spoke.get("left_behind"):
        lines += ["", "Left behind:", *(left_behind_line(each) for each in spoke["left_behind"])]
    title = f"[red]✗[/] spoke {spoke['spoke_id']} of {spoke['client_name']} is {spoke['status']}"
    return Panel(
        Text("\n".join(lines)), title=title, title_align="left", border_style="red", expand=False, padding=(1, 2)
    )


def show_calls(stack: Stack, spoke: dict[str, Any], console: Console) -> None:
    """Lines to paste, never wrapped by us."""
    api, key = stack.endpoints["api"], stack.endpoints["function_key"]
    other = "samples/with-cloud-init.json"
    lines = [
        f"export API={api} KEY={key}",
        'curl -s "$API/health" -H "x-functions-key: $KEY"',
        f'curl -s "$API/spokes/{spoke["spoke_id"]}" -H "x-functions-key: $KEY"',
        f'curl -s "$API/spokes/{spoke["spoke_id"]}/progress" -H "x-functions-key: $KEY"',
        f'curl -s -X POST "$API/spokes" -H "x-functions-key: $KEY" -H "Content-Type: application/json" -d @{other}',
        f'curl -s -X DELETE "$API/spokes/{spoke["spoke_id"]}" -H "x-functions-key: $KEY"',
    ]
    console.print("\nIn another terminal, from this directory:\n", style="dim")
    for line in lines:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"\nAll addresses and keys: {stack.state / 'endpoints.json'}", style="dim", soft_wrap=True)
    console.print(f"Logs: {stack.logs}", style="dim", soft_wrap=True)


def run(stack: Stack, once: bool, console: Console) -> int:
    began = time.monotonic()
    host = "Azure Functions Core Tools" if stack.core_tools else "the Functions host"
    with console.status(f"Starting Azurite, the ARM stand-in and {host}"):
        stack.start()
    console.print(
        f"[green]✓[/] The local Azure is up after {time.monotonic() - began:.1f} s: [bold]{stack.endpoints['api']}[/]"
    )
    if not stack.time_scale:
        clock = f"{stack.endpoints['arm']}/_local/clock"
        console.print(
            f"  Time stands still: operations of Azure end when POST {clock} passes their end.", style="yellow"
        )
    request = json.loads(Path(SAMPLE).read_text(encoding="utf-8"))
    console.print(f"  Deploying {SAMPLE.relative_to(ROOT)} through the API\n", highlight=False)

    code, before = 1, bill_of(stack)
    try:
        spoke, was_there = deploy(Api(stack), request, console)
    except RefusedError as refused:
        console.print(
            Panel(Text(str(refused)), title="[red]✗[/] the API refuses the sample", border_style="red", expand=False)
        )
    else:
        console.print()
        if was_there:
            console.print("This spoke was there already: state survives a restart.\n", style="dim")
        if spoke["status"] == "completed":
            code = 0
            seconds = (spoke.get("deployment") or {}).get("duration_seconds")
            site = way_through_the_gateway(stack, spoke)
            console.print(spoke_picture(spoke, site, None if was_there else seconds))
            if before and not was_there:
                console.print(bill_line(before, bill_of(stack)), style="dim")
        else:
            console.print(failure_picture(spoke))
        if not once:
            show_calls(stack, spoke, console)
    if once:
        return code
    console.print("\nServing until [bold]Ctrl-C[/]. Records and running deployments are kept for the next start.")
    stack.serve()
    console.print("Stopping.", style="dim")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.run", description="What `make run` runs.")
    add_options(parser)
    parser.add_argument("--once", action="store_true", help="end when the sample spoke has finished")
    options = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    stack = stack_from(options, say=lambda message: console.print(message, style="yellow"))
    with stopping_on_signals(stack):
        try:
            return run(stack, options.once, console)
        except (InterruptedRunError, StoppedError):
            console.print("\nStopped before the spoke was there; the next `make run` goes on with it.", style="yellow")
            return 130
        except (StackError, httpx.TransportError) as failed:
            console.print(f"\n[red]✗[/] {escape(str(failed))}", soft_wrap=True)
            return 1
        finally:
            stack.stop()


if __name__ == "__main__":
    sys.exit(main())

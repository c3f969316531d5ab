"""What deployments cost the Durable engine, and the least that they must, given how the app is cut into functions.

The floor counts what no cleverness of waiting removes: one activity call for each child of a deployment (its steps and the
record that begins it), one more for each step that has to wait for something, and the turns of the two writers.
"""

from dataclasses import dataclass
from typing import Any

import httpx

from local.functions.durable.bill import CALLS, EPISODES, MESSAGES
from local.stack import Stack
from shared.saga.steps import STEPS

Counts = dict[str, float]

# Steps that sleep once: `create_vm` until its operation is over, the other two until a writer has done their part.
POLLED_STEPS = 1
WOKEN_STEPS = 2
# `begin_run` is a child like the steps.
CHILDREN = len(STEPS) + 1


@dataclass(frozen=True)
class Writers:
    """The turns of the writers. hub_sides, spoke_sides: peerings written.  passes: looks of the hub's writer at its rows.
    puts: of the gateway. A step that waits is woken by the call that marks the row."""

    hub_sides: int
    spoke_sides: int
    passes: int
    puts: int

    @classmethod
    def of(cls, spokes: int, puts: int) -> "Writers":
        """passes: one for each batch of five hub sides, as many as the writer has in a queue, and a last one."""
        return cls(spokes, spokes, -(-spokes // 5) + 1, puts)

    @property
    def calls(self) -> int:
        """A hub side: one call, which also ends the side before it. A spoke side: begun and ended. A PUT of the gateway:
        a pass that sends it, a poll that sees its end, and a pass that records it."""
        return self.hub_sides + 2 * self.spoke_sides + self.passes + 3 * self.puts

    @property
    def timers(self) -> int:
        """One before the end of each hub side and each PUT, and one in which the gateway's writer gathers."""
        return self.hub_sides + 2 * self.puts


def floor(spokes: int, puts: int) -> Counts:
    """The least of each count for so many deployments, per deployment."""
    writers = Writers.of(spokes, puts)
    calls = CHILDREN + POLLED_STEPS + WOKEN_STEPS + writers.calls / spokes
    # A parent's start and each child's end; a child's start and its call's end; what ends a wait, a timer or an event, and
    # the end of the call that follows; a writer's call's end, and its timer.
    waits = POLLED_STEPS + WOKEN_STEPS
    episodes = 1 + CHILDREN + 2 * CHILDREN + 2 * waits + (writers.calls + writers.timers) / spokes
    # A call and its result; a parent's start; a child's start and its end; a poll's timer; a wake-up and its fallback timer.
    messages = 2 * calls + 1 + 2 * CHILDREN + POLLED_STEPS + 2 * WOKEN_STEPS + writers.timers / spokes
    return {CALLS: calls, EPISODES: episodes, MESSAGES: messages}


def engine_bill(stack: Stack) -> dict[str, Any]:
    """What the stack's host has counted since its start."""
    origin = stack.endpoints["api"].removesuffix("/api")
    document: dict[str, Any] = httpx.get(f"{origin}/_local/bill", trust_env=False).raise_for_status().json()
    return document


def per_spoke(before: dict[str, Any], after: dict[str, Any], spokes: int) -> tuple[Counts, dict[str, Counts]]:
    """The difference of two bills, per spoke: in total, and by function."""
    total = {what: (number - before["total"][what]) / spokes for what, number in after["total"].items()}
    functions = {
        name: {
            what: (number - before["functions"].get(name, {}).get(what, 0)) / spokes for what, number in counts.items()
        }
        for name, counts in after["functions"].items()
    }
    return total, functions

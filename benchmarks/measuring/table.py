"""A small table: ratios and limits first, then the figures that they come from."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psutil


@dataclass
class Table:
    """Lines are printed in the order in which they were added, those with a limit before those without."""

    title: str
    judged: list[tuple[str, str, str, bool]] = field(default_factory=list)
    plain: list[tuple[str, str]] = field(default_factory=list)

    def ratio(self, what: str, value: float, limit: float, unit: str = "") -> None:
        """A figure with a limit that it must not be above."""
        self.judged.append((what, shown(value, unit), f"at most {shown(limit, unit)}", value <= limit))

    def figure(self, what: str, value: float, unit: str = "") -> None:
        """A figure for which nothing was promised."""
        self.plain.append((what, shown(value, unit)))

    def note(self, what: str, text: str) -> None:
        """Something to read beside the figures."""
        self.plain.append((what, text))

    def lift_limits(self) -> None:
        """Makes plain figures of those that were judged."""
        self.plain = [(what, value) for what, value, _, _ in self.judged] + self.plain
        self.judged = []

    def show(self) -> int:
        """Prints the table; 1 when something is over its limit."""
        print(f"\n{self.title}")
        for what, value, limit, met in self.judged:
            print(f"  {what:<72} {value:>12}   {limit}{'' if met else '   OVER THE LIMIT'}")
        for what, value in self.plain:
            print(f"  {what:<72} {value:>12}")
        print(f"  {machine()}", flush=True)
        return 0 if all(met for *_, met in self.judged) else 1


def shown(value: float, unit: str) -> str:
    if unit == "%":
        return f"{value * 100:.1f} %"
    text = (
        f"{value:,.0f}"
        if abs(value) >= 1000 or value == int(value)
        else f"{value:.2f}"
        if abs(value) >= 1
        else f"{value:.3f}"
    )
    return f"{text} {unit}".rstrip()


def machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"

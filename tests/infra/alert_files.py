"""The files of alerts, and the tables of the guide about them."""

from pathlib import Path

from local.bicep import ROOT

ALERTS = sorted((ROOT / "infra" / "alerts").glob("*.kql"))


def heads(path: Path) -> tuple[str, str]:
    """What the alert means, and what to do."""
    first, second, *_ = path.read_text(encoding="utf-8").splitlines()
    assert first.startswith("// What it means: "), path.name
    assert second.startswith("// What to do: "), path.name
    return first.partition(": ")[2], second.partition(": ")[2]


def guide_rows(section: str) -> dict[str, list[str]]:
    """The rows of a table in the guide, by their first cell."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition(f"\n### {section}\n")[2]
    rows = [
        line.strip("| ").split(" | ") for line in text.partition("\n### ")[0].splitlines() if line.startswith("| `")
    ]
    return {name.strip("`"): rest for name, *rest in rows}

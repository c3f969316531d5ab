"""Whether an alert's query finds a line that the app wrote, and what it reads in it.

Only the queries' own words are carried out: `has "event=…"`, and each `extract` of a field.
"""

import re

from local.bicep import ROOT

_EVENT = re.compile(r'has "(event=\w+)"')
_FIELD = re.compile(r'extract\(@"((\w+)=\([^"]*\))", 1, message\)')


def found(alert: str, text: str) -> list[dict[str, str]]:
    """The lines of a log that the alert's query finds, each with its `line` and the fields that the query reads.

    A line in which the query misses a field fails."""
    query = (ROOT / "infra" / "alerts" / f"{alert}.kql").read_text(encoding="utf-8")
    (event,) = _EVENT.findall(query)
    lines = re.findall(rf'{event}\b[^"\n]*', text)
    read = []
    for line in lines:
        fields = {name: re.search(pattern, line) for pattern, name in _FIELD.findall(query)}
        assert all(fields.values()), f"{alert} reads {sorted(fields)}: {line}"
        read.append({"line": line} | {name: field[1] for name, field in fields.items() if field})
    return read

"""Alert rules, their queries and the log lines that they stand on, the guide and the workbook agree."""

import json
import re
from pathlib import Path

import pytest

from local.bicep import ROOT
from tests.infra.alert_files import ALERTS, guide_rows, heads

EVENT = re.compile(r'"event=(\w+)"')
FIELD = re.compile(r'@"(\w+)=\(')
# SEED's seven key metrics; the size of a file of records is none any more: records are a table.
METRICS = {"success-rate", "duration", "response-time", "rollbacks", "quota", "gateway", "capacity"}


def source() -> str:
    folders = ("activities", "orchestrators", "shared", "triggers")
    return "".join(path.read_text(encoding="utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_the_guide_says_of_each_alert_what_its_file_says() -> None:
    rows = guide_rows("Alerts")
    assert rows.keys() == {path.stem for path in ALERTS}
    for path in ALERTS:
        assert tuple(rows[path.stem][1:]) == heads(path)


@pytest.mark.parametrize("path", [*ALERTS, ROOT / "infra" / "workbook.json"], ids=lambda path: path.stem)
def test_a_query_asks_for_lines_and_fields_that_the_app_writes(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace('\\"', '"').replace("\\\\", "\\")
    events = set(EVENT.findall(text))
    assert events or path.stem == "errors"
    listed = {row.partition("=")[2] for row in guide_rows("Lines that alerts stand on")}
    assert events <= listed
    code = source()
    for event in events:
        assert f"event={event}" in code or f'"{event}"' in code
    for field in set(FIELD.findall(text)) - {"event"}:
        assert re.search(rf'"event=\w+ [^"]*\b{field}=%', code), field


def test_the_guide_lists_every_event_that_the_app_can_log_and_no_other() -> None:
    code = source()
    written = set(re.findall(r"event=(\w+)", code)) | set(re.findall(r'"(deployment_\w+)" if', code))
    written |= set(re.findall(r'else "(deployment_\w+)"', code))
    assert {f"event={name}" for name in written} == guide_rows("Lines that alerts stand on").keys()


def test_the_workbook_shows_the_key_metrics() -> None:
    workbook = json.loads((ROOT / "infra" / "workbook.json").read_text(encoding="utf-8"))
    assert {item["name"] for item in workbook["items"] if item["type"] == 3} == METRICS

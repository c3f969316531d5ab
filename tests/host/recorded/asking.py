"""Asks a Functions host what a recording asked another one, in the same order, and tells where the answers differ.

    python -m tests.host.recorded.asking --origin http://127.0.0.1:P --function K --system K --master K [--out FILE]

asks the host at that address, which serves `app` with a fresh state; `--out` keeps its answers as a new recording.

A question is the `request` of a recorded answer: method, path, `body` (JSON) or `raw` (text), headers, `key` (whose
value goes into the header), `until` (ask again until the instance has this status), `keep` (a name for the id in the
answer). In both requests and answers stand `{origin} {function} {system} {master} {id:NAME}` for what is another at
each host, and in answers what says nothing is hidden: `{time} {hex32} {uuid} {key} {path}`, `{a stack}`, `{x*N}`.
"""

import argparse
import http.client
import json
import re
import sys
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECORDING = Path(__file__).parent / "answers.json"
APP = Path(__file__).parent / "app"
SHOWN_HEADERS = (
    "Location",
    "Retry-After",
    "Content-Type",
    "WWW-Authenticate",
    "x-ms-continuation-token",
    "X-One",
    "Cache-Control",
    "Allow",
)
SECONDS_FOR_A_STATUS = 30.0
SECONDS_BETWEEN_LOOKS = 0.05
LONGEST_TEXT = 1500
LONGEST_BODY = 2000
# What differs from machine to machine and version to version, by the name of its field.
OF_A_MACHINE = ("id", "versionDetails", "processUptime")
OF_A_FUNCTION = ("script_href", "test_data_href", "functionDirectory")

Recorded = dict[str, Any]


@dataclass
class Host:
    """The host that is asked: where it is, its keys, and the ids that its answers brought."""

    origin: str
    keys: dict[str, str]
    ids: dict[str, str] = field(default_factory=dict)

    def ask(self, question: Recorded) -> tuple[int, dict[str, str], str]:
        headers = dict(question.get("headers") or {})
        headers = {name: unshortened(value) for name, value in headers.items()}
        if key := question.get("key"):
            headers["x-functions-key"] = self.keys.get(key, key)
        body = unshortened(question["raw"]) if "raw" in question else None
        if "body" in question:
            body = json.dumps(question["body"])
            headers.setdefault("Content-Type", "application/json")
        chunked = headers.get("Transfer-Encoding") == "chunked"
        content: Any = None if body is None else iter([body.encode()]) if chunked else body.encode()
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.origin).netloc, timeout=60)
        try:
            connection.request(question["method"], self._path(question), content, headers, encode_chunked=chunked)
            answer = connection.getresponse()
            shown = {name: value for name in SHOWN_HEADERS if (value := answer.getheader(name)) is not None}
            return answer.status, shown, answer.read().decode("utf-8", "replace")
        finally:
            connection.close()

    def _path(self, question: Recorded) -> str:
        path = unshortened(question["path"])
        for name, value in self.keys.items():
            path = path.replace(f"{{{name}}}", urllib.parse.quote(value, safe=""))
        for name, value in self.ids.items():
            path = path.replace(f"{{id:{name}}}", value)
        return path

    def answer(self, question: Recorded) -> Recorded:
        """The answer as it is kept, once the instance has the status that the question waits for."""
        latest = time.monotonic() + SECONDS_FOR_A_STATUS
        status, headers, text = self.ask(question)
        while "until" in question and status_in(text) != question["until"] and time.monotonic() < latest:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            status, headers, text = self.ask(question)
        if "keep" in question:
            self.ids[question["keep"]] = json.loads(text)["id"]
        hidden = self.hidden(text)
        try:
            body = json.loads(hidden) if hidden else None
        except ValueError:
            body = {"_text": hidden[:LONGEST_BODY]}
        headers = {name: self.hidden(value) for name, value in headers.items()}
        return {"status": status, "headers": headers, "body": shortened(body)}

    def hidden(self, text: str) -> str:
        """A text without what is another at each host and each time."""
        text = text.replace(self.origin, "{origin}").replace(self.origin.partition("//")[2], "{origin}")
        for name, value in self.keys.items():
            for form in (value, urllib.parse.quote(value, safe="")):
                text = text.replace(form, f"{{{name}}}")
        for name, value in self.ids.items():
            text = text.replace(value, f"{{id:{name}}}")
        for pattern, word in HIDDEN:
            text = pattern.sub(word, text)
        return text


HIDDEN = [
    (re.compile(pattern), word)
    for pattern, word in (
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?", "{time}"),
        (r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d( \+00:00)?", "{time}"),
        (r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", "{hex32}"),
        (r"[A-Za-z0-9_-]{54}==", "{key}"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "{uuid}"),
    )
]


def status_in(text: str) -> str | None:
    try:
        return str(json.loads(text)["runtimeStatus"])
    except (ValueError, KeyError, TypeError):
        return None


def shortened(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: shortened(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [shortened(one) for one in value]
    if not isinstance(value, str):
        return value
    if name == "StackTrace" and value:
        return "{a stack}"
    if '{"$type"' in value:
        return value[: value.index('{"$type"')] + "{a .NET exception as JSON}"
    value = re.sub("x{200,}", lambda found: f"{{x*{len(found[0])}}}", value)
    return value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + "…"


def unshortened(value: str) -> str:
    return re.sub(r"\{x\*(\d+)\}", lambda found: "x" * int(found[1]), value)


def comparable(answer: Any, name: str = "") -> Any:
    """An answer without what belongs to a machine: paths, ids, versions, and an order that no two .NET hosts share."""
    if isinstance(answer, dict):
        of_the_host = {field: "{machine}" for field in OF_A_MACHINE if field in answer and "versionDetails" in answer}
        return {key: comparable(one, key) for key, one in answer.items()} | of_the_host
    if isinstance(answer, list):
        return [comparable(one) for one in answer]
    if isinstance(answer, str) and name in OF_A_FUNCTION:
        return "{path}"
    if isinstance(answer, str) and (known := re.search("known [a-z]+ functions: (.*)[.]", answer)):
        return answer.replace(known[1], ", ".join(sorted(known[1].split(", "))))
    return answer


def recording(file: Path = RECORDING) -> list[Recorded]:
    found: list[Recorded] = json.loads(file.read_text("utf-8"))
    return found


def asked_again(host: Host, recorded: list[Recorded]) -> Iterator[Recorded]:
    """The recording, question by question, with the answers of this host."""
    for one in recorded:
        yield {"name": one["name"], "request": one["request"], "answer": host.answer(one["request"])}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("origin", "function", "system", "master"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--against", type=Path, default=RECORDING)
    options = parser.parse_args()
    keys = {name: getattr(options, name) for name in ("function", "system", "master")}
    recorded = recording(options.against)
    found, differing = [], 0
    for before, now in zip(recorded, asked_again(Host(options.origin.rstrip("/"), keys), recorded), strict=True):
        found.append(now)
        if comparable(before["answer"]) != comparable(now["answer"]):
            differing += 1
            print(
                f"{now['name']}\n    recorded {json.dumps(before['answer'])}\n    here     {json.dumps(now['answer'])}"
            )
    print(f"{len(found)} answers, {differing} differ")
    if options.out:
        options.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

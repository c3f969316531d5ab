"""Which process is the worker, told by the host in a file of its state directory, for the stack and for tests."""

import json
from pathlib import Path

WORKER = "worker.json"


def note_pid(file: Path, pid: int) -> None:
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps({"pid": pid}), "utf-8")
    draft.replace(file)


def pid_in(file: Path) -> int | None:
    """None while the host starts."""
    try:
        return int(json.loads(file.read_text("utf-8"))["pid"])
    except (FileNotFoundError, ValueError):
        return None

"""The Bicep compiler, as one process that answers many questions: its JSON-RPC over standard input and output.

    python -m local.bicep          builds, lints and compares the format of every Bicep file; 1 when one isn't right

The compiler is `BICEP` of the environment, else `bicep` on the PATH; `find` says where none is.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# Outside of the checkout; make gives another place as BICEP.
NEARBY = ROOT.parent / "shared" / "tools" / "bicep"
ABSENT = "the Bicep compiler isn't installed (no `bicep` on the PATH, none given as BICEP)"


class BicepError(Exception):
    """The compiler refused the request. The text is its own."""


class Bicep:
    """A running compiler. The second question costs a fifth of the first."""

    def __init__(self, program: Path) -> None:
        # It looks for ICU, which a small Linux doesn't have; and compiles itself once, not in tiers: half the time.
        environment = {**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1", "DOTNET_TieredCompilation": "0"}
        self._process = subprocess.Popen(
            [program, "jsonrpc", "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._asked = 0

    def close(self) -> None:
        """Ends the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process.terminate()
        self._process.wait()

    def diagnostics(self, file: Path) -> list[str]:
        """What the compiler and its linter say of a file, as `level code line: message`; hints are left out."""
        return _told(self._ask("bicep/compile", path=str(file))["diagnostics"])

    def formatted(self, file: Path) -> str:
        """The file's text in Bicep's own form."""
        return str(self._ask("bicep/format", path=str(file))["contents"])

    def template(self, file: Path) -> dict[str, Any]:
        """The file as an ARM template."""
        document: dict[str, Any] = json.loads(self._ask("bicep/compile", path=str(file))["contents"])
        return document

    def snapshot(self, parameters: Path, **scope: str) -> dict[str, Any]:
        """What a deployment of a `.bicepparam` file would ask for: `predictedResources` and `outputs`.

        scope: `subscriptionId`, `resourceGroup`, `location`. What only a deployment can know stays an expression.
        """
        try:
            text = self._ask("bicep/getSnapshot", path=str(parameters), metadata=scope)["snapshot"]
        except BicepError as refused:
            if str(refused) != "Compilation failed":
                raise
            compiled = self._ask("bicep/compileParams", path=str(parameters), parameterOverrides={})
            raise BicepError("\n".join(_told(compiled["diagnostics"]))) from refused
        answer: dict[str, Any] = json.loads(text)
        return answer

    def _ask(self, method: str, **given: Any) -> Any:
        self._asked += 1
        request = json.dumps({"jsonrpc": "2.0", "id": self._asked, "method": method, "params": given}).encode()
        sent, received = self._process.stdin, self._process.stdout
        assert sent is not None
        assert received is not None
        sent.write(b"Content-Length: %d\r\n\r\n" % len(request) + request)
        sent.flush()
        length = 0
        while header := received.readline().strip():
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if not length:
            raise BicepError("the compiler ended without an answer")
        answer = json.loads(received.read(length))
        if "error" in answer:
            raise BicepError(str(answer["error"]["message"]))
        return answer["result"]


def _told(diagnostics: list[dict[str, Any]]) -> list[str]:
    return [
        f"{each['level']} {each['code']} {each['range']['start']['line'] + 1}: {each['message']}"
        for each in diagnostics
        if each["level"] in ("Error", "Warning")
    ]


def find() -> Path | None:
    """The compiler, or None where there is none."""
    for candidate in (os.environ.get("BICEP"), shutil.which("bicep"), NEARBY):
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate)
    return None


@contextmanager
def running(program: Path) -> Iterator[Bicep]:
    """A compiler for the length of a block."""
    bicep = Bicep(program)
    try:
        yield bicep
    finally:
        bicep.close()


def files(folder: Path) -> list[Path]:
    """Every Bicep file below a folder."""
    return sorted(folder.rglob("*.bicep"))


def complaints(bicep: Bicep, file: Path) -> list[str]:
    """What keeps a file from being right: errors, warnings, another format than Bicep's own."""
    found = bicep.diagnostics(file)
    if bicep.formatted(file) != file.read_text(encoding="utf-8"):
        found.append(f"its format differs: bicep format {file}")
    return found


def main() -> int:
    program = find()
    if program is None:
        print(f"Bicep files are not checked: {ABSENT}.")
        return 0
    with running(program) as bicep:
        found = [f"{file}: {each}" for file in files(ROOT / "infra") for each in complaints(bicep, file)]
    print(*(found or ["Bicep files: all right."]), sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

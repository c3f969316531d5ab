"""What importing the function app costs, against the two libraries that every Durable app imports anyway.

Fresh interpreters in turn, the median of several; the ratio is what counts. Both are compiled beforehand, as a deployment
ships them.
"""

import compileall
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 9
LIMIT = 1.5
TIMED = "import time; started = time.perf_counter(); {what}; print(time.perf_counter() - started)"
LIBRARIES = "import azure.functions, azure.durable_functions"


def seconds(what: str) -> float:
    """How long an import takes in an interpreter of its own."""
    answer = subprocess.run(
        [sys.executable, "-c", TIMED.format(what=what)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return float(answer.stdout)


def main() -> None:
    """Measures both in turn, so that a busy moment of the machine meets both."""
    for package in ("triggers", "orchestrators", "activities", "shared"):
        compileall.compile_dir(ROOT / package, quiet=1)
    rounds = [(seconds(LIBRARIES), seconds("import function_app")) for _ in range(ROUNDS + 1)][1:]
    libraries, app = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"{'what':44} {'median':>10}")
    print(f"{'azure.functions + azure.durable_functions':44} {libraries * 1000:7.0f} ms")
    print(f"{'function_app':44} {app * 1000:7.0f} ms")
    print(f"{'ratio (at most ' + str(LIMIT) + ')':44} {app / libraries:10.2f}")


if __name__ == "__main__":
    main()

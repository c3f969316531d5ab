"""`python -m local.azure --port P --state DIR [--time-scale X] [--gateway-limit N] [--hubs FILE] [--roles PATH]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from local.options import state_directory


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("a port is 0 to 65535")
    return number


def _scale(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("a time scale is 0 or more")
    return number


def _limit(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _roles(text: str) -> dict[str, Any]:
    from local.azure import rights

    try:
        return rights.read(Path(text))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main() -> int:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m local.azure", description="An Azure Resource Manager stand-in.")
    parser.add_argument("--port", type=_port, default=0, help="port on 127.0.0.1; 0 takes a free one and keeps to it")
    parser.add_argument(
        "--state", type=state_directory, required=True, help="directory of the state, which survives a restart"
    )
    parser.add_argument("--time-scale", type=_scale, default=0.02, help="1 is Azure's pace; 0 stops the clock")
    parser.add_argument("--gateway-limit", type=_limit, default=100, help="pools, settings, listeners of a gateway")
    parser.add_argument("--hubs", type=Path, help="a file in the form of the app's setting HUBS: more than one hub")
    parser.add_argument("--roles", type=_roles, help="file or directory of role definitions and assignments")
    arguments = parser.parse_args()
    from local.azure import server

    return server.run(arguments)


if __name__ == "__main__":
    sys.exit(main())

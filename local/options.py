"""What `python -m local.run` and `python -m local.stack` can be told on the command line."""

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state", type=directory, default=Path(".local"), help="where everything is kept (default: .local)"
    )
    parser.add_argument("--port", type=port, help="the port of the API (default: the last one, or a free one)")
    parser.add_argument("--time-scale", type=time_scale, default=0.02, help="1 is real Azure's pace (default: 0.02)")
    parser.add_argument("--gateway-limit", type=int, metavar="N", help="how many sites the gateway holds")
    parser.add_argument("--func", action="store_true", help="Azure Functions Core Tools instead of the local host")
    parser.add_argument("--tables-proxy", action="store_true", help="put local.tables_proxy before the table service")
    parser.add_argument(
        "--set",
        action="append",
        type=setting,
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="a setting for the app",
    )


# Each names what argparse shows for a ValueError: "invalid port value: 'abc'".


def directory(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("it must name a directory")
    return Path(text)


def port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535 (0: a free one)")
    return number


def time_scale(text: str) -> float:
    scale = float(text)
    if not 0 <= scale < 1e6:
        raise argparse.ArgumentTypeError("a time scale is 0 or more (1 is the pace of real Azure)")
    return scale


def setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError("a setting is given as NAME=VALUE")
    return name, value

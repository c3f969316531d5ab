"""What `python -m local.run` and `python -m local.stack` can be told on the command line."""

import argparse
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state", type=state_directory, default=Path(".local"), help="where everything is kept (default: .local)"
    )
    parser.add_argument("--port", type=port, help="the port of the API (default: the last one, or a free one)")
    parser.add_argument("--time-scale", type=time_scale, default=0.02, help="1 is real Azure's pace (default: 0.02)")
    parser.add_argument("--gateway-limit", type=int, metavar="N", help="how many sites the gateway holds")
    parser.add_argument(
        "--hubs", type=hubs_file, metavar="FILE", help="several hubs: a file in the form of the setting HUBS"
    )
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


def state_directory(text: str) -> Path:
    """A directory for keys, tables and logs.

    Inside the checkout only `.local` and what is in it: any other folder would be taken along by `git add`, by
    `func azure functionapp publish` and by whatever packs the checkout.
    """
    if not text:
        raise argparse.ArgumentTypeError("it must name a directory")
    kept = CHECKOUT / ".local"
    chosen = Path(text).resolve()
    if chosen.is_relative_to(CHECKOUT) and not chosen.is_relative_to(kept):
        raise argparse.ArgumentTypeError(
            f"{text} is inside the checkout, where git and `func publish` would take its keys and tables along: "
            f"use .local, a folder in it such as .local/{chosen.name}, or one outside of the checkout"
        )
    return Path(text)


def hubs_file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return Path(text).absolute()


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

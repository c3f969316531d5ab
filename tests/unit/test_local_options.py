"""Where the local Azure keeps its keys and tables: never where git or a publish would take them along."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from local.options import CHECKOUT, state_directory


@pytest.mark.parametrize("text", [".local", ".local/second", "{outside}", "{outside}/new", "{beside}"])
def test_a_state_outside_of_the_checkout_or_in_its_local_folder_is_taken(text: str, tmp_path: Path) -> None:
    text = text.format(outside=tmp_path, beside=CHECKOUT.parent / "beside-the-checkout")
    assert state_directory(str(CHECKOUT / text) if text.startswith(".") else text) == Path(CHECKOUT, text)


@pytest.mark.parametrize("text", ["x", "local", "shared/x", ".", ".localx", ".local/../x", ".git/x", "tests/.local"])
def test_a_state_elsewhere_in_the_checkout_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"use \.local"):
        state_directory(str(CHECKOUT / text))


def test_a_link_that_leads_into_the_checkout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(CHECKOUT / "docs")
    with pytest.raises(argparse.ArgumentTypeError):
        state_directory(str(tmp_path / "link" / "x"))


@pytest.mark.parametrize("program", ["local.run", "local.stack", "local.azure", "local.functions"])
def test_every_program_refuses_it_before_it_writes_anything(program: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", program, "--state", "a-state"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "use .local" in " ".join(ended.stderr.split())
    assert not (CHECKOUT / "a-state").exists()


@pytest.mark.parametrize("listing", [".gitignore", ".funcignore"])
def test_the_local_folder_is_left_out_by_git_and_by_a_publish(listing: str) -> None:
    lines = (CHECKOUT / listing).read_text(encoding="utf-8").splitlines()
    assert {".local/", "/.local"} & set(lines)

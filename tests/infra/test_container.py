"""The container and the package hold what the app needs and nothing else. The Dockerfile's steps run on a clean folder."""

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from local.bicep import ROOT

SCRIPT_ROOT = "/home/site/wwwroot"
# Beside the app's code: what the host reads, what packages are installed from, and the rights that the app needs.
NEEDED = {
    *("function_app.py", "host.json", "requirements.txt"),
    *("triggers", "orchestrators", "activities", "shared", "infra/roles"),
}
FUNCTIONS = """
import json
import function_app
from shared.checks.roles import app_rights
assert app_rights()
print(json.dumps(sorted(each.get_function_name() for each in function_app.app.get_functions())))
"""


def steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, one a line."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def built(folder: Path, installs: bool) -> Path:
    """Carries out the instructions with `folder` as the container's root; where packages land."""
    for instruction, rest in steps():
        if instruction == "COPY":
            *sources, target = rest.split()
            for source in sources:
                to = folder / target.lstrip("/")
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    to.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / source, to)
        elif instruction == "RUN" and (installs or " pip " not in rest):
            command = rest.replace(SCRIPT_ROOT, str(folder / SCRIPT_ROOT.lstrip("/"))).replace(
                "python ", f"{sys.executable} ", 1
            )
            command = command.replace("pip install", f"pip install --target {folder / 'packages'}")
            subprocess.run(command.split(), check=True, cwd=folder)
    return folder / SCRIPT_ROOT.lstrip("/")


@cache
def functions(script_root: Path, *arguments: str, packages: Path | None = None) -> list[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"} | (
        {"PYTHONPATH": str(packages)} if packages else {}
    )
    ended = subprocess.run(
        [sys.executable, *arguments, "-c", FUNCTIONS],
        cwd=script_root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(ended.stdout.splitlines()[-1])
    return found


def parts(folder: Path) -> set[str]:
    """What lies in a folder; `infra`, of which the app needs a part, by its parts."""
    names = {each.name for each in folder.iterdir() if each.name != "__pycache__"}
    infra = {f"infra/{each.name}" for each in folder.glob("infra/*") if each.name != "__pycache__"}
    return names - {"infra"} | infra


def test_the_container_has_what_the_app_needs_and_nothing_else(tmp_path: Path) -> None:
    script_root = built(tmp_path, installs=False)
    assert parts(script_root) == NEEDED
    assert list(script_root.rglob("*.pyc")), "bytecode is compiled"
    assert functions(script_root) == functions(ROOT)


@pytest.mark.full
def test_the_app_starts_with_the_packages_of_the_container_alone(tmp_path: Path) -> None:
    script_root = built(tmp_path, installs=True)
    # Isolated from this environment's packages: -S leaves them out.
    assert functions(script_root, "-S", packages=tmp_path / "packages") == functions(ROOT)


def left_out() -> list[re.Pattern[str]]:
    """The patterns of `.funcignore`: each begins at the project's folder, and `*` is a part of one name."""
    lines = (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if not line.startswith("#")]
    assert all(line.startswith("/") for line in patterns)
    return [re.compile(re.escape(line.lstrip("/")).replace(r"\*", "[^/]*")) for line in patterns]


def test_a_publish_takes_along_what_the_app_needs_and_nothing_else(tmp_path: Path) -> None:
    """`.funcignore` on a folder in which much else lies: the app is imported from what is left."""
    patterns = left_out()

    def ignored(folder: str, names: list[str]) -> set[str]:
        here = Path(folder).relative_to(ROOT)
        return {name for name in names if any(each.fullmatch((here / name).as_posix()) for each in patterns)}

    package = tmp_path / "package"
    shutil.copytree(ROOT, package, ignore=ignored)
    assert parts(package) == NEEDED
    assert functions(package) == functions(ROOT)
    lying_about = [".env", ".azure", ".local", ".venv", "local.settings.json", ".coverage", ".vscode", ".mypy_cache"]
    assert ignored(str(ROOT), lying_about) == set(lying_about)


def test_docker_takes_along_what_a_publish_does() -> None:
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line.lstrip("!") for line in kept if line.startswith("!")} == NEEDED
    copied = {source for instruction, rest in steps() if instruction == "COPY" for source in rest.split()[:-1]}
    assert copied == NEEDED


def test_the_package_for_premium_is_made_of_the_same(tmp_path: Path) -> None:
    """The guide's commands, without those that need the network."""
    guide = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    block = guide.partition("## Elastic Premium")[2].partition("```bash\n")[2].partition("```")[0]
    commands = [line for line in block.splitlines() if line.startswith(("mkdir ", "cp "))]
    script = "\n".join(["set -e", f"PACKAGE={tmp_path}", *commands])
    subprocess.run(["sh", "-c", script], cwd=ROOT, check=True)
    assert parts(tmp_path) == NEEDED


def test_the_container_is_made_of_a_python_that_the_app_runs_on_or_of_a_digest_that_is_given() -> None:
    arguments = dict(rest.split("=") for instruction, rest in steps() if instruction == "ARG")
    assert arguments["PYTHON_VERSION"] in {"3.11", "3.12", "3.13"}
    assert arguments["BASE_IMAGE"].endswith(":4-python${PYTHON_VERSION}")
    assert dict(steps())["FROM"] == "${BASE_IMAGE}"
    guide = (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    image = arguments["BASE_IMAGE"].replace("${PYTHON_VERSION}", arguments["PYTHON_VERSION"])
    assert f"docker buildx imagetools inspect {image} " in guide
    assert "--build-arg BASE_IMAGE=" in guide
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert "image: ${AZURITE_IMAGE:-" in compose
    assert "AZURITE_IMAGE=" in guide

"""Whoever reads a failure of ours is told what to do next: read off the code, so that no new one is forgotten."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Where the hint stands among the positional arguments. A `ValidationException` is told by its sentence: it is the rule.
PLACE_OF_THE_HINT = {"Failure": 3, "Finding": 4}
EXCEPTIONS = ("ConfigurationException", "AzureResourceException", "DeploymentException", "StorageException")
# Nobody has to do anything: somebody cancelled, or the call is repeated.
NOTHING_TO_DO = {"Cancelled", "ActivityBroke"}


def made_in(file: Path) -> Iterator[ast.Call]:
    """The calls of a file that make a failure by naming it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            if name in EXCEPTIONS or (name in PLACE_OF_THE_HINT and len(node.args) > 1):
                yield node


def has_a_hint(call: ast.Call) -> bool:
    assert isinstance(call.func, ast.Name)
    place = PLACE_OF_THE_HINT.get(call.func.id, len(call.args))
    return len(call.args) > place or any(keyword.arg == "hint" for keyword in call.keywords)


def texts(call: ast.Call) -> set[object]:
    return {argument.value for argument in call.args if isinstance(argument, ast.Constant)}


FILES = [file for folder in ("activities", "shared", "triggers") for file in sorted((ROOT / folder).rglob("*.py"))]


def test_every_failure_of_ours_names_the_next_step() -> None:
    made = [(file, call) for file in FILES for call in made_in(file)]
    assert len(made) > 50, "the failures are found"
    without = [(file, call) for file, call in made if not has_a_hint(call) and not texts(call) & NOTHING_TO_DO]
    assert [f"{file.relative_to(ROOT)}:{call.lineno}" for file, call in without] == []

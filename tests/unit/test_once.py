"""What is made when it is first needed is made once; imports inside functions stand under the same lock."""

import ast
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.process.once import once

ROOT = Path(__file__).resolve().parents[2]
APP = ("shared", "activities", "triggers", "orchestrators")


def test_threads_that_ask_at_once_get_the_same_thing() -> None:
    start, made = threading.Barrier(8), []

    @once
    def thing(name: str) -> object:
        made.append(name)
        return object()

    def ask(name: str) -> object:
        start.wait()
        return thing(name)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, ["a", "b"] * 4))
    assert len(set(map(id, found))) == 2
    assert sorted(made) == ["a", "b"]
    assert len(thing.made()) == 2
    thing.forget()
    assert thing("a") is not found[0]


def test_what_could_not_be_made_is_tried_again() -> None:
    attempts = []

    @once
    def thing() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("not yet")
        return len(attempts)

    with pytest.raises(ValueError, match="not yet"):
        thing()
    assert (thing(), thing()) == (2, 2)


def test_what_is_made_can_ask_for_what_else_is_made_once() -> None:
    @once
    def inner() -> int:
        return 1

    @once
    def outer() -> int:
        return inner() + 1

    assert outer() == 2


def test_imports_inside_functions_stand_under_the_one_lock() -> None:
    """`with importing:` around it, in a function that is only called so, or in a block for type checkers."""
    outside = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in APP
        for path in sorted((ROOT / folder).rglob("*.py"))
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in _unlocked_imports(function)
    ]
    assert outside == []


def _unlocked_imports(node: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    found: list[ast.Import | ast.ImportFrom] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            continue  # walked by itself
        if isinstance(child, ast.Import | ast.ImportFrom):
            found.append(child)
        elif not (isinstance(child, ast.With) and "importing" in ast.unparse(child.items[0].context_expr)):
            found += _unlocked_imports(child)
    return found

"""One word for an idea, the field's own: what the code, the docs and the messages no longer say.

Stored names stay; the codec has the one map of them. What earlier versions were called stands in CHANGELOG.md.
"""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What is not said, and what is said instead.
EVERYWHERE = {
    r"wish(es|ed|ing)?": "desired state, request",
    r"farewells?": "removal",
    r"blam(e|es|ed|ing)": "attribute_failure",
    r"culprits?": "offender",
    r"halving": "bisect",
    r"unkept": "drifted",
    r"foresaw|unforeseen": "unexpected",
    r"at rest|com(e|es|ing) to rest|came to rest": "finished, finish",
    r"for good": "permanent",
    r"pass(es)? by itself": "transient",
    r"taken up again": "resumed",
    r"mend(s|ed|ing)?": "fix",
    r"theatre|mishaps?|far_side|look_around": "saga harness, fault, interference, read_snapshot",
}
IN_THE_APP_AND_DOCS = {
    r"stor(y|ies)": "orchestration",
    r"somebody else('s)?|strangers?": "unmanaged, another client",
    r"setbacks?|troubles?": "retry_reason, failure",
    r"surroundings": "AzureSnapshot",
    r"foreign": "unmanaged",
}
APP_AND_DOCS = ("function_app.py", "triggers", "orchestrators", "activities", "shared", "README.md", "docs", "local")
# The map of stored names, this list, and the folder of the orchestrations' tests.
EXCEPT = ("shared/tables/codec.py", "tests/unit/test_words.py", "CHANGELOG.md")
FOLDER = re.compile(r"tests[./]stories")


def said(words: dict[str, str], *places: str) -> list[str]:
    """Each line that says one of these words, with what it should say. The patterns are in small letters."""
    listed = subprocess.check_output(["git", "ls-files", "-z", *places], cwd=ROOT, text=True).split("\0")
    files = [name for name in listed if name.endswith((".py", ".md", ".kql")) and name not in EXCEPT]
    texts = {name: FOLDER.sub("", (ROOT / name).read_text(encoding="utf-8")) for name in files}
    small = {name: text.lower() for name, text in texts.items()}
    found = []
    for pattern, instead in words.items():
        # Most texts have no such letters at all: that is found out much faster than where words begin and end.
        letters = re.compile(pattern)
        word = re.compile(rf"(?<![\w]){'(?:' + pattern + ')'}(?![\w])", re.IGNORECASE)
        for name, text in texts.items():
            if letters.search(small[name]):
                lines = enumerate(text.splitlines(), 1)
                found += [f"{name}:{n}: {instead}: {line.strip()}" for n, line in lines if word.search(line)]
    return found


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git: the files are listed by it")
def test_what_is_not_said_any_more() -> None:
    assert said(EVERYWHERE) + said(IN_THE_APP_AND_DOCS, *APP_AND_DOCS) == []


IN_NAMES_OF_TESTS = (
    EVERYWHERE | IN_THE_APP_AND_DOCS | {r"rounds?(?! trip)": "pass", r"(some|no)body( elses?)?": "unmanaged, no"}
)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git: the files are listed by it")
def test_names_of_tests_say_the_same_words() -> None:
    found = []
    for name in subprocess.check_output(["git", "ls-files", "-z", "tests"], cwd=ROOT, text=True).split("\0"):
        if name.endswith(".py"):
            for test in re.findall(r"def (test_\w+)", (ROOT / name).read_text(encoding="utf-8")):
                words = test.replace("_", " ")
                found += [
                    f"{name}: {test}: {use}"
                    for word, use in IN_NAMES_OF_TESTS.items()
                    if re.search(rf"\b(?:{word})\b", words)
                ]
    assert found == []

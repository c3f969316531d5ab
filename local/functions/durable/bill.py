"""What orchestrations cost: counted by function, as the extension with Azure Storage pays for it.

| count    | one is                                                                                     |
|----------|--------------------------------------------------------------------------------------------|
| calls    | an activity that was run                                                                   |
| episodes | an orchestrator function that was called, to replay and go on                              |
| messages | a message put into a queue: an activity's call and its result count for the activity, all  |
|          | others for the orchestration that gets them, a child's completion for the child            |
| appends  | a commit of what an episode adds to a history                                              |

A timer's message is put into the queue when the timer is made, whether it is cancelled later or not. Continue-as-new costs
an episode and nothing else: the extension goes on with the next generation in the same work item (the loop in
DurableTask.Core's TaskOrchestrationDispatcher).
"""

from collections import Counter
from typing import Any

CALLS, EPISODES, MESSAGES, APPENDS = COUNTS = ("calls", "episodes", "messages", "appends")


class Bill:
    """Since the start of the host, or the last `clear`. Written under the engine's lock."""

    def __init__(self) -> None:
        self._counted: Counter[tuple[str, str]] = Counter()

    def count(self, what: str, function: str) -> None:
        self._counted[what, function] += 1

    def clear(self) -> None:
        self._counted.clear()

    def as_document(self) -> dict[str, Any]:
        """`{"total": {count: n}, "functions": {name: {count: n}}}`; a function has the counts that aren't 0."""
        functions: dict[str, dict[str, int]] = {}
        for (what, function), number in sorted(self._counted.copy().items()):
            functions.setdefault(function, {})[what] = number
        total = {what: sum(counted.get(what, 0) for counted in functions.values()) for what in COUNTS}
        return {"total": total, "functions": functions}

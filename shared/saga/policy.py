"""How long to wait, how often to try, when to give up: pure, and fixed for a run by its row.

POST reads the limits from the settings and writes them there, so that a changed setting never disturbs a run in flight.
"""

import hashlib
from dataclasses import dataclass

# A write goes out within so many seconds after its run's row was read; otherwise the row is read again first.
FRESH_SECONDS = 5.0
# No refusal keeps a step asleep for longer, not even one without a deadline.
LONGEST_WAIT_OF_A_STEP = 3600.0
# No refusal keeps a writer asleep for longer, whatever Retry-After it names: Azure's longest are of about 20 minutes (Compute).
LONGEST_WAIT_OF_A_WRITER = 1200.0
# The first poll of an operation comes after so many of the longest polls at the latest.
MOST_POLLS_SKIPPED = 24
# And a step that waits for a writer looks after so many of the longest pauses between retries, woken or not.
MOST_RETRIES_SLEPT = 10.0
# After an activity of a writer that broke off.
BROKEN_CALL_SECONDS = 5.0


@dataclass(frozen=True)
class Policy:
    """The limits of one run, all in seconds. See the settings of the same names in docs/operations.md.

    request_seconds: the longest that one request to ARM takes, connecting included (`ARM_TIMEOUT_SECONDS`).
    """

    poll_max_seconds: float = 5.0
    poll_default_seconds: float = 5.0
    retry_first_seconds: float = 5.0
    retry_max_seconds: float = 60.0
    step_deadline_seconds: float = 1800.0
    vm_deadline_seconds: float = 3600.0
    shared_deadline_seconds: float = 7200.0
    request_seconds: float = 70.0

    @property
    def last_call_seconds(self) -> float:
        """The longest that a write may still take when its run has been marked as over."""
        return FRESH_SECONDS + self.request_seconds

    def poll_wait(self, asked: float | None, spent: float = 0.0) -> float:
        """Seconds until a running operation is asked after again: its Retry-After, but never longer than our maximum.

        spent: how long the last poll took. Where the pace is ours and not ARM's it counts, so that polls keep their pace.
        """
        ours = asked is None or asked > self.poll_max_seconds
        every = min(self.poll_default_seconds if asked is None else asked, self.poll_max_seconds)
        return max(every - spent, every / 2) if ours else every

    def first_poll(self, quickest: float | None) -> float | None:
        """Seconds until an operation that was just begun is asked after for the first time: when it can be over.

        quickest: of the last ones of its kind, None when none is known. Capped: what one took says little about the next.
        """
        if quickest is None or quickest <= self.poll_max_seconds:
            return None
        return min(quickest, MOST_POLLS_SKIPPED * self.poll_max_seconds)

    def unwoken_wait(self, slept: int, expected: float = 0.0) -> float:
        """Seconds until a step that waits for a writer looks without having been woken: the wake-up got lost.

        60 by default (`retry_max_seconds`), doubling to ten times that. slept: such waits in a row before this one.
        expected: seconds that the writer needs by what it says itself; it isn't asked before.
        """
        longest = MOST_RETRIES_SLEPT * self.retry_max_seconds
        grown = self.retry_max_seconds * float(2 ** min(slept, 8))
        return min(max(grown, expected + self.retry_max_seconds), longest)

    def refusal_wait(self, deployment_id: str, step: str, attempt: int, asked: float | None) -> float:
        """Seconds until a refused call is tried again: what ARM asked for in full, else growing and spread."""
        grown = min(self.retry_first_seconds * float(2 ** min(attempt - 1, 16)), self.retry_max_seconds)
        spread = grown * (0.5 + 0.5 * jitter(deployment_id, step, attempt))
        return spread if asked is None else max(asked, 0.0) + 0.1 * spread


@dataclass(frozen=True)
class WriterPolicy:
    """The limits of the writers, in seconds: the settings of the same names, as they are when a call begins.

    gather_seconds: how long the gateway's writer waits for more sites.  hub_batch: peerings that one pass takes at most.
    """

    poll_seconds: float = 1.0
    retry_first_seconds: float = 5.0
    retry_max_seconds: float = 60.0
    gather_seconds: float = 2.0
    hub_batch: int = 25

    def retry_wait(self, failures: int, asked: float | None = None) -> float:
        """Seconds until the next pass after so many transient failures in a row before this one: what ARM asked for, else
        growing, to a maximum."""
        if asked is not None:
            return asked
        grown = self.retry_first_seconds * float(2 ** min(max(failures, 0), 16))
        return max(min(grown, self.retry_max_seconds), self.poll_seconds)


def writer_wait(seconds: float) -> float:
    """A writer's wait, cut to what is sane: everybody waits for it, and no deadline of a step ends a writer."""
    return min(seconds, LONGEST_WAIT_OF_A_WRITER) if seconds > 0 else 0.0


def longest_request(timeout_seconds: float) -> float:
    """The longest that a request of this timeout can take: connecting, and then reading."""
    return timeout_seconds + min(10.0, timeout_seconds)


def jitter(deployment_id: str, step: str, attempt: int) -> float:
    """A number in [0, 1) that is the same at every replay: from sha256, because Python's hash() differs by process."""
    digest = hashlib.sha256(f"{deployment_id}\n{step}\n{attempt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64

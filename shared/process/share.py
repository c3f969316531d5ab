"""A hub's share of the activities that run side by side. Azure may not answer for one hub's subscription: its activities
wait then, each in one of the host's places for activities, and the others need some as well."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.errors import AzureResourceException
from shared.process.once import once
from shared.settings import current_settings, has_several_hubs, process_settings

# The places of host.json in which activities work, and not only wait; how many of them one hub may have where there are
# several, and how many are left when all hubs but one have theirs. A hub has as many threads for them.
ACTIVITIES_AT_ONCE = 24
MOST_OF_ONE_HUB = 16
LEFT_FOR_THE_LAST_HUB = 6
# For a burst, which is over soon: then some activity ends all the time. Who waits takes a place and a thread from others,
# so that nothing waits where none has ended for as long.
SECONDS_TO_WAIT = 2.0


def most_of_one_hub(hubs: int) -> int:
    """How many activities one of so many hubs may have at a time."""
    return max(min(MOST_OF_ONE_HUB, (ACTIVITIES_AT_ONCE - LEFT_FOR_THE_LAST_HUB) // max(hubs - 1, 1)), 1)


class Share:
    """The places of one hub. now: seconds, from any moment on."""

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self._free = threading.BoundedSemaphore(most)
        self._now = now
        self._moved_at = now()

    def take(self, seconds_to_wait: float) -> bool:
        """Whether a place is free, or gets free in time."""
        left = seconds_to_wait - (self._now() - self._moved_at)
        taken = self._free.acquire(blocking=False) or (left > 0 and self._free.acquire(timeout=left))
        if taken:
            self._moved_at = self._now()
        return taken

    def give_back(self) -> None:
        self._moved_at = self._now()
        self._free.release()


@once
def share_of(hub_key: str) -> Share:
    """The share of a hub, in this process."""
    return Share(most_of_one_hub(len({place.hub_key for place in process_settings().places})))


@contextmanager
def share_of_activities(seconds_to_wait: float = SECONDS_TO_WAIT) -> Iterator[None]:
    """One of the present hub's. Transient `AzureResourceException` `HubBusy` when all are taken by calls that take long."""
    if not has_several_hubs():
        yield
        return
    here = current_settings()
    share = share_of(here.hub_key)
    if not share.take(seconds_to_wait):
        raise AzureResourceException(
            f"{share.most} activities of the hub {here.hub_name} are at work, and none has ended within "
            f"{seconds_to_wait:g} seconds.",
            code="HubBusy",
            hint="It passes when Azure answers again for this hub; the threads that are left are the other hubs'.",
            transient=True,
            hub=here.hub_name,
        )
    try:
        yield
    finally:
        share.give_back()

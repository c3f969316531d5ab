"""The app as it lives in the tests' own process."""

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from local.functions.durable.clock import VirtualClock
from shared.arm.client import arm_of
from shared.process import blocking
from shared.process.identity import identity
from shared.process.share import share_of
from shared.settings import process_settings
from shared.tables.client import forget_clients
from shared.tables.idempotency import note_new_hubs
from shared.tables.places import forget_places


def forget_app() -> None:
    """Closes and forgets the clients and settings that the app keeps for its process: it reads its environment anew."""
    for client in arm_of.made():
        client.close()
    for credential in identity.made():
        credential.close()
    forget_clients()
    blocking.forget_threads()
    arm_of.forget()
    identity.forget()
    share_of.forget()
    forget_places()
    note_new_hubs.cache_clear()
    process_settings.cache_clear()


class AppTime:
    """The app's clock where a test has chosen one: its pauses are that clock's time, which passes at once."""

    clock: ClassVar[VirtualClock]

    def now(self) -> float:
        return self.clock.now()

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)


@dataclass
class StandingTime:
    """A clock of the app that its pauses don't move: they last as long as they say."""

    clock: VirtualClock

    def now(self) -> float:
        return self.clock.now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

"""The app as it lives in the tests' own process."""

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

from local.functions.durable.clock import VirtualClock
from shared.arm.client import arm_of
from shared.clock import Clock
from shared.process import blocking
from shared.process.identity import identity
from shared.process.share import share_of
from shared.settings import process_settings
from shared.tables import client as tables
from shared.tables import places
from shared.tables.idempotency import note_new_hubs


def forget_app() -> None:
    """Closes and forgets the clients and settings that the app keeps for its process: it reads its environment anew."""
    clients: list[Any] = [*arm_of.made(), *identity.made(), *tables.client_of.made()]
    for client in clients:
        client.close()
    for pool in blocking._pool_of.made():
        pool.shutdown(wait=False, cancel_futures=True)
    for once in (blocking._pool_of, arm_of, identity, share_of, tables.client_of, tables._transport):
        once.forget()
    tables._there.clear()
    for read in (process_settings, note_new_hubs, places.former_hubs, places.noted_hubs, places._hub_key_of_run):
        read.cache_clear()


def know_tables() -> None:
    """Spares the app to create its tables, which it would try at the first call after each `forget_app`: they are there."""
    tables._there.update(tables.TABLES)


class AppTime(Clock):
    """The app's clock where a test has chosen one: its pauses are that clock's time, which passes at once."""

    clock: ClassVar[VirtualClock]

    def now(self) -> float:
        return self.clock.now()

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)


@dataclass
class StandingTime(Clock):
    """A clock of the app that its pauses don't move: they last as long as they say."""

    clock: VirtualClock

    def now(self) -> float:
        return self.clock.now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

"""The app as it lives in the tests' own process."""

from datetime import UTC, datetime, tzinfo

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


class AppTime(datetime):
    """`datetime` as `shared.clock` sees it where a test has chosen its clock: now is that clock's now."""

    clock: VirtualClock

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "AppTime":
        return cls.fromtimestamp(cls.clock.now(), tz or UTC)


async def pause(seconds: float) -> None:
    """`shared.clock.sleep` where a test has chosen its clock: its time passes."""
    AppTime.clock.advance(seconds)

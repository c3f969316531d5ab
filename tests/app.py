"""The app as it lives in the tests' own process."""

from shared.arm.client import arm
from shared.settings import current_settings
from shared.tables import client as store


def forget_app() -> None:
    """Closes and forgets the clients and settings that the app keeps for its process: it reads its environment anew."""
    if arm.cache_info().currsize:
        for client in arm()._clients.values():
            client.close()
    if store._service.cache_info().currsize:
        store._service().close()
    for kept in (store.table, store._service, arm, current_settings):
        kept.cache_clear()

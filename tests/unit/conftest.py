"""Tables and installations of a test's own. Properties have no deadline: a busy machine is no failure."""

from collections.abc import Iterator

import pytest
from azure.data.tables import TableServiceClient
from hypothesis import settings

from local.processes import free_port, running
from local.recipes import azurite_recipe, tables_connection_string
from shared.spoke.records import SPOKES_TABLE
from shared.tables import client as store
from shared.tables.places import INSTALLATION
from tests.app import forget_app
from tests.unit.installations import Installation

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the app's tables, which are there. Each test has a hub, or a table, of its own in them."""
    state, port = tmp_path_factory.mktemp("azurite"), free_port()
    with running(azurite_recipe(state / "tables", port), state):
        url = f"http://127.0.0.1:{port}"
        with TableServiceClient.from_connection_string(tables_connection_string(url)) as service:
            for name in store.TABLES:
                service.create_table(name)
        yield url


@pytest.fixture
def installation(azurite: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    yield Installation(tables_connection_string(azurite), monkeypatch)
    for row in store.table(SPOKES_TABLE).query("PartitionKey eq @key", {"key": INSTALLATION}):
        store.table(SPOKES_TABLE).write([("delete", row)])
    forget_app()

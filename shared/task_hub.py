"""Which task hub of Durable Functions a run belongs to. Pure.

A task hub is known by its storage account and its name. Two apps can share our tables while each has a task hub of its
own (a slot, blue/green, a roll-out): each looks after the runs that it began, and leaves the other's alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

# The name that host.json had before it became a setting: runs that were recorded without a task hub belong to it.
HUB_OF_OLD_RUNS = "HubSpokeV1"

_DEVELOPMENT_ACCOUNT = "devstoreaccount1"
_ENDPOINTS = ("blobServiceUri", "queueServiceUri", "tableServiceUri")


@dataclass(frozen=True)
class TaskHub:
    """account: the storage account of `AzureWebJobsStorage`, empty where it isn't known."""

    name: str
    account: str = ""

    def __str__(self) -> str:
        return f"{self.account}/{self.name}" if self.account else self.name

    @classmethod
    def parse(cls, text: str) -> "TaskHub":
        """What `str` wrote, or a name alone; of an empty text the task hub of old runs."""
        account, _, name = text.strip().rpartition("/")
        return cls(name or HUB_OF_OLD_RUNS, account)

    def is_same(self, other: "TaskHub") -> bool:
        """Letter case doesn't count; neither does an account that one of the two doesn't know."""
        if self.name.lower() != other.name.lower():
            return False
        return not (self.account and other.account) or self.account.lower() == other.account.lower()


def account_of(environment: Mapping[str, str]) -> str:
    """The storage account of `AzureWebJobsStorage`: from a connection string, or from the settings that go with an
    identity (`__accountName`, `__blobServiceUri`, …)."""
    connection = environment.get("AzureWebJobsStorage", "")
    if "usedevelopmentstorage=true" in connection.lower():
        return _DEVELOPMENT_ACCOUNT
    for part in connection.split(";"):
        name, _, value = part.partition("=")
        if name.strip().lower() == "accountname":
            return value.strip().lower()
    if account := environment.get("AzureWebJobsStorage__accountName", ""):
        return account.strip().lower()
    for endpoint in _ENDPOINTS:
        if host := urlsplit(environment.get(f"AzureWebJobsStorage__{endpoint}", "")).hostname:
            return host.partition(".")[0]
    return ""


def is_looked_after(run_hub: str, own: TaskHub, retired: tuple[TaskHub, ...]) -> bool:
    """Whether the timers of the task hub `own` may touch a run. run_hub: what stands in the run's row.

    retired: task hubs whose app doesn't run any more (`TASK_HUBS_RETIRED`).
    """
    hub = TaskHub.parse(run_hub)
    return any(hub.is_same(each) for each in (own, *retired))

"""Names by which orchestrations find each other in Durable Functions, and the one place that makes instance ids. Pure."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

DEPLOY_SPOKE = "deploy_spoke"
DELETE_SPOKE = "delete_spoke"
RUN_STEP = "run_step"
WRITE_GATEWAY = "write_gateway"
WRITE_HUB = "write_hub"

# The external event that ends a step's wait: a hint that its row has changed, which the step then reads.
WAKE = "wake"

ORCHESTRATOR_OF_KIND = {"deploy": DEPLOY_SPOKE, "delete": DELETE_SPOKE, "rollback": DELETE_SPOKE}

# Durable Task Scheduler and the MSSQL backend take no longer ids (durabletask-mssql#187); Azure Storage takes any.
LONGEST_INSTANCE_ID = 100
# What may follow a run's id: `:`, the longest name of a step, `:` and a number.
_LONGEST_SUFFIX = 28
_LONGEST_RUN_ID = LONGEST_INSTANCE_ID - _LONGEST_SUFFIX
_DIGEST = 8

_RUN_ID = re.compile(r"(?:deploy|delete|rollback)-[a-z0-9][a-z0-9-]*-[0-9]+-[0-9a-f]{4}")
_WRITER_ID = re.compile(r"(?:gateway|hub)-[a-z0-9][a-z0-9._-]*(?::[1-9][0-9]*)?")


def deployment_id(kind: str, client: str, epoch_seconds: int, hex_digits: str) -> str:
    """The id of a run (`deploy`, `delete` or `rollback`), and of its Durable instance: `deploy-acme-corp-1733888400-1f3a`."""
    return _instance_id(f"{kind}-", client, f"-{epoch_seconds}-{hex_digits}", _LONGEST_RUN_ID)


def step_instance_id(run_id: str, step: str, number: int = 1) -> str:
    """The sub-orchestration that carries one step of a run. number: counts the instances of a step that broke off."""
    return _instance_id("", run_id, f":{step}" + (f":{number}" if number > 1 else ""))


def writer_id(which: str, name: str, generation: int = 1) -> str:
    """The instance that writes a `gateway`, or the peerings of a `hub`.

    name: of the gateway, where there are several with the hub's name and a hyphen before; of the hub's VNet, where there are
    several the hub's.  generation: counts the writers that stood still and were replaced.
    """
    stem = _instance_id(f"{which}-", name.lower(), "", LONGEST_INSTANCE_ID - _DIGEST)
    return stem + (f":{generation}" if generation > 1 else "")


def without_generation(instance_id: str) -> str:
    """The id of a writer's first generation."""
    return instance_id.partition(":")[0]


def is_run_id(instance_id: str) -> bool:
    """Whether an id has the form of a run's; whether there is such a run, its row tells."""
    return len(instance_id) <= LONGEST_INSTANCE_ID and _RUN_ID.fullmatch(instance_id) is not None


def is_writer_id(instance_id: str) -> bool:
    """Whether an id has the form of a writer's; whether it is the present one, its row tells."""
    return len(instance_id) <= LONGEST_INSTANCE_ID and _WRITER_ID.fullmatch(instance_id) is not None


def is_step_of(run_id: str, step: str, instance_id: str) -> bool:
    """Whether an instance is the one, or a later one, that carries this step of this run."""
    number = instance_id.rpartition(":")[2]
    if instance_id == step_instance_id(run_id, step):
        return True
    return number.isascii() and number.isdecimal() and instance_id == step_instance_id(run_id, step, int(number))


def _instance_id(prefix: str, name: str, suffix: str, longest: int = LONGEST_INSTANCE_ID) -> str:
    """The name between what must not be cut; one that is too long is cut, and ends in a digest of the whole."""
    room = longest - len(prefix) - len(suffix)
    if len(name) > room:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
        name = f"{name[: room - _DIGEST - 1].rstrip('-')}-{digest}"
    return f"{prefix}{name}{suffix}"


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

"""A row that requests something of a writer: what it requests has a version, and so has what was applied. Pure."""

from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Self

from shared.errors import Failure
from shared.spoke.records import Row


class DesiredState(Row):
    """What rows of sites and of peerings have in common. Mixed into frozen dataclasses with these fields."""

    desired_version: int
    applied_version: int
    failed_version: int
    since: str
    made_by: str
    deployment_id: str
    error: Failure | None
    steps: ClassVar[tuple[str, str]]
    """The step that waits for what the row asks for, and the one that waits for its removal."""

    @property
    @abstractmethod
    def asks_for_removal(self) -> bool: ...

    @abstractmethod
    def request_removal(self, *, deployment_id: str, now: str) -> Self:
        """The row that asks for a removal, by `request`."""

    def request(self, *, deployment_id: str, now: str, **desired: Any) -> Self:
        """The row that asks for what is desired: itself when it does already, unless that failed in an earlier run."""
        row = replace(self, **desired)
        if row == self and not (self.has_failed and self.deployment_id != deployment_id):
            return self
        version = self.desired_version + 1
        return replace(row, deployment_id=deployment_id, desired_version=version, since=now, error=None)

    @property
    def step(self) -> str:
        """The step of the run `deployment_id` that waits for the row."""
        return self.steps[self.asks_for_removal]

    @property
    def is_applied(self) -> bool:
        return self.applied_version == self.desired_version

    @property
    def has_failed(self) -> bool:
        return self.failed_version == self.desired_version

    @property
    def is_waiting(self) -> bool:
        return not self.is_applied and not self.has_failed

    def failed(self, failure: Failure) -> Self:
        return replace(self, failed_version=self.desired_version, error=failure.permanent())

    def applied(self) -> Self:
        return replace(self, applied_version=self.desired_version, error=None)

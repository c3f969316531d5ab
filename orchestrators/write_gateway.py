"""The one writer of the shared Application Gateway: pass after pass, until no row is pending."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from orchestrators.run_writer import run_writer
from shared.saga.instances import is_writer_id

if TYPE_CHECKING:
    from azure.durable_functions import DurableOrchestrationContext

RECONCILE_GATEWAY = "gateway_round"
POLL_GATEWAY = "poll_gateway"


def write_gateway(context: "DurableOrchestrationContext") -> Generator[Any, Any, None]:
    """Reads, writes once, polls, and reads again. See `activities.gateway_writer` for what a pass does."""
    if not is_writer_id(context.instance_id):
        return
    yield from run_writer(context, lambda state: POLL_GATEWAY if state.get("operation") else RECONCILE_GATEWAY)

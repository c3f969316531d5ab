"""The VM's network interface."""

from activities.decorators import Kind, activity
from shared.arm.client import arm
from shared.arm.reconcile import ensure, remove
from shared.saga.outcomes import Call, Outcome
from shared.spoke.documents.resources import nic_document, private_ip_of
from shared.spoke.inventory import made_by
from shared.spoke.records import RunRow


@activity(Kind.ACT, takes_seconds=True)
def create_nic(call: Call, run: RunRow) -> Outcome:
    """The interface in the web subnet; answers `{"private_ip"}`. Repeatable: an own NIC that is there is done."""
    azure, plan = arm(), run.plan
    ids = azure.ids.of(plan)
    return ensure(
        azure,
        call,
        ids.nic(plan.nic_name),
        nic_document(plan, ids),
        owned=made_by(plan.made_by),
        result=lambda nic: {"private_ip": private_ip_of(nic)},
    )


@activity(Kind.UNDO)
def delete_nic(call: Call, run: RunRow) -> Outcome:
    """Removes the interface. After a failed VM Azure keeps it reserved for 180 s: that is waited for. Repeatable."""
    azure, plan = arm(), run.plan
    return remove(azure, call, azure.ids.of(plan).nic(plan.nic_name), owned=made_by(plan.made_by))

"""The app's table of contents: which triggers, orchestrations and activities there are.

Nothing is decided here. SDK clients are imported where they are used, so that a cold start stays cheap.
"""

import gc

gc.disable()  # until the end of this module: what it imports stays, and looking for garbage in it costs a cold start a tenth

import azure.durable_functions as df
import azure.functions as func

from activities import gateway_writer, hub_writer, runs
from activities.steps import gateway, nic, nsg, peering, validate, vm, vnet
from orchestrators.delete_spoke import delete_spoke
from orchestrators.deploy_spoke import deploy_spoke
from orchestrators.run_step import run_step
from orchestrators.write_gateway import write_gateway
from orchestrators.write_hub import write_hub
from triggers import deployments, spokes, status, timers

TRIGGERS = (spokes, deployments, status, timers)

ORCHESTRATORS = (deploy_spoke, delete_spoke, run_step, write_gateway, write_hub)

# The steps of the saga and their undos, then what keeps the run's own records.
ACTIVITIES = (
    validate.validate_config,
    vnet.create_vnet,
    nsg.create_nsg,
    vnet.create_subnets,
    nic.create_nic,
    vm.create_vm,
    runs.save_to_storage,
    vm.delete_vm,
    vm.delete_os_disk,
    nic.delete_nic,
    vnet.delete_vnet,
    nsg.delete_nsg,
    runs.release_reservations,
    runs.begin_run,
    runs.begin_rollback,
    runs.list_left_behind,
    runs.record_outcome,
    runs.give_up_step,
)

# With a Durable client. Steps and undos whose work a writer does start it; a writer's own activities wake those who wait.
ACTIVITIES_WITH_CLIENT = (
    *gateway_writer.ACTIVITIES,
    *hub_writer.ACTIVITIES,
    peering.create_peering,
    gateway.update_agw,
    gateway.remove_from_agw,
    peering.delete_peering,
)

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)

for module in TRIGGERS:
    app.register_functions(module.blueprint)
for orchestrator in ORCHESTRATORS:
    app.orchestration_trigger(context_name="context")(orchestrator)
for activity in ACTIVITIES:
    app.activity_trigger(input_name="payload")(activity)
for activity in ACTIVITIES_WITH_CLIENT:
    app.activity_trigger(input_name="payload")(app.durable_client_input(client_name="client")(activity))

gc.freeze()
gc.enable()

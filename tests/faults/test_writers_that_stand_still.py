"""Writers that Durable calls `Running` and that do nothing any more, or that died with their worker: others take over."""

import pytest

from local.functions.durable.faults import Fault as EngineFault
from shared.tables.records import Records
from shared.writers.instances import writer_of
from tests.faults.simulation import Simulation
from tests.infra.alert_lines import found

FULL = pytest.mark.full
IDS = {"gateway": "gateway-hub-agw", "hub": "hub-hub-vnet"}
FEW = {("gateway", "result"), ("hub", "timer")}
LOST = [
    pytest.param(which, message, marks=[] if (which, message) in FEW else FULL)
    for which in IDS
    for message in ("start", "call", "result", "timer")
]


def deployed_patiently(simulation: Simulation) -> str:
    """A deployment that waits for writers as long as in Azure."""
    run = simulation.deploy()
    row = simulation.run_row(run)
    Records().change_run(row, policy={**row.policy, "shared_deadline_seconds": 7200.0})
    return run


def gateway_puts(simulation: Simulation) -> int:
    return sum(each["path"].endswith("/applicationGateways/hub-agw") for each in simulation.azure.requests("PUT"))


@pytest.mark.parametrize(("which", "message"), LOST)
def test_a_writer_whose_message_is_lost_has_a_successor(
    simulation: Simulation, which: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    simulation.stage.faults.add(EngineFault("lose", message=message, instance=f"^{IDS[which]}$"))
    began = simulation.clock.now()
    run = deployed_patiently(simulation)
    simulation.until_ended(run)
    simulation.check(run, "completed")
    assert len(simulation.stage.faults.struck) == 1
    assert simulation.stage.status(IDS[which]).runtime_status in ("Running", "Pending")
    assert simulation.stage.exists(f"{IDS[which]}:2")
    assert simulation.clock.now() - began < 1200, "by the waiting steps alone; a timer is there within five minutes"
    assert IDS[which] in found("writer-stands-still", caplog.text)[0]["line"]
    row = writer_of(which).rows.writer()
    assert (row.generation, IDS[which] in row.replaced) == (2, True)


@pytest.mark.parametrize("which", ["gateway", pytest.param("hub", marks=FULL)])
def test_a_suspended_writer_has_a_successor_and_ends_when_it_is_resumed(simulation: Simulation, which: str) -> None:
    run = deployed_patiently(simulation)
    simulation.until_pending({"gateway": "poll_gateway", "hub": "write_hub_side"}[which])
    simulation.stage.suspend(IDS[which], "by hand")
    simulation.until_ended(run)
    simulation.check(run, "completed")
    puts = gateway_puts(simulation)
    assert simulation.stage.status(IDS[which]).runtime_status == "Suspended"
    simulation.stage.resume(IDS[which], "by hand")
    simulation.play_out()
    assert simulation.stage.status(IDS[which]).runtime_status == "Completed"
    assert gateway_puts(simulation) == puts
    simulation.check(run, "completed")


@pytest.mark.parametrize(
    ("which", "how"),
    [
        ("gateway", "worker_exit"),
        *(
            pytest.param(*each, marks=FULL)
            for each in [("gateway", "non_determinism"), ("hub", "worker_exit"), ("hub", "non_determinism")]
        ),
    ],
)
def test_a_writer_that_died_with_its_worker_is_started_again(simulation: Simulation, which: str, how: str) -> None:
    simulation.stage.faults.add(EngineFault("fail", instance=f"^{IDS[which]}$", how=how, times=3))
    run = deployed_patiently(simulation)
    simulation.until_ended(run)
    simulation.check(run, "completed")
    assert len(simulation.stage.faults.struck) == 3
    assert not simulation.stage.exists(f"{IDS[which]}:2")


def test_a_writer_that_waits_for_twenty_minutes_because_azure_says_so_is_not_late(simulation: Simulation) -> None:
    simulation.azure.fault(
        method="PUT", path="/applicationGateways/hub-agw$", mode="refuse", status=429, retry_after=1190
    )
    run = deployed_patiently(simulation)
    simulation.until_ended(run)
    simulation.check(run, "completed")
    assert writer_of("gateway").rows.writer().generation == 1

"""The lines on which alerts stand are written when the thing happens, as the alerts' queries read them."""

import logging
import re

import pytest

from tests.faults.conftest import SimulationAt
from tests.faults.wire import Fault
from tests.infra.alert_files import ALERTS
from tests.infra.alert_lines import found

NIC = Fault("create_nic: PUT networkInterfaces/{nic}", {"mode": "refuse", "status": 400}, times=None)
HUB_SIDE = "write_hub_side: DELETE virtualNetworks/hub-vnet/virtualNetworkPeerings/{hub side}"


def test_a_completed_deployment_says_how_long_it_took(
    simulation_at: SimulationAt, caplog: pytest.LogCaptureFixture
) -> None:
    simulation = simulation_at("deploy", "poll_gateway")
    with caplog.at_level(logging.INFO, logger="activities"):
        run = simulation.take_up()
        simulation.until_ended(run)
    (line,) = found("slow-deployments", caplog.text)
    assert int(line["seconds"]) > 0
    assert found("deployment-failed", caplog.text) == []
    assert found("leftovers", caplog.text) == []


def test_a_failed_deployment_says_so_once(simulation_at: SimulationAt, caplog: pytest.LogCaptureFixture) -> None:
    simulation = simulation_at("deploy", "create_nic")
    with caplog.at_level(logging.WARNING):
        run = simulation.take_up(NIC)
        simulation.until_ended(run)
    (line,) = found("deployment-failed", caplog.text)
    assert "status=failed" in line["line"]
    assert found("leftovers", caplog.text) == []


def test_a_cancelled_deployment_is_no_failed_one(simulation_at: SimulationAt, caplog: pytest.LogCaptureFixture) -> None:
    simulation = simulation_at("deploy", "create_nic")
    with caplog.at_level(logging.INFO):
        run = simulation.take_up()
        simulation.until_pending("create_nic")
        assert simulation.delete() == run
        simulation.until_ended(run)
    assert simulation.run_row(run).cancel_requested
    (line,) = re.findall(r"event=deployment_cancelled [^\n]*", caplog.text)
    assert line.startswith("event=deployment_cancelled status=failed ")
    fired = {alert.stem for alert in ALERTS if alert.stem != "errors" and found(alert.stem, caplog.text)}
    assert fired == set()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_what_is_left_behind_is_an_error_that_names_it(
    simulation_at: SimulationAt, caplog: pytest.LogCaptureFixture
) -> None:
    simulation = simulation_at("delete", "write_hub_side")
    with caplog.at_level(logging.WARNING):
        run = simulation.take_up(Fault(HUB_SIDE, {"mode": "refuse", "status": 400}, times=None))
        simulation.until_ended(run)
    (line,) = found("leftovers", caplog.text)
    assert "virtualNetworkPeerings" in line["line"]
    assert "ERROR" in {record.levelname for record in caplog.records if line["line"] in record.getMessage()}

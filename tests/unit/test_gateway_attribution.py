"""Whose fault a refusal is, when a PUT may be sent, and how long the writer gathers."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import AzureResourceException, Failure
from shared.writers.gateway.attribution import attribute_failure
from shared.writers.gateway.plan_pass import gather_wait, plan_pass
from shared.writers.gateway.site_rows import RUNNING, SENDING, GatewayWriter
from tests.unit.gateways import GATEWAY_ID, gateway, site_row

ROWS = [site_row(number) for number in (1, 2, 3, 4, 5)]
ALL = GatewayWriter(batch={row.client: 1 for row in ROWS})


def refusal(message, code="SomeCode", transient=False):
    return Failure(AzureResourceException, code, message, transient=transient)


def judged(message, code="SomeCode", writer=ALL, codes=None, transient=False):
    return attribute_failure(refusal(message, code, transient), codes or (code,), gateway(), ROWS, writer)


def test_a_named_site_fails_alone():
    verdict = judged(f"Probe '{GATEWAY_ID}/probes/client-3-probe' is not valid.")
    assert [row.client for row in verdict.offenders] == ["client-3"]
    assert verdict.limit is None
    verdict = judged(f"Resource {GATEWAY_ID} has two child resources with the same name (client-2-pool).")
    assert [row.client for row in verdict.offenders] == ["client-2"]


def test_of_two_named_sites_the_later_one_fails():
    message = (
        f"Rules {GATEWAY_ID}/requestRoutingRules/client-4-route and {GATEWAY_ID}/requestRoutingRules/client-2-route"
    )
    assert [row.client for row in judged(message).offenders] == ["client-4"]


def test_names_that_begin_alike_are_not_confused():
    rows = [site_row(1), site_row(11)]
    writer = GatewayWriter(batch={"client-1": 1, "client-11": 1})
    message = f"Probe '{GATEWAY_ID}/probes/client-11-probe' is not valid."
    verdict = attribute_failure(refusal(message), ("x",), gateway(), rows, writer)
    assert [row.client for row in verdict.offenders] == ["client-11"]


GROUP = GATEWAY_ID.split("/providers/")[0]
NETWORK = f"{GROUP}/providers/Microsoft.Network"
NSG, SUBNET = f"{NETWORK}/networkSecurityGroups/agw-nsg", f"{NETWORK}/virtualNetworks/hub-vnet/subnets/agw-subnet"
OTHER_GATEWAY = GATEWAY_ID.replace("hub-agw", "other-agw")
OF_THE_GATEWAY = [
    # AKS-Construction#333, azure-docs#87202, terraform-azurerm-avm-ptn-aiml-landing-zone#28, MicroHack#280
    (
        f"Network security group {NSG} blocks incoming internet traffic on ports 65200 - 65535 to subnet {SUBNET}, "
        f"associated with Application Gateway {GATEWAY_ID}. This is not permitted for Application Gateways that have V2 Sku.",
        "ApplicationGatewaySubnetInboundTrafficBlockedByNetworkSecurityGroup",
    ),
    (
        "Network security group  blocks outgoing internet traffic on subnet with Application Gateway. This is not "
        "permitted for Application Gateways that have fast update enabled or have V2 Sku.",
        "ApplicationGatewaySubnetOutboundTrafficBlockedByNetworkSecurityGroup",
    ),
    (
        f"Route Table {NETWORK}/routeTables/rt is associated to subnet {SUBNET}, which contains V2 SKU Application "
        f"Gateway {GATEWAY_ID}. Please ensure '0.0.0.0/0' uses NextHopType as 'Internet'.",
        "ApplicationGatewaySubnetUserDefinedRouteNotAllowed",
    ),
    (
        f"The TLS policy AppGwSslPolicy20150501 for Application Gateway {GATEWAY_ID} is using a deprecated TLS version.",
        "ApplicationGatewayDeprecatedTlsVersionUsedInSslPolicy",
    ),
    # azure-cli#27145: no id at all
    (
        "Application Gateway does not support Application Gateway without Public IP for the selected SKU tier "
        "Standard_v2. Supported SKU tiers are Standard,WAF.",
        "ApplicationGatewayFeatureCannotBeEnabledForSelectedSku",
    ),
    (
        "Subnet agw-subnet with address prefix 10.0.2.0/28 does not have enough capacity for 1 IP addresses.",
        "SubnetIsFull",
    ),
    # what no list knows
    (f"{NSG} is not what it should be.", "BrandNewCode"),
    (f"{NETWORK}/publicIPAddresses/pip has a Basic sku.", "BrandNewCode"),
    ("https://a-vault.vault.azure.net/secrets/wildcard can't be read.", "BrandNewCode"),
    (
        f"The identity {GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/agw was not found.",
        "BrandNewCode",
    ),
    (f"The listener {OTHER_GATEWAY}/httpListeners/client-1-listener is in the way.", "BrandNewCode"),
    (f"Application Gateway {GATEWAY_ID} can't be updated in this region.", "BrandNewCode"),
    ("Nothing is said.", "ApplicationGatewaySubnetBrandNew"),
    ("The network security group 'agw-nsg' is in the way.", "BrandNewCode"),
    (f"Resource {GATEWAY_ID}/sslCertificates/wildcard can't be read.", "SomeCode"),
    ("The vault says no.", "ApplicationGatewayKeyVaultSecretException"),
    ("Please delegate.", "ApplicationGatewayNetworkIsolationRequiresSubnetDelegation"),
    ("A policy forbids it.", "RequestDisallowedByPolicy"),
]


@pytest.mark.parametrize(("message", "code"), OF_THE_GATEWAY)
def test_what_names_no_site_blocks_all_with_its_reason(message, code):
    verdict = judged(message, code)
    assert verdict.offenders == []
    assert verdict.limit is None
    assert verdict.blocked_by is not None
    assert verdict.blocked_by.message == message


def test_ids_in_the_details_count_too():
    def with_details(*mentioned):
        failure = Failure(AzureResourceException, "SomeCode", "It can't be.", details={"mentioned": list(mentioned)})
        return attribute_failure(failure, ("SomeCode",), gateway(), ROWS, ALL)

    assert with_details(NSG).blocked_by is not None
    offenders = with_details(NSG, f"{GATEWAY_ID.upper()}/PROBES/CLIENT-2-PROBE").offenders
    assert [row.client for row in offenders] == ["client-2"]
    assert with_details().limit == 2


@pytest.mark.parametrize(
    "message",
    [
        "The host name client-3.spokes.example.com is not valid.",
        "The backend address 10.11.3.4 can't be reached.",
        "The probe 'client-3-probe' is not valid.",
    ],
)
def test_a_site_can_be_named_without_an_id(message):
    assert [row.client for row in judged(message).offenders] == ["client-3"]


def test_too_many_elements_bisect_although_the_message_names_the_gateway():
    verdict = judged(f"The number of HttpListeners of Application Gateway {GATEWAY_ID} exceeds the maximum allowed.")
    assert (verdict.limit, verdict.blocked_by) == (2, None)
    verdict = judged(
        f"At least one BackendAddressPool resource must be specified for the Application Gateway {GATEWAY_ID}.",
        "ApplicationGatewayMustHaveAtleastOneResourceOfType",
    )
    assert (verdict.limit, verdict.blocked_by) == (2, None)


def test_a_transient_failure_of_the_gateway_is_tried_again_before_the_batch_is_bisected():
    message = f"An internal error occurred on Application Gateway {GATEWAY_ID}."
    assert judged(message, "InternalServerError", transient=True).unexplained == 1
    third = judged(message, "InternalServerError", GatewayWriter(batch=ALL.batch, unexplained=2), transient=True)
    assert third.limit == 2
    busy = judged(f"Cannot proceed because {NSG} is updating.", "ReferencedResourceNotProvisioned", transient=True)
    assert busy.blocked_by is not None


def test_a_forbidden_put_of_any_code_fails_no_site():
    failure = Failure(AzureResourceException, "SomethingNew", "No.", details={"status": 403})
    verdict = attribute_failure(failure, ("SomethingNew",), gateway(), ROWS, ALL)
    assert verdict.offenders == []
    assert verdict.blocked_by == failure


def test_a_failure_that_names_no_site_bisects_the_batch_until_the_offender_is_alone():
    assert judged("No.").limit == 2
    assert judged("No.", writer=GatewayWriter(batch={"client-1": 1, "client-2": 1})).limit == 1
    alone = judged("No.", writer=GatewayWriter(batch={"client-5": 1}, limit=1))
    assert [row.client for row in alone.offenders] == ["client-5"]
    nobody = judged("No.", writer=GatewayWriter())
    assert nobody.blocked_by is not None


def test_a_superseded_put_is_attributed_to_no_site():
    verdict = judged("Operation was canceled.", "CanceledAndSupersededDueToAnotherOperation", transient=True)
    assert (verdict.offenders, verdict.limit, verdict.blocked_by, verdict.unexplained) == ([], None, None, 0)


def test_a_transient_failure_is_tried_again_before_it_is_attributed():
    first = judged("Oops.", "InternalServerError", transient=True)
    assert (first.unexplained, first.limit) == (1, None)
    third = judged("Oops.", "InternalServerError", GatewayWriter(batch=ALL.batch, unexplained=2), transient=True)
    assert third.limit == 2


MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def test_an_unanswered_put_holds_the_next_one_back_until_its_time_is_over():
    writer = GatewayWriter(phase=SENDING, not_after="2026-01-01T00:00:30.000Z")
    assert writer.lease.seconds_left(MIDNIGHT) == 30
    assert writer.lease.seconds_left(MIDNIGHT + timedelta(seconds=31)) == 0
    assert writer.finished().lease.seconds_left(MIDNIGHT) == 0


def test_a_put_waits_for_arrivals_but_not_for_ever():
    rows = [site_row(0, since="2026-01-01T00:00:00.000Z"), site_row(1, since="2026-01-01T00:00:03.000Z")]

    def at(seconds: float) -> datetime:
        return MIDNIGHT + timedelta(seconds=seconds)

    assert gather_wait(rows, 0, at(3), 2) == 2
    assert gather_wait(rows, 0, at(5), 2) == 0
    assert gather_wait(rows, 7, at(5), 2) == 5
    assert gather_wait(rows, 0, at(40), 2) == 0
    assert gather_wait(rows, 7, at(40 + 7 * 5 - 1), 2) == 1, "each on its way needs the hub for five seconds first"
    assert gather_wait(rows, 7, at(40 + 7 * 5), 2) == 0
    assert gather_wait(rows, 7, at(40 + 7 * 5), 2, gateways=3) == 5, "the hub is shared with other gateways' spokes"
    leaving = rows[0].request_removal(deployment_id="delete-a", now=rows[0].since)
    assert gather_wait([leaving, rows[1]], 7, at(40), 2) == 0, "who leaves isn't kept waiting"
    assert gather_wait([], 7, at(0), 2) == 0
    assert gather_wait([rows[0].applied()], 7, at(0), 2) == 0


def test_who_waits_learns_how_long_the_put_may_last():
    running = GatewayWriter(
        phase=RUNNING, batch={"client-1": 1}, began="2026-01-01T00:00:00.000Z", last_put_seconds=60.0
    )
    early, late = site_row(1), site_row(2)
    assert running.seconds_until(early, MIDNIGHT, 5) == 60
    assert running.seconds_until(late, MIDNIGHT, 5) == 120
    assert running.seconds_until(early, MIDNIGHT + timedelta(seconds=55), 5) == 5
    assert running.finished().seconds_until(early, MIDNIGHT, 5) == 60, "the next PUT takes as long"


def test_a_failure_is_not_attributed_when_the_offender_may_have_left_meanwhile():
    rows = [site_row(1, owned=True, desired_version=2, site=None), site_row(2, owned=True)]
    sent = GatewayWriter(batch={"client-1": 1, "client-2": 1})
    verdict = attribute_failure(refusal("No."), ("x",), gateway(), rows, sent)
    assert (verdict.offenders, verdict.limit, verdict.blocked_by) == ([], 1, None)
    named = attribute_failure(refusal(f"Bad: {GATEWAY_ID}/probes/client-1-probe"), ("x",), gateway(), rows, sent)
    assert (named.offenders, named.limit, named.blocked_by) == ([], None, None)
    alone = attribute_failure(refusal("No."), ("x",), gateway(), rows[:1], GatewayWriter(batch={"client-1": 1}))
    assert (alone.offenders, alone.blocked_by) == ([], None)


def test_a_named_site_that_is_not_being_added_fails_no_site():
    rows = [site_row(1, owned=True, applied_version=1), site_row(2, owned=True)]
    document = plan_pass(gateway(), rows, GatewayWriter()).document
    message = f"Probe '{GATEWAY_ID}/probes/client-1-probe' is not valid."
    verdict = attribute_failure(refusal(message), ("x",), document, rows, GatewayWriter(batch={"client-2": 1}))
    assert verdict.offenders == []
    assert verdict.blocked_by is not None

"""The WAF policies of a gateway: they decide how much fits on it, and stand in documents of their own."""

import logging
from typing import Any

from shared.arm.client import Arm
from shared.arm.failures import ArmError
from shared.writers.gateway.capacity import Limits, firewall_policy_ids, limits_of

log = logging.getLogger(__name__)


def gateway_limits(arm: Arm, gateway: dict[str, Any]) -> Limits:
    """The limits of a gateway: `AGW_LIMIT`, or less by the rules of its WAF policies.

    A policy that the app may not read, or that isn't there, is taken for a new one. Transient failures are raised.
    """
    policies = []
    for policy_id in firewall_policy_ids(gateway):
        try:
            policy = arm.get(policy_id)
        except ArmError as error:
            if error.failure.transient:
                raise
            log.warning("The gateway's WAF policy can't be read: %s", error.failure.message)
        else:
            policies += [policy] if policy else []
    return limits_of(gateway, arm.settings.agw_limit, policies)

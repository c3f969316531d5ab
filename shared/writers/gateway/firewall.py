"""The WAF policy of a gateway: it decides how much fits on it, and stands in a document of its own."""

import logging
from typing import Any

from shared.arm.client import Arm
from shared.arm.failures import ArmError
from shared.writers.gateway.capacity import firewall_policy_id, most_sites

log = logging.getLogger(__name__)


def sites_at_most(arm: Arm, gateway: dict[str, Any] | None) -> int:
    """The limit of pools, settings and active listeners: `AGW_LIMIT`, or less by the rules of the gateway's WAF policy.

    A policy that the app may not read is taken for a new one.
    """
    policy, policy_id = None, firewall_policy_id(gateway) if gateway else None
    if policy_id:
        try:
            policy = arm.get(policy_id)
        except ArmError as error:
            if error.failure.transient:
                raise
            log.warning("The gateway's WAF policy can't be read: %s", error.failure.message)
    return most_sites(policy, arm.settings.agw_limit)

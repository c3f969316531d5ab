"""A site: the frontend that it listens on, its five elements, and who else would catch its host name. Pure."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from shared.errors import Failure
from shared.spoke.plan import SpokePlan
from shared.writers.gateway.document import Document, Element, element_id, element_named, elements_of, inner, reference
from shared.writers.gateway.rows import Site, SiteNames

if TYPE_CHECKING:
    from shared.settings import Settings


@dataclass(frozen=True)
class Frontend:
    """Where a gateway is listened on: ids of its frontend IP, of its port and, for HTTPS, of its certificate."""

    ip_id: str
    port_id: str
    certificate_id: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What two listeners that could take each other's traffic have in common."""
        return self.ip_id.lower(), self.port_id.lower()


def names_of(plan: SpokePlan) -> SiteNames:
    """The five names of a spoke's site."""
    return SiteNames(
        plan.backend_pool_name, plan.probe_name, plan.http_settings_name, plan.listener_name, plan.routing_rule_name
    )


def site_of(plan: SpokePlan, private_ip: str, settings: "Settings") -> Site:
    """The site that a spoke is to have."""
    return Site(
        host_name=plan.host_name,
        private_ip=private_ip,
        frontend_ip=settings.agw_frontend_ip,
        frontend_port=settings.agw_frontend_port,
        ssl_certificate=settings.agw_ssl_certificate,
        probe_path=settings.probe_path,
    )


def frontend_of(gateway: Document, site: Site) -> Frontend | Failure:
    """The parts of the gateway that a site listens on; a `ConfigurationException` when one isn't there."""
    address = element_named(gateway, "frontendIPConfigurations", site.frontend_ip)
    if address is None:
        return _missing(gateway, "frontend IP configuration", site.frontend_ip, "AGW_FRONTEND_IP")
    port = next(
        (each for each in elements_of(gateway, "frontendPorts") if inner(each).get("port") == site.frontend_port), None
    )
    if port is None:
        return _missing(gateway, "frontend port", str(site.frontend_port), "AGW_FRONTEND_PORT")
    certificate_id = None
    if site.ssl_certificate:
        if element_named(gateway, "sslCertificates", site.ssl_certificate) is None:
            return _missing(gateway, "SSL certificate", site.ssl_certificate, "AGW_SSL_CERTIFICATE")
        certificate_id = element_id(gateway, "sslCertificates", site.ssl_certificate)
    return Frontend(
        element_id(gateway, "frontendIPConfigurations", str(address["name"])),
        element_id(gateway, "frontendPorts", str(port["name"])),
        certificate_id,
    )


def _missing(gateway: Document, what: str, name: str, setting: str) -> Failure:
    return Failure(
        "ConfigurationException",
        "GatewayPartMissing",
        f"The Application Gateway {gateway.get('name')} has no {what} {name}.",
        f"Add it to the gateway, or change {setting}.",
        {"setting": setting, "value": name},
    )


def site_elements(
    gateway: Document, names: SiteNames, site: Site, frontend: Frontend, priority: int
) -> dict[str, Element]:
    """The five elements of a site, by collection. They refer to each other, and to the frontend, by id."""

    def link(collection: str, name: str) -> dict[str, str]:
        return {"id": element_id(gateway, collection, name)}

    listener: Element = {
        "frontendIPConfiguration": {"id": frontend.ip_id},
        "frontendPort": {"id": frontend.port_id},
        "protocol": "Https" if frontend.certificate_id else "Http",
        "hostName": site.host_name,
    }
    if frontend.certificate_id:
        listener |= {"sslCertificate": {"id": frontend.certificate_id}, "requireServerNameIndication": True}
    return {
        "backendAddressPools": {
            "name": names.pool,
            "properties": {"backendAddresses": [{"ipAddress": site.private_ip}]},
        },
        "probes": {
            "name": names.probe,
            "properties": {
                "protocol": "Http",
                "host": site.host_name,
                "path": site.probe_path,
                "interval": 30,
                "timeout": 30,
                "unhealthyThreshold": 3,
                "pickHostNameFromBackendHttpSettings": False,
                "match": {"statusCodes": ["200-399"]},
            },
        },
        "backendHttpSettingsCollection": {
            "name": names.settings,
            "properties": {
                "port": 80,
                "protocol": "Http",
                "cookieBasedAffinity": "Disabled",
                "pickHostNameFromBackendAddress": False,
                "requestTimeout": 30,
                "connectionDraining": {"enabled": True, "drainTimeoutInSec": 30},
                "probe": link("probes", names.probe),
            },
        },
        "httpListeners": {"name": names.listener, "properties": listener},
        "requestRoutingRules": {
            "name": names.rule,
            "properties": {
                "ruleType": "Basic",
                "priority": priority,
                "httpListener": link("httpListeners", names.listener),
                "backendAddressPool": link("backendAddressPools", names.pool),
                "backendHttpSettings": link("backendHttpSettingsCollection", names.settings),
            },
        },
    }


def hosts_of(listener: Element) -> list[str]:
    """The host names of a listener, in either spelling, in lower case; none for a basic one."""
    own = inner(listener)
    names = ([own["hostName"]] if own.get("hostName") else []) + list(own.get("hostNames") or [])
    return [str(name).lower() for name in names]


def catches(listener: Element, host_name: str) -> bool:
    """Whether a listener takes requests for a host: by name, by wildcard (`*`, `?`), or because it is a basic one."""
    hosts = hosts_of(listener)
    return not hosts or any(fnmatchcase(host_name, pattern.replace("[", "[[]")) for pattern in hosts)


def listens_on(listener: Element, frontend: Frontend) -> bool:
    return (reference(listener, "frontendIPConfiguration"), reference(listener, "frontendPort")) == frontend.key


def host_conflict(
    gateway: Document, names: SiteNames, host_name: str, frontend: Frontend, *, wildcards: bool
) -> Failure | None:
    """The listener on the same frontend that has this host name already, other than the site's own.

    wildcards: also one whose wildcard catches it, which a host name that the caller chose may not take away from it. The
    default name of a client may: its rule then goes before the wildcard's.
    """
    for listener in elements_of(gateway, "httpListeners"):
        if str(listener.get("name", "")).lower() == names.listener.lower() or not listens_on(listener, frontend):
            continue
        hosts = hosts_of(listener)
        if host_name in hosts or (wildcards and hosts and catches(listener, host_name)):
            return Failure(
                "AzureResourceException",
                "HostNameTaken",
                f"The listener {listener.get('name')} of the Application Gateway {gateway.get('name')} already takes "
                f"requests for {host_name}.",
                "Choose another host_name, or remove that listener.",
                {"field": "host_name", "value": host_name, "listener": listener.get("name")},
            )
    return None

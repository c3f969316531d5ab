"""A site: the frontend that it listens on, its five elements, and who else would catch its host name. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import count
from typing import TYPE_CHECKING

from shared.errors import AzureResourceException, ConfigurationException, Failure
from shared.spoke.documents.raw import Document, listed, properties_of
from shared.spoke.plan import SiteNames, SpokePlan
from shared.writers.gateway.document import Element, element_id, reference
from shared.writers.gateway.site_rows import Site

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
    if missing := missing_parts(gateway, site):
        return missing[0]
    port = next(name for name, number in _ports(gateway) if number == str(site.frontend_port))
    return Frontend(
        element_id(gateway, "frontendIPConfigurations", site.frontend_ip),
        element_id(gateway, "frontendPorts", port),
        element_id(gateway, "sslCertificates", site.ssl_certificate) if site.ssl_certificate else None,
    )


def missing_parts(gateway: Document, site: Site) -> list[Failure]:
    """Each part that a site listens on and that the gateway doesn't have, with what it has instead, and the command."""
    in_command = gateway_in_command(gateway)
    names = {str(name).lower() for name, _ in _ports(gateway)}
    free = next(name for name in _numbered(f"port_{site.frontend_port}") if name not in names)
    add_port = f"frontend-port create {in_command} --name {free} --port {site.frontend_port}"
    ips, ports = _names(gateway, "frontendIPConfigurations"), [number for _, number in _ports(gateway)]
    parts = [
        ("frontend IP configuration", "AGW_FRONTEND_IP", site.frontend_ip, ips, ""),
        ("frontend port", "AGW_FRONTEND_PORT", str(site.frontend_port), ports, add_port),
    ]
    if site.ssl_certificate:
        command = f"ssl-cert create {in_command} --name {site.ssl_certificate} --key-vault-secret-id <id>"
        there = _names(gateway, "sslCertificates")
        parts.append(("SSL certificate", "AGW_SSL_CERTIFICATE", site.ssl_certificate, there, command))
    return [
        Failure(
            ConfigurationException,
            "GatewayPartMissing",
            f"The Application Gateway {gateway.get('name')} has no {what} {name}; it has {', '.join(there) or 'none'}.",
            f"Add it: `az network application-gateway {command}`. Or change {setting}."
            if command
            else f"Set {setting} to one of them.",
            {"setting": setting, "value": name, "there": there},
        )
        for what, setting, name, there, command in parts
        if name.lower() not in map(str.lower, there)
    ]


def _names(gateway: Document, collection: str) -> list[str]:
    return [str(each.get("name")) for each in listed(gateway, collection)]


def _ports(gateway: Document) -> list[tuple[str, str]]:
    """Name and number of each frontend port."""
    return [(str(each.get("name")), str(properties_of(each).get("port"))) for each in listed(gateway, "frontendPorts")]


def _numbered(first: str) -> Iterator[str]:
    yield first
    for number in count(2):
        yield f"{first}_{number}"


def gateway_in_command(gateway: Document) -> str:
    """How a command of `az network application-gateway` for a part names the gateway."""
    parts = str(gateway.get("id", "")).split("/")
    group = parts[4] if len(parts) > 4 else "<resource group>"
    return f"--resource-group {group} --gateway-name {gateway.get('name')}"


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


def hosts_of(listener: Element | None) -> list[str]:
    """The host names of a listener, in either spelling, in lower case; none for a basic one."""
    own = properties_of(listener)
    names = ([own["hostName"]] if own.get("hostName") else []) + list(own.get("hostNames") or [])
    return [str(name).lower() for name in names]


def catches(listener: Element, host_name: str) -> bool:
    """Whether a listener takes requests for a host: by name, by wildcard (`*`, `?`), or because it is a basic one."""
    return not hosts_of(listener) or _pattern_for(listener, host_name) is not None


def _pattern_for(listener: Element, host_name: str) -> str | None:
    """The first host name of a listener, with its wildcards, that a host matches."""
    matching = (each for each in hosts_of(listener) if fnmatchcase(host_name, each.replace("[", "[[]")))
    return next(matching, None)


def frontend_key(listener: Element) -> tuple[str, str]:
    """`Frontend.key` of where a listener listens."""
    return reference(listener, "frontendIPConfiguration"), reference(listener, "frontendPort")


def host_conflict(
    gateway: Document, names: SiteNames, host_name: str, frontend: Frontend, *, wildcards: bool
) -> Failure | None:
    """The listener on the same frontend that has this host name already, other than the site's own.

    wildcards: also one whose wildcard catches it: its requests would go to the new site from then on, because the rule
    of ours goes before. A site that is there keeps its host name, so that the gateway's writer asks without them.
    """
    for listener in listed(gateway, "httpListeners"):
        if str(listener.get("name", "")).lower() == names.listener.lower() or frontend_key(listener) != frontend.key:
            continue
        exact, pattern = host_name in hosts_of(listener), _pattern_for(listener, host_name)
        if not exact and not (wildcards and pattern):
            continue
        by_wildcard = "" if exact else f" by its wildcard {pattern}"
        hint = "Choose another host_name or client_name, or remove that listener."
        if by_wildcard:
            hint += " Where the wildcard is only a catch-all, set AGW_OVERRIDE_WILDCARDS=true."
        return Failure(
            AzureResourceException,
            "NameTaken",
            f"The listener {listener.get('name')} of the Application Gateway {gateway.get('name')} already takes "
            f"requests for {host_name}{by_wildcard}.",
            hint,
            {"kind": "host_name", "field": "host_name", "value": host_name, "listener": listener.get("name")},
        )
    return None

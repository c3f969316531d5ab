"""The ARM documents of a spoke: VNet, subnets, NIC, VM. Pure; the NSG's rules are in `shared.spoke.documents.security_rules`."""

import base64

from shared.spoke.documents.raw import Document, listed, properties_of
from shared.spoke.plan import SpokePlan, our_tags
from shared.spoke.resource_ids import ResourceIds, same_id

_OS_OF_OFFER = {
    "0001-com-ubuntu-server-jammy": "Ubuntu 22.04 LTS",
    "ubuntu-24_04-lts": "Ubuntu 24.04 LTS",
}


def resource_document(plan: SpokePlan, properties: Document) -> Document:
    """The document of a resource of this spoke."""
    return {"location": plan.location, "tags": our_tags(plan), "properties": properties}


def vnet_document(plan: SpokePlan) -> Document:
    """The VNet without a word about subnets: absent, those that are there stay (quickstart-templates#2786)."""
    return resource_document(plan, {"addressSpace": {"addressPrefixes": [plan.address_prefix]}})


def vnet_with_subnets(plan: SpokePlan, ids: ResourceIds, outbound: str) -> Document:
    """The whole body of `vnet_document` plus the four subnets: a VNet PUT is a full replacement, tags included.

    outbound: `SPOKE_OUTBOUND`. `defaultOutboundAccess` is always written, because api-versions from 2025-07-01 on take
    its absence for false.
    """
    document = vnet_document(plan)
    document["properties"]["subnets"] = [
        {
            "name": name,
            "properties": {
                "addressPrefix": prefix,
                "networkSecurityGroup": {"id": ids.nsg(plan.nsg_name)},
                **_outbound(outbound),
            },
        }
        for name, prefix in plan.subnets
    ]
    return document


def has_subnets(plan: SpokePlan, vnet: Document) -> bool:
    """Whether a VNet holds the plan's four subnets."""
    held = {each["name"].lower() for each in listed(vnet, "subnets") if properties_of(each).get("networkSecurityGroup")}
    return all(name.lower() in held for name, _ in plan.subnets)


def _outbound(outbound: str) -> Document:
    kind, _, resource_id = outbound.partition(":")
    way_out = {"nat": {"natGateway": {"id": resource_id}}, "route": {"routeTable": {"id": resource_id}}}
    return {"defaultOutboundAccess": kind == "default", **way_out.get(kind, {})}


def nic_document(plan: SpokePlan, ids: ResourceIds) -> Document:
    """The VM's interface in the web subnet, its address given out by Azure."""
    configuration = {
        "subnet": {"id": ids.subnet(plan.vnet_name, plan.web_subnet_name)},
        "privateIPAllocationMethod": "Dynamic",
        "primary": True,
    }
    return resource_document(plan, {"ipConfigurations": [{"name": "ipconfig1", "properties": configuration}]})


def private_ip_of(nic: Document) -> str:
    """The first private address of a NIC."""
    address: str = nic["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"]
    return address


def vm_document(plan: SpokePlan, ids: ResourceIds, image: str, security_type: str) -> Document:
    """The Ubuntu VM: SSH key only, managed boot diagnostics.

    image: `publisher:offer:sku:version`.  security_type: `TrustedLaunch` or `Standard`, always written out, because an
    SDK-made VM is Standard without it. Disk and NIC are `Detach`: our undos remove exactly these.
    """
    publisher, offer, sku, version = image.split(":")
    key_path = f"/home/{plan.admin_username}/.ssh/authorized_keys"
    os_profile: Document = {
        "computerName": plan.vm_name,
        "adminUsername": plan.admin_username,
        "linuxConfiguration": {
            "disablePasswordAuthentication": True,
            "ssh": {"publicKeys": [{"path": key_path, "keyData": plan.ssh_public_key}]},
        },
    }
    if plan.cloud_init:
        os_profile["customData"] = base64.b64encode(plan.cloud_init.encode()).decode()
    security: Document = {"securityType": security_type}
    if security_type == "TrustedLaunch":
        security["uefiSettings"] = {"secureBootEnabled": True, "vTpmEnabled": True}
    return resource_document(
        plan,
        {
            "hardwareProfile": {"vmSize": plan.vm_size},
            "storageProfile": {
                "imageReference": {"publisher": publisher, "offer": offer, "sku": sku, "version": version},
                "osDisk": {
                    "name": plan.os_disk_name,
                    "createOption": "FromImage",
                    "caching": "ReadWrite",
                    "managedDisk": {"storageAccountType": "StandardSSD_LRS"},
                    "deleteOption": "Detach",
                },
            },
            "osProfile": os_profile,
            "networkProfile": {
                "networkInterfaces": [
                    {"id": ids.nic(plan.nic_name), "properties": {"primary": True, "deleteOption": "Detach"}}
                ]
            },
            "securityProfile": security,
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
        },
    )


def os_of(image: str) -> str:
    """The operating system of an image `publisher:offer:sku:version`, as a person says it."""
    return _OS_OF_OFFER.get(image.split(":")[1], image)


def vm_keeping_unmanaged(vm: Document, nic_id: str) -> Document | None:
    """The VM's document with which its delete spares what others attached to it: data disks, and NICs beside ours.

    None when no delete option of theirs says `Delete`. Child resources, which a PUT refuses, are left out.
    """
    properties = properties_of(vm)
    storage, network = properties.get("storageProfile") or {}, properties.get("networkProfile") or {}
    disks = [_detached(disk) for disk in storage.get("dataDisks") or []]
    nics = [
        {**nic, "properties": _detached(nic["properties"])}
        if nic.get("properties") and not same_id(str(nic.get("id")), nic_id)
        else nic
        for nic in network.get("networkInterfaces") or []
    ]
    kept = {
        **properties,
        "storageProfile": {**storage, "dataDisks": disks},
        "networkProfile": {**network, "networkInterfaces": nics},
    }
    if (disks, nics) == (storage.get("dataDisks") or [], network.get("networkInterfaces") or []):
        return None
    return {**{name: value for name, value in vm.items() if name != "resources"}, "properties": kept}


def goes_with_its_vm(reference: Document) -> bool:
    """Whether Azure deletes a data disk or NIC with its VM. reference: as the VM's document has it."""
    options = {**reference, **properties_of(reference)}
    return str(options.get("deleteOption")).lower() == "delete"


def _detached(options: Document) -> Document:
    return {**options, "deleteOption": "Detach"} if goes_with_its_vm(options) else options

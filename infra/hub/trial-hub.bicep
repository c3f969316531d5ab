// A hub to try the app with, as a hub usually is: a VNet with hub-subnet and the gateway's subnet, and an Application
// Gateway with its public address and the default set of elements. The default rule stands at the end of the range, so
// that every site of a spoke goes before it. Each is made once: a second deployment leaves it alone, since a PUT of the
// gateway would take the sites of the spokes from it.

param vnetName string = 'hub-vnet'
param gatewayName string = 'hub-agw'
param location string = resourceGroup().location
param tags object = {}

var gatewayId = resourceId('Microsoft.Network/applicationGateways', gatewayName)
var frontendIpName = 'appGatewayFrontendIP'
var frontendPortName = 'appGatewayFrontendPort'
var poolName = 'defaultPool'
var httpSettingsName = 'appGatewayBackendHttpSettings'
var listenerName = 'appGatewayHttpListener'

// Since version 2025-07-01 subnets are private unless they say otherwise; this hub has what `az` gives it.
@onlyIfNotExists()
resource vnet 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: vnetName
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: ['10.0.0.0/16'] }
    subnets: [
      {
        name: 'hub-subnet'
        properties: { addressPrefix: '10.0.1.0/24' }
      }
      {
        name: 'agw-subnet'
        properties: {
          addressPrefix: '10.0.2.0/24'
          delegations: [
            {
              name: 'Microsoft.Network.applicationGateways'
              properties: { serviceName: 'Microsoft.Network/applicationGateways' }
            }
          ]
        }
      }
    ]
  }

  resource gatewaySubnet 'subnets' existing = { name: 'agw-subnet' }
}

@onlyIfNotExists()
resource address 'Microsoft.Network/publicIPAddresses@2026-03-01' = {
  name: '${gatewayName}-pip'
  location: location
  tags: tags
  sku: { name: 'Standard', tier: 'Regional' }
  properties: {
    publicIPAllocationMethod: 'Static'
    publicIPAddressVersion: 'IPv4'
    idleTimeoutInMinutes: 4
  }
}

@onlyIfNotExists()
resource gateway 'Microsoft.Network/applicationGateways@2026-03-01' = {
  name: gatewayName
  location: location
  tags: tags
  properties: {
    sku: { name: 'Standard_v2', tier: 'Standard_v2', family: 'Generation_1' }
    autoscaleConfiguration: { minCapacity: 2, maxCapacity: 10 }
    gatewayIPConfigurations: [
      { name: 'appGatewayIpConfig', properties: { subnet: { id: vnet::gatewaySubnet.id } } }
    ]
    frontendIPConfigurations: [
      {
        name: frontendIpName
        properties: { privateIPAllocationMethod: 'Dynamic', publicIPAddress: { id: address.id } }
      }
    ]
    frontendPorts: [{ name: frontendPortName, properties: { port: 80 } }]
    backendAddressPools: [{ name: poolName, properties: { backendAddresses: [] } }]
    backendHttpSettingsCollection: [
      {
        name: httpSettingsName
        properties: {
          port: 80
          protocol: 'Http'
          cookieBasedAffinity: 'Disabled'
          connectionDraining: { enabled: false, drainTimeoutInSec: 1 }
          pickHostNameFromBackendAddress: false
          requestTimeout: 30
        }
      }
    ]
    httpListeners: [
      {
        name: listenerName
        properties: {
          frontendIPConfiguration: { id: '${gatewayId}/frontendIPConfigurations/${frontendIpName}' }
          frontendPort: { id: '${gatewayId}/frontendPorts/${frontendPortName}' }
          protocol: 'Http'
          hostNames: []
          requireServerNameIndication: false
        }
      }
    ]
    requestRoutingRules: [
      {
        name: 'defaultRoutingRule'
        properties: {
          ruleType: 'Basic'
          priority: 20000
          httpListener: { id: '${gatewayId}/httpListeners/${listenerName}' }
          backendAddressPool: { id: '${gatewayId}/backendAddressPools/${poolName}' }
          backendHttpSettings: { id: '${gatewayId}/backendHttpSettingsCollection/${httpSettingsName}' }
        }
      }
    ]
  }
}

output vnetId string = vnet.id
output gatewayId string = gateway.id
output publicAddress string = address.properties.ipAddress

// The app's own small network: a subnet that the app's outbound traffic leaves from, and one with the private endpoints
// of its storage. It is peered with nothing: hub and spokes are reached through Azure Resource Manager only.

param name string
param location string
param tags object
param addressPrefix string

@description('To whom the app\'s subnet is delegated: Microsoft.App/environments for Flex Consumption, Microsoft.Web/serverFarms for Premium.')
param delegatedTo 'Microsoft.App/environments' | 'Microsoft.Web/serverFarms'

param hostAccountId string
param recordsAccountId string

var endpoints = [
  { name: 'host-blob', service: 'blob', accountId: hostAccountId }
  { name: 'host-queue', service: 'queue', accountId: hostAccountId }
  { name: 'host-table', service: 'table', accountId: hostAccountId }
  { name: 'records-table', service: 'table', accountId: recordsAccountId }
]
var services = ['blob', 'queue', 'table']

resource vnet 'Microsoft.Network/virtualNetworks@2026-03-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressPrefix] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 0)
          defaultOutboundAccess: true // the app calls Azure Resource Manager, whose addresses are public
          delegations: [{ name: 'app', properties: { serviceName: delegatedTo } }]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 1)
          defaultOutboundAccess: false
          privateEndpointNetworkPolicies: 'Disabled'
        }
      }
    ]
  }

  resource app 'subnets' existing = { name: 'app' }
  resource endpoints 'subnets' existing = { name: 'endpoints' }
}

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for service in services: {
    name: 'privatelink.${service}.${environment().suffixes.storage}'
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (service, i) in services: {
    parent: zones[i]
    name: name
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: vnet.id }
    }
  }
]

resource privateEndpoints 'Microsoft.Network/privateEndpoints@2026-03-01' = [
  for endpoint in endpoints: {
    name: '${name}-${endpoint.name}'
    location: location
    tags: tags
    properties: {
      subnet: { id: vnet::endpoints.id }
      privateLinkServiceConnections: [
        {
          name: endpoint.name
          properties: {
            privateLinkServiceId: endpoint.accountId
            groupIds: [endpoint.service]
          }
        }
      ]
    }
  }
]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2026-03-01' = [
  for (endpoint, i) in endpoints: {
    parent: privateEndpoints[i]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        {
          name: endpoint.service
          properties: { privateDnsZoneId: zones[indexOf(services, endpoint.service)].id }
        }
      ]
    }
  }
]

output appSubnetId string = vnet::app.id

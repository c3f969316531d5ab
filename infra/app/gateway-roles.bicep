// What the app's identity may do with one resource of a gateway: the gateway itself, or what its document names. A
// scope has a type, so there is one resource a type; of each id exactly one applies.

param principalId string
param identityId string

@description('The id of the gateway, or of a public address, WAF policy, security group, route table or identity.')
param resourceId string

@description('Ids of the role definitions, without their scope.')
param roles string[]

var parts = split(resourceId, '/')
var name = last(parts)
var kind = toLower('${parts[6]}/${parts[7]}')

resource gateway 'Microsoft.Network/applicationGateways@2026-03-01' existing = { name: name }
resource address 'Microsoft.Network/publicIPAddresses@2026-03-01' existing = { name: name }
resource policy 'Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies@2026-03-01' existing = {
  name: name
}
resource securityGroup 'Microsoft.Network/networkSecurityGroups@2026-03-01' existing = { name: name }
resource routeTable 'Microsoft.Network/routeTables@2026-03-01' existing = { name: name }
resource gatewayIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = { name: name }

resource ofGateway 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in (kind == 'microsoft.network/applicationgateways' ? roles : []): {
    name: guid(gateway.id, identityId, role)
    scope: gateway
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

resource ofAddress 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in (kind == 'microsoft.network/publicipaddresses' ? roles : []): {
    name: guid(address.id, identityId, role)
    scope: address
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

resource ofPolicy 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in (kind == 'microsoft.network/applicationgatewaywebapplicationfirewallpolicies' ? roles : []): {
    name: guid(policy.id, identityId, role)
    scope: policy
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

resource ofSecurityGroup 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in (kind == 'microsoft.network/networksecuritygroups' ? roles : []): {
    name: guid(securityGroup.id, identityId, role)
    scope: securityGroup
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

resource ofRouteTable 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in (kind == 'microsoft.network/routetables' ? roles : []): {
    name: guid(routeTable.id, identityId, role)
    scope: routeTable
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

resource ofIdentity 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in (kind == 'microsoft.managedidentity/userassignedidentities' ? roles : []): {
    name: guid(gatewayIdentity.id, identityId, role)
    scope: gatewayIdentity
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

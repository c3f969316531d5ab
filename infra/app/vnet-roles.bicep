// What the app's identity may do with a hub's VNet: read it, and write its peerings.

param principalId string
param identityId string
param vnetName string

@description('Ids of the role definitions, without their scope.')
param roles string[]

resource vnet 'Microsoft.Network/virtualNetworks@2026-03-01' existing = {
  name: vnetName
}

resource assignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in roles: {
    name: guid(vnet.id, identityId, role)
    scope: vnet
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

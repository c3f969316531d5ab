targetScope = 'subscription'

// What the app's identity may do in a whole subscription.

param principalId string
param identityId string

@description('Ids of the role definitions, without their scope.')
param roles string[]

resource assignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in roles: {
    name: guid(subscription().id, identityId, role)
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

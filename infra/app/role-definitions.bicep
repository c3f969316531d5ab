targetScope = 'subscription'

// The app's own roles, made of infra/roles: nothing is granted that doesn't stand there with its reason.

@description('Names the environment: names of roles are unique in a tenant.')
param suffix string

@description('Ids of the subscriptions in which the roles are assigned.')
param subscriptionIds string[]

import { roleKeys } from 'roles.bicep'

var documents = {
  subscription: loadJsonContent('../roles/subscription.json')
  'hub-vnet': loadJsonContent('../roles/hub-vnet.json')
  gateway: loadJsonContent('../roles/gateway.json')
  'spoke-group': loadJsonContent('../roles/spoke-group.json')
}

resource definitions 'Microsoft.Authorization/roleDefinitions@2022-04-01' = [
  for key in roleKeys: {
    name: guid(subscription().id, suffix, key)
    properties: {
      roleName: '${documents[key].name} (${suffix})'
      description: documents[key].description
      type: 'CustomRole'
      assignableScopes: [for id in subscriptionIds: '/subscriptions/${id}']
      permissions: [
        {
          actions: map(documents[key].actions, entry => entry.action)
          notActions: documents[key].notActions
        }
      ]
    }
  }
]

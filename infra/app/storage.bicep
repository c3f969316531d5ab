// Two accounts without shared keys. The first is the Functions host's: package, leases, keys, and the queues and tables
// of Durable Functions. The second holds the records; they outlive the app, and survive the loss of a zone.

param hostAccountName string
param recordsAccountName string
param packageContainerName string
param location string
param tags object

@description('Private: reached through private endpoints only.')
param private bool

@description('A lock on the account of the records: it, and the resource group with it, can be deleted only when the lock is gone.')
param lockRecords bool

param principalId string
param identityId string

var accountProperties = {
  allowSharedKeyAccess: false
  defaultToOAuthAuthentication: true
  allowBlobPublicAccess: false
  allowCrossTenantReplication: false
  minimumTlsVersion: 'TLS1_2'
  supportsHttpsTrafficOnly: true
  publicNetworkAccess: private ? 'Disabled' : 'Enabled'
  networkAcls: {
    defaultAction: private ? 'Deny' : 'Allow'
    bypass: 'None'
  }
}

resource host 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: hostAccountName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: accountProperties

  resource blobs 'blobServices' = {
    name: 'default'

    resource packages 'containers' = {
      name: packageContainerName
      properties: { publicAccess: 'None' }
    }
  }
}

resource records 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: recordsAccountName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_ZRS' }
  properties: accountProperties
}

resource lock 'Microsoft.Authorization/locks@2020-05-01' = if (lockRecords) {
  name: 'keep-the-records'
  scope: records
  properties: {
    level: 'CanNotDelete'
    notes: 'Holds the records of all spokes. Delete the spokes through the API first.'
  }
}

// Azure's own roles for data: there is no narrower one.
var blobDataOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
var queueDataContributor = '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
var tableDataContributor = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'

resource hostRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in [blobDataOwner, queueDataContributor, tableDataContributor]: {
    name: guid(host.id, identityId, role)
    scope: host
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    }
  }
]

resource recordsRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(records.id, identityId, tableDataContributor)
  scope: records
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', tableDataContributor)
  }
}

output hostAccountId string = host.id
output recordsAccountId string = records.id

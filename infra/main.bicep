targetScope = 'subscription'

// Everything that the app needs, beside a hub that is there (or with a hub of its own to try it). What you name by a
// parameter exists already and stays when the deployment goes; what you leave empty is made here and goes with it.

import { optionalSettings } from 'app/settings.bicep'
import { roleKeys, builtInRoles } from 'app/roles.bicep'

@minLength(1)
@maxLength(32)
@description('Names this deployment; every resource has a name of its own for each environment.')
param environmentName string

@minLength(1)
@metadata({ azd: { type: 'location' } })
@description('The region of the app, and of spokes whose request names none.')
param location string

@description('Flex Consumption, or Elastic Premium.')
@allowed(['FlexConsumption', 'ElasticPremium'])
param plan string = 'FlexConsumption'

@allowed(['3.11', '3.12', '3.13'])
param pythonVersion string = '3.12'

@description('Storage is reached through private endpoints only, and the app sends through a subnet of its own.')
param vnetEnabled bool = true

@description('The address space of the app\'s own VNet, /25 or larger. It is peered with nothing.')
param vnetAddressPrefix string = '10.250.0.0/24'

@description('The resource group for the app, which must exist; empty: make one.')
param appResourceGroup string = ''

@description('The resource group of the hub\'s VNet and gateway. With createTrialHub: where the hub is made; empty: make a group.')
param hubResourceGroup string = ''
param hubVnetName string = ''
param hubAgwName string = ''

@description('The subscription of the hub and of the spokes; empty: this one.')
param hubSubscriptionId string = ''

@description('Ids of what the gateway\'s document names: public address, WAF policies, identities, its subnet\'s security group and route table. Empty: the gateway role is assigned on the hub\'s resource group; else on the gateway and on each of these.')
param gatewayLinkedIds string[] = []

@description('The resource group of the spokes, which must exist; empty: make one.')
param spokeResourceGroup string = ''

@description('Several hubs, as the setting HUBS has them, instead of the parameters of the single hub. Empty: one hub.')
param hubs object[] = []

@description('A client\'s host name is {client}.{spokeDomain}.')
param spokeDomain string = ''

@description('Makes a hub to try the app with.')
param createTrialHub bool = false

@description('Who gets the alerts; empty: they are only shown in the Portal.')
param alertEmail string = ''

@description('Instances that always run for orchestrations and activities.')
@minValue(0)
param alwaysReadyDurable int = 1

@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('The app\'s own roles (infra/roles). false: Azure\'s own roles, which grant more; for deployers who may not make roles.')
param customRoles bool = true

@description('A lock on the account of the records. `azd down` fails until it is gone.')
param lockRecords bool = false

@description('Further settings of the app.')
param settings optionalSettings = {}

var singleHub = empty(hubs)
var ownSubscription = subscription().subscriptionId
var hubSubscription = empty(hubSubscriptionId) ? ownSubscription : hubSubscriptionId
var otherSubscription = toLower(hubSubscription) != toLower(ownSubscription)
var incompleteHubs = filter(
  hubs,
  hub =>
    empty(hub.?resource_group) || empty(hub.?vnet) || empty(hub.?gateways) || !empty(filter(
      hub.?gateways ?? [],
      gateway => empty(gateway.?name)
    ))
)
var gatewaysWithoutDomain = filter(flatten(map(hubs, hub => hub.?gateways ?? [])), gateway => empty(gateway.?domain))
var unknownKinds = filter(
  gatewayLinkedIds,
  id =>
    !contains(
      [
        'microsoft.network/publicipaddresses'
        'microsoft.network/applicationgatewaywebapplicationfirewallpolicies'
        'microsoft.network/networksecuritygroups'
        'microsoft.network/routetables'
        'microsoft.managedidentity/userassignedidentities'
      ],
      toLower(join(take(skip(split(id, '/'), 6), 2), '/'))
    )
)

var problems = filter(
  [
    singleHub && !createTrialHub && (empty(hubResourceGroup) || empty(hubVnetName) || empty(hubAgwName))
      ? 'Name the hub (hubResourceGroup, hubVnetName and hubAgwName), give several as hubs, or set createTrialHub=true to make one.'
      : ''
    !singleHub && (createTrialHub || !empty(hubResourceGroup) || !empty(hubVnetName) || !empty(hubAgwName) || !empty(hubSubscriptionId))
      ? 'hubs stands instead of the single hub: leave hubResourceGroup, hubVnetName, hubAgwName, hubSubscriptionId and createTrialHub out.'
      : ''
    empty(incompleteHubs) ? '' : 'Each of hubs needs resource_group, vnet and gateways, and each gateway a name.'
    createTrialHub && otherSubscription
      ? 'The trial hub is made in the subscription of the deployment: leave hubSubscriptionId out.'
      : ''
    singleHub && otherSubscription && empty(spokeResourceGroup)
      ? 'The spokes live in the hub\'s subscription, in which no group is made: name an existing one as spokeResourceGroup.'
      : ''
    empty(spokeDomain) && (singleHub || !empty(gatewaysWithoutDomain))
      ? 'spokeDomain is missing: a client\'s host name is {client}.{spokeDomain}.'
      : ''
    alwaysReadyDurable > maximumInstanceCount ? 'alwaysReadyDurable can\'t be more than maximumInstanceCount.' : ''
    plan == 'ElasticPremium' && alwaysReadyDurable > 20
      ? 'Elastic Premium has 20 instances at most: lower alwaysReadyDurable.'
      : ''
    vnetEnabled && int(last(split(vnetAddressPrefix, '/'))) > 25
      ? 'vnetAddressPrefix must be /25 or larger: it holds two subnets of /26.'
      : ''
    empty(unknownKinds)
      ? ''
      : 'gatewayLinkedIds holds an id of a kind that no gateway names: ${join(unknownKinds, ', ')}.'
  ],
  problem => !empty(problem)
)
// Whatever is made has this in its name, so that nothing is made of an impossible set of parameters.
var checkedName = empty(problems) ? environmentName : fail(join(problems, ' '))

var token = toLower(uniqueString(subscription().id, checkedName, location))
var tags = { 'azd-env-name': checkedName }

var groupName = empty(appResourceGroup) ? 'rg-${checkedName}' : appResourceGroup
var spokeGroupName = empty(spokeResourceGroup) ? 'rg-${checkedName}-spokes' : spokeResourceGroup
var trialGroupName = empty(hubResourceGroup) ? 'rg-${checkedName}-hub' : hubResourceGroup
var trialVnetName = empty(hubVnetName) ? 'hub-vnet' : hubVnetName
var trialAgwName = empty(hubAgwName) ? 'hub-agw' : hubAgwName

var hubGroupName = createTrialHub ? trialGroupName : hubResourceGroup
var vnetName = createTrialHub ? trialVnetName : hubVnetName
var gatewayName = createTrialHub ? trialAgwName : hubAgwName

var identityName = 'id-${token}'
var hostAccountName = 'st${token}'
var recordsAccountName = 'rec${token}'
var packageContainerName = 'packages'
var identityId = resourceId(
  ownSubscription,
  groupName,
  'Microsoft.ManagedIdentity/userAssignedIdentities',
  identityName
)

// One form for one hub and for several.
var allHubs = singleHub
  ? [
      {
        subscriptionId: hubSubscription
        group: hubGroupName
        vnet: vnetName
        gateways: [gatewayName]
        spokeSubscriptionId: hubSubscription
        spokeGroup: spokeGroupName
      }
    ]
  : map(hubs, hub => {
      subscriptionId: hub.?subscription_id ?? ownSubscription
      group: hub.?resource_group ?? ''
      vnet: hub.?vnet ?? ''
      gateways: map(hub.?gateways ?? [], gateway => gateway.?name ?? '')
      spokeSubscriptionId: hub.?spoke_subscription_id ?? hub.?subscription_id ?? ownSubscription
      spokeGroup: hub.?spoke_resource_group ?? spokeGroupName
    })
var makesSpokeGroup = empty(spokeResourceGroup) && !empty(filter(allHubs, hub => hub.spokeGroup == spokeGroupName))

var subscriptionIds = union(
  [ownSubscription],
  map(allHubs, hub => hub.subscriptionId),
  map(allHubs, hub => hub.spokeSubscriptionId)
)
var spokeGroups = union([], map(allHubs, hub => { subscriptionId: hub.spokeSubscriptionId, name: hub.spokeGroup }))
var hubGroups = union([], map(allHubs, hub => { subscriptionId: hub.subscriptionId, name: hub.group }))
var gatewayScopes = empty(gatewayLinkedIds)
  ? []
  : union(
      flatten(map(
        allHubs,
        hub =>
          map(
            hub.gateways,
            gateway => resourceId(hub.subscriptionId, hub.group, 'Microsoft.Network/applicationGateways', gateway)
          )
      )),
      gatewayLinkedIds
    )

var roleSuffix = '${checkedName} ${token}'
var roles = toObject(
  roleKeys,
  key => key,
  key => customRoles ? [guid(subscription().id, roleSuffix, key)] : builtInRoles[key]
)

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = if (empty(appResourceGroup)) {
  name: groupName
  location: location
  tags: tags
}

resource spokeGroup 'Microsoft.Resources/resourceGroups@2025-04-01' = if (makesSpokeGroup) {
  name: spokeGroupName
  location: location
  tags: tags
}

resource trialGroup 'Microsoft.Resources/resourceGroups@2025-04-01' = if (createTrialHub && empty(hubResourceGroup)) {
  name: trialGroupName
  location: location
  tags: tags
}

module trialHub 'hub/trial-hub.bicep' = if (createTrialHub) {
  scope: resourceGroup(trialGroupName)
  params: { vnetName: trialVnetName, gatewayName: trialAgwName, location: location, tags: tags }
  dependsOn: [trialGroup]
}

module identity 'app/identity.bicep' = {
  scope: resourceGroup(groupName)
  params: { name: identityName, location: location, tags: tags }
  dependsOn: [group]
}

module storage 'app/storage.bicep' = {
  scope: resourceGroup(groupName)
  params: {
    hostAccountName: hostAccountName
    recordsAccountName: recordsAccountName
    packageContainerName: packageContainerName
    location: location
    tags: tags
    private: vnetEnabled
    lockRecords: lockRecords
    principalId: identity.outputs.principalId
    identityId: identityId
  }
}

module network 'app/network.bicep' = if (vnetEnabled) {
  scope: resourceGroup(groupName)
  params: {
    name: 'vnet-${token}'
    location: location
    tags: tags
    addressPrefix: vnetAddressPrefix
    delegatedTo: plan == 'FlexConsumption' ? 'Microsoft.App/environments' : 'Microsoft.Web/serverFarms'
    hostAccountId: storage.outputs.hostAccountId
    recordsAccountId: storage.outputs.recordsAccountId
  }
}

module monitoring 'app/monitoring.bicep' = {
  scope: resourceGroup(groupName)
  params: {
    workspaceName: 'log-${token}'
    insightsName: 'appi-${token}'
    location: location
    tags: tags
    principalId: identity.outputs.principalId
    identityId: identityId
  }
}

module roleDefinitions 'app/role-definitions.bicep' = if (customRoles) {
  params: { suffix: roleSuffix, subscriptionIds: subscriptionIds }
}

module subscriptionRoles 'app/subscription-roles.bicep' = [
  for id in subscriptionIds: {
    scope: subscription(id)
    params: { roles: roles.subscription, principalId: identity.outputs.principalId, identityId: identityId }
    dependsOn: [roleDefinitions]
  }
]

module vnetRoles 'app/vnet-roles.bicep' = [
  for hub in allHubs: {
    scope: resourceGroup(hub.subscriptionId, hub.group)
    params: {
      vnetName: hub.vnet
      roles: roles['hub-vnet']
      principalId: identity.outputs.principalId
      identityId: identityId
    }
    dependsOn: [roleDefinitions, trialHub]
  }
]

// The gateway's document names resources that only the document knows: without a list of them, the whole group.
module gatewayGroupRoles 'app/group-roles.bicep' = [
  for hubGroup in (empty(gatewayLinkedIds) ? hubGroups : []): {
    scope: resourceGroup(hubGroup.subscriptionId, hubGroup.name)
    params: { roles: roles.gateway, principalId: identity.outputs.principalId, identityId: identityId }
    dependsOn: [roleDefinitions, trialGroup]
  }
]

module gatewayRoles 'app/gateway-roles.bicep' = [
  for id in gatewayScopes: {
    scope: resourceGroup(split(id, '/')[2], split(id, '/')[4])
    params: {
      resourceId: id
      roles: roles.gateway
      principalId: identity.outputs.principalId
      identityId: identityId
    }
    dependsOn: [roleDefinitions, trialHub]
  }
]

module spokeGroupRoles 'app/group-roles.bicep' = [
  for group in spokeGroups: {
    scope: resourceGroup(group.subscriptionId, group.name)
    params: { roles: roles['spoke-group'], principalId: identity.outputs.principalId, identityId: identityId }
    dependsOn: [roleDefinitions, spokeGroup]
  }
]

var hubSettings = singleHub
  ? { HUB_RESOURCE_GROUP: hubGroupName, HUB_VNET_NAME: vnetName, HUB_AGW_NAME: gatewayName }
  : { HUBS: string(hubs) }

module app 'app/function-app.bicep' = {
  scope: resourceGroup(groupName)
  params: {
    name: 'func-${token}'
    planName: 'plan-${token}'
    location: location
    tags: tags
    plan: plan
    pythonVersion: pythonVersion
    alwaysReadyDurable: alwaysReadyDurable
    maximumInstanceCount: maximumInstanceCount
    instanceMemoryMB: instanceMemoryMB
    identityId: identityId
    identityClientId: identity.outputs.clientId
    hostAccountName: hostAccountName
    packageContainerName: packageContainerName
    insightsConnectionString: monitoring.outputs.connectionString
    subnetId: vnetEnabled ? network!.outputs.appSubnetId : null
    vnetEnabled: vnetEnabled
    settings: union(
      { TASK_HUB: 'HubSpokeV2', DURABLE_URLS: 'none', HUB_LOCATION: location },
      settings,
      hubSettings,
      empty(spokeDomain) ? {} : { SPOKE_DOMAIN: spokeDomain },
      {
        AZURE_SUBSCRIPTION_ID: hubSubscription
        SPOKE_RESOURCE_GROUP: spokeGroupName
        TABLES_ENDPOINT: 'https://${recordsAccountName}.table.${environment().suffixes.storage}'
      }
    )
  }
  #disable-next-line no-unnecessary-dependson // without the network nothing else leads to it
  dependsOn: [storage]
}

module alerts 'app/alerts.bicep' = {
  scope: resourceGroup(groupName)
  params: {
    namePrefix: 'alert-${token}'
    location: location
    tags: tags
    insightsId: monitoring.outputs.insightsId
    email: alertEmail
  }
}

output AZURE_RESOURCE_GROUP string = groupName
output AZURE_FUNCTION_APP string = app.outputs.name
output API_URL string = app.outputs.url
output APP_PLAN string = plan
output APP_ROLE_SUFFIX string = roleSuffix
output APP_PRINCIPAL_ID string = identity.outputs.principalId
output APP_SUBSCRIPTION_IDS string = join(subscriptionIds, ',')
output APP_PACKAGE_URL string = 'https://${hostAccountName}.blob.${environment().suffixes.storage}/${packageContainerName}/app.zip'
output APP_RECORDS_ACCOUNT string = recordsAccountName
output APP_RECORDS_LOCKED bool = lockRecords
output APP_WARNING string = customRoles
  ? ''
  : 'The app has roles of Azure that grant more than it needs (customRoles=false): Network Contributor on the hub and on the spokes\' group, Reader on the subscription.'

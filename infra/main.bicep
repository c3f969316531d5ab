targetScope = 'subscription'

// Everything that the app needs, beside a hub that is there (or with a hub of its own to try it). What you name by a
// parameter exists already and stays when the deployment goes; what you leave empty is made here and goes with it.

import {
  distinct
  isDomain
  isEmail
  isEnvironmentName
  isGroupName
  isGuid
  isIdOf
  isPrefix
  isResourceName
  isTaskHub
  refused
} from 'app/checks.bicep'
import { hub, hubProblems } from 'app/hubs.bicep'
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

@description('The resource group of the hub\'s VNet and gateway.')
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
param hubs hub[] = []

@description('A client\'s host name is {client}.{spokeDomain}.')
param spokeDomain string = ''

@description('Makes a hub to try the app with, in a resource group of its own, instead of the one that is there.')
param createTrialHub bool = false

@description('Who gets the alerts; empty: they are only shown in the Portal.')
param alertEmail string = ''

@description('Instances that always run: of Flex Consumption for orchestrations and activities, of Elastic Premium for everything.')
@minValue(0)
param alwaysReadyDurable int = 1

@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = plan == 'FlexConsumption' ? 40 : 20

@description('Of Flex Consumption. Elastic Premium has 3.5 GB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('The app\'s own roles (infra/roles). false: Azure\'s own roles, which grant more; for deployers who may not make roles.')
param customRoles bool = true

@description('A lock on the account of the records. `azd down` fails until it is gone.')
param lockRecords bool = false

@description('Further settings of the app.')
param settings optionalSettings = {}

var singleHub = empty(hubs)
var namesHub = !empty(hubResourceGroup) || !empty(hubVnetName) || !empty(hubAgwName) || !empty(hubSubscriptionId)
var ownSubscription = toLower(subscription().subscriptionId)
var hubSubscription = empty(hubSubscriptionId) ? ownSubscription : toLower(hubSubscriptionId)
var spokesOfOthers = filter(
  hubs,
  each =>
    empty(each.?spoke_resource_group) && toLower(each.?spoke_subscription_id ?? each.?subscription_id ?? ownSubscription) != ownSubscription
)
var unknownIds = filter(
  gatewayLinkedIds,
  id =>
    !isIdOf(toLower(id), [
      'microsoft.network/publicipaddresses'
      'microsoft.network/applicationgatewaywebapplicationfirewallpolicies'
      'microsoft.network/networksecuritygroups'
      'microsoft.network/routetables'
      'microsoft.managedidentity/userassignedidentities'
    ])
)
var aDomain = 'a DNS name without wildcard and without https://'
var aGroup = 'the name of a resource group'

var problems = filter(
  [
    refused(
      'environmentName',
      environmentName,
      isEnvironmentName(environmentName),
      'letters, digits and -_.() without a period at the end'
    )
    refused('appResourceGroup', appResourceGroup, isGroupName(appResourceGroup), aGroup)
    refused('hubResourceGroup', hubResourceGroup, isGroupName(hubResourceGroup), aGroup)
    refused('spokeResourceGroup', spokeResourceGroup, isGroupName(spokeResourceGroup), aGroup)
    refused('hubVnetName', hubVnetName, isResourceName(hubVnetName, 2, 64), 'the name of a VNet')
    refused('hubAgwName', hubAgwName, isResourceName(hubAgwName, 1, 80), 'the name of an Application Gateway')
    refused('hubSubscriptionId', hubSubscriptionId, isGuid(hubSubscriptionId), 'the id of a subscription, a GUID')
    refused('spokeDomain', spokeDomain, isDomain(spokeDomain), aDomain)
    refused('alertEmail', alertEmail, isEmail(alertEmail), 'one e-mail address (for several, that of a group)')
    refused(
      'TASK_HUB of settings',
      settings.?TASK_HUB,
      isTaskHub(settings.?TASK_HUB ?? ''),
      '3 to 45 letters and digits, a letter first'
    )
    vnetEnabled && (!isPrefix(vnetAddressPrefix) || int(last(split(vnetAddressPrefix, '/'))) > 25)
      ? 'vnetAddressPrefix must be an IPv4 prefix without host bits, /25 or larger, for two subnets of /26: "${vnetAddressPrefix}" isn\'t'
      : ''
    singleHub && !createTrialHub && (empty(hubResourceGroup) || empty(hubVnetName) || empty(hubAgwName))
      ? 'Name the hub (hubResourceGroup, hubVnetName and hubAgwName), give several as hubs, or set createTrialHub=true to make one'
      : ''
    !singleHub && (createTrialHub || namesHub)
      ? 'hubs stands instead of the single hub: leave hubResourceGroup, hubVnetName, hubAgwName, hubSubscriptionId and createTrialHub out'
      : ''
    ...hubProblems(hubs, spokeDomain, settings.?SPOKE_ADDRESS_POOL ?? '10.11.0.0/16', ownSubscription)
    createTrialHub && namesHub
      ? 'createTrialHub makes a hub of its own: leave hubResourceGroup, hubVnetName, hubAgwName and hubSubscriptionId out, or leave out createTrialHub to use the hub that they name'
      : ''
    singleHub && hubSubscription != ownSubscription && empty(spokeResourceGroup)
      ? 'The spokes live in the hub\'s subscription, in which no group is made: name an existing one as spokeResourceGroup'
      : ''
    !empty(spokesOfOthers) && empty(spokeResourceGroup)
      ? 'The spokes of ${join(map(spokesOfOthers, each => each.name), ', ')} live in another subscription, in which no group is made: name an existing one as spoke_resource_group'
      : ''
    empty(spokeDomain) && (singleHub || !empty(filter(
        flatten(map(hubs, each => each.gateways)),
        gateway => empty(gateway.?domain)
      )))
      ? 'spokeDomain is missing: a client\'s host name is {client}.{spokeDomain}'
      : ''
    alwaysReadyDurable > maximumInstanceCount ? 'alwaysReadyDurable can\'t be more than maximumInstanceCount' : ''
    plan == 'ElasticPremium' && (alwaysReadyDurable < 1 || alwaysReadyDurable > 20)
      ? 'Elastic Premium has 1 to 20 instances that always run: set alwaysReadyDurable to one of these'
      : ''
    plan == 'ElasticPremium' && maximumInstanceCount > 100
      ? 'Elastic Premium has 100 instances at most, in some regions 20: lower maximumInstanceCount'
      : ''
    plan == 'ElasticPremium' && instanceMemoryMB != 2048
      ? 'instanceMemoryMB is of Flex Consumption: leave it out, or set plan to FlexConsumption'
      : ''
    empty(unknownIds)
      ? ''
      : 'gatewayLinkedIds must hold ids of public addresses, WAF policies, identities, network security groups and route tables: ${join(unknownIds, ', ')} isn\'t one'
  ],
  problem => !empty(problem)
)
// Whatever is made has this in its name, so that nothing is made of an impossible set of parameters.
var checkedName = empty(problems) ? environmentName : fail(join(problems, '. '))

// Azure tells neither groups nor regions by capital letters or spaces: `Dev` in `East US` is `dev` in `eastus`.
var label = toLower(checkedName)
var token = uniqueString(subscription().id, label, toLower(replace(location, ' ', '')))
var tags = { 'azd-env-name': checkedName }

var groupName = empty(appResourceGroup) ? 'rg-${label}' : appResourceGroup
var spokeGroupName = empty(spokeResourceGroup) ? 'rg-${label}-spokes' : spokeResourceGroup

var hubGroupName = createTrialHub ? 'rg-${label}-hub' : hubResourceGroup
var vnetName = createTrialHub ? 'hub-vnet' : hubVnetName
var gatewayName = createTrialHub ? 'hub-agw' : hubAgwName

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

// One form for one hub and for several. In small letters, so that each scope is there once.
var allHubs = singleHub
  ? [
      {
        subscriptionId: hubSubscription
        group: toLower(hubGroupName)
        vnet: vnetName
        gateways: [gatewayName]
        spokeSubscriptionId: hubSubscription
        spokeGroup: toLower(spokeGroupName)
      }
    ]
  : map(hubs, each => {
      subscriptionId: toLower(each.?subscription_id ?? ownSubscription)
      group: toLower(each.resource_group)
      vnet: each.vnet
      gateways: map(each.gateways, gateway => gateway.name)
      spokeSubscriptionId: toLower(each.?spoke_subscription_id ?? each.?subscription_id ?? ownSubscription)
      spokeGroup: toLower(each.?spoke_resource_group ?? spokeGroupName)
    })
var makesSpokeGroup = empty(spokeResourceGroup) && !empty(filter(
  allHubs,
  each => each.spokeGroup == toLower(spokeGroupName)
))

var subscriptionIds = union(map(allHubs, each => each.subscriptionId), map(allHubs, each => each.spokeSubscriptionId))
// In which a role can be assigned, and from which `azd down` removes it.
var assignableIds = union([ownSubscription], subscriptionIds, map(gatewayLinkedIds, id => toLower(split(id, '/')[2])))
var spokeGroups = union([], map(allHubs, each => { subscriptionId: each.spokeSubscriptionId, name: each.spokeGroup }))
// The gateway's document names resources that only the document knows: without a list of them, the whole group.
var gatewayGroups = empty(gatewayLinkedIds)
  ? union([], map(allHubs, each => { subscriptionId: each.subscriptionId, name: each.group }))
  : []
var gatewayScopes = empty(gatewayLinkedIds)
  ? []
  : distinct(concat(
      flatten(map(
        allHubs,
        each =>
          map(
            each.gateways,
            gateway => resourceId(each.subscriptionId, each.group, 'Microsoft.Network/applicationGateways', gateway)
          )
      )),
      gatewayLinkedIds
    ))

var roleSuffix = '${label} ${token}'
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

resource trialGroup 'Microsoft.Resources/resourceGroups@2025-04-01' = if (createTrialHub) {
  name: hubGroupName
  location: location
  tags: tags
}

module trialHub 'hub/trial-hub.bicep' = if (createTrialHub) {
  scope: resourceGroup(hubGroupName)
  params: { vnetName: vnetName, gatewayName: gatewayName, location: location, tags: tags }
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
  params: { suffix: roleSuffix, subscriptionIds: assignableIds }
}

module subscriptionRoles 'app/subscription-roles.bicep' = [
  for id in subscriptionIds: {
    scope: subscription(id)
    params: { roles: roles.subscription, principalId: identity.outputs.principalId, identityId: identityId }
    dependsOn: [roleDefinitions]
  }
]

module vnetRoles 'app/vnet-roles.bicep' = [
  for each in allHubs: {
    scope: resourceGroup(each.subscriptionId, each.group)
    params: {
      vnetName: each.vnet
      roles: roles['hub-vnet']
      principalId: identity.outputs.principalId
      identityId: identityId
    }
    dependsOn: [roleDefinitions, trialHub]
  }
]

// Spokes and hub may share a group, and two of the app's roles may be the same one of Azure's.
module groupRoles 'app/group-roles.bicep' = [
  for each in union(spokeGroups, gatewayGroups): {
    scope: resourceGroup(each.subscriptionId, each.name)
    params: {
      roles: union(
        contains(spokeGroups, each) ? roles['spoke-group'] : [],
        contains(gatewayGroups, each) ? roles.gateway : []
      )
      principalId: identity.outputs.principalId
      identityId: identityId
    }
    dependsOn: [roleDefinitions, group, spokeGroup, trialGroup]
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
output APP_SUBSCRIPTION_IDS string = join(assignableIds, ',')
output APP_PACKAGE_URL string = 'https://${hostAccountName}.blob.${environment().suffixes.storage}/${packageContainerName}/app.zip'
output APP_RECORDS_ACCOUNT string = recordsAccountName
output APP_RECORDS_LOCKED bool = lockRecords
output APP_WARNING string = customRoles
  ? ''
  : 'The app has roles of Azure that grant more than it needs (customRoles=false): Network Contributor on the hub and on the spokes\' group, Reader on the subscription.'

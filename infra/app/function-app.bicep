// The plan and the function app. The code comes afterwards, by `azd deploy`.

param name string
param planName string
param location string
param tags object
param plan 'FlexConsumption' | 'ElasticPremium'
param pythonVersion string
param alwaysReadyDurable int
param maximumInstanceCount int
param instanceMemoryMB int

param identityId string
param identityClientId string
param hostAccountName string
param packageContainerName string
param insightsConnectionString string

@description('The app sends through a subnet of its own.')
param vnetEnabled bool
param subnetId string?

@description('The app\'s own settings.')
param settings object

var flex = plan == 'FlexConsumption'
var storage = environment().suffixes.storage
var packageContainerUrl = 'https://${hostAccountName}.blob.${storage}/${packageContainerName}'

var platformSettings = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsStorage__blobServiceUri: 'https://${hostAccountName}.blob.${storage}'
  AzureWebJobsStorage__queueServiceUri: 'https://${hostAccountName}.queue.${storage}'
  AzureWebJobsStorage__tableServiceUri: 'https://${hostAccountName}.table.${storage}'
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD;ClientId=${identityClientId}'
  AZURE_CLIENT_ID: identityClientId
  AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential'
  PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: 'true'
  PYTHON_THREADPOOL_THREAD_COUNT: '32'
}

// Flex Consumption has properties instead, and refuses an app that has one of these. Without keys there is no file
// share for the content either (learn.microsoft.com, "Storage considerations for Azure Functions": an app without Azure
// Files): Premium reads the package from the container, as the app's identity.
var premiumSettings = {
  FUNCTIONS_EXTENSION_VERSION: '~4'
  FUNCTIONS_WORKER_RUNTIME: 'python'
  WEBSITE_RUN_FROM_PACKAGE: '${packageContainerUrl}/app.zip'
  WEBSITE_RUN_FROM_PACKAGE_BLOB_MI_RESOURCE_ID: identityId
}

var allSettings = union(settings, platformSettings, flex ? {} : premiumSettings)

var commonSiteConfig = {
  minTlsVersion: '1.2'
  scmMinTlsVersion: '1.2'
  ftpsState: 'Disabled'
  http20Enabled: true
  appSettings: map(items(allSettings), setting => { name: setting.key, value: setting.value })
}

var premiumSiteConfig = {
  linuxFxVersion: 'Python|${pythonVersion}'
  minimumElasticInstanceCount: alwaysReadyDurable
  functionAppScaleLimit: maximumInstanceCount
  functionsRuntimeScaleMonitoringEnabled: vnetEnabled
  vnetRouteAllEnabled: vnetEnabled
}

resource hostingPlan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: flex ? 'functionapp' : 'elastic'
  sku: flex ? { name: 'FC1', tier: 'FlexConsumption' } : { name: 'EP1', tier: 'ElasticPremium' }
  properties: union({ reserved: true }, flex ? {} : { maximumElasticWorkerCount: maximumInstanceCount })
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'api' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: union(
    {
      serverFarmId: hostingPlan.id
      httpsOnly: true
      clientAffinityEnabled: false
      keyVaultReferenceIdentity: identityId
      virtualNetworkSubnetId: subnetId
      siteConfig: union(commonSiteConfig, flex ? {} : premiumSiteConfig)
    },
    flex
      ? {
          functionAppConfig: {
            deployment: {
              storage: {
                type: 'blobContainer'
                value: packageContainerUrl
                authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
              }
            }
            runtime: { name: 'python', version: pythonVersion }
            scaleAndConcurrency: {
              maximumInstanceCount: maximumInstanceCount
              instanceMemoryMB: instanceMemoryMB
              alwaysReady: alwaysReadyDurable > 0 ? [{ name: 'durable', instanceCount: alwaysReadyDurable }] : []
            }
          }
        }
      : {}
  )

  // Neither FTP nor the deployment site takes a password.
  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }
}

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}/api'

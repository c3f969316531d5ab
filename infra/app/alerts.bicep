// The alert rules. Each stands in a file of infra/alerts, whose first two lines say what it means and what to do; they
// are the alert's description, too.

param location string
param tags object
param insightsId string
param namePrefix string

@description('Who gets them; empty: they are only shown in the Portal.')
param email string

var rules = [
  { name: 'deployment-failed', severity: 2, minutes: 5, query: loadTextContent('../alerts/deployment-failed.kql') }
  { name: 'leftovers', severity: 1, minutes: 5, query: loadTextContent('../alerts/leftovers.kql') }
  { name: 'not-started', severity: 2, minutes: 5, query: loadTextContent('../alerts/not-started.kql') }
  { name: 'capacity', severity: 2, minutes: 60, query: loadTextContent('../alerts/capacity.kql') }
  { name: 'errors', severity: 2, minutes: 5, query: loadTextContent('../alerts/errors.kql') }
  { name: 'slow-deployments', severity: 3, minutes: 60, query: loadTextContent('../alerts/slow-deployments.kql') }
  { name: 'unmanaged-change', severity: 3, minutes: 5, query: loadTextContent('../alerts/unmanaged-change.kql') }
  { name: 'orphans', severity: 3, minutes: 60, query: loadTextContent('../alerts/orphans.kql') }
  { name: 'unhealthy', severity: 1, minutes: 5, query: loadTextContent('../alerts/unhealthy.kql') }
  { name: 'writer-stands-still', severity: 2, minutes: 5, query: loadTextContent('../alerts/writer-stands-still.kql') }
  { name: 'run-stands-still', severity: 2, minutes: 5, query: loadTextContent('../alerts/run-stands-still.kql') }
]

resource recipients 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: '${namePrefix}-recipients'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'spokes'
    enabled: true
    emailReceivers: [{ name: 'operators', emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in rules: {
    name: '${namePrefix}-${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'Hub-Spoke Automation: ${rule.name}'
      description: join(
        map(take(split(rule.query, '\n'), 2), line => trim(substring(line, indexOf(line, ':') + 1))),
        ' '
      )
      enabled: true
      severity: rule.severity
      scopes: [insightsId]
      evaluationFrequency: 'PT${rule.minutes}M'
      windowSize: 'PT${rule.minutes}M'
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      autoMitigate: true
      // A new workspace has no table yet.
      skipQueryValidation: true
      actions: { actionGroups: empty(email) ? [] : [recipients.id] }
    }
  }
]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, namePrefix, 'workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Hub-Spoke Automation'
    category: 'workbook'
    sourceId: insightsId
    serializedData: loadTextContent('../workbook.json')
  }
}

@description('The app\'s roles: each is a file of this name in infra/roles.')
@export()
var roleKeys = ['subscription', 'hub-vnet', 'gateway', 'spoke-group']

@description('Which of Azure\'s own roles stand in for the app\'s where no custom role may be made: each grants more than the app needs.')
@export()
var builtInRoles = {
  subscription: ['acdd72a7-3385-48ef-bd42-f606fba81ae7'] // Reader
  'hub-vnet': ['4d97b98b-1d4f-4787-a291-c67834d212e7'] // Network Contributor
  gateway: [
    '4d97b98b-1d4f-4787-a291-c67834d212e7' // Network Contributor
    'f1a07417-d97a-45cb-824c-7a7467783830' // Managed Identity Operator
  ]
  'spoke-group': [
    '4d97b98b-1d4f-4787-a291-c67834d212e7' // Network Contributor
    '9980e02c-c2be-4d73-94e8-173b1dc7cf3c' // Virtual Machine Contributor
  ]
}

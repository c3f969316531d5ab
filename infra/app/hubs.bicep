// Several hubs: the parameter `hubs`, which the app gets as its setting HUBS.

import {
  doubled
  isDomain
  isGroupName
  isGuid
  isHubName
  isPrefix
  isResourceName
  overlaps
  refused
} from 'checks.bicep'

@export()
@sealed()
@description('One hub. What each field means stands in docs/operations.md.')
type hub = {
  @minLength(1)
  name: string
  subscription_id: string?
  @minLength(1)
  resource_group: string
  @minLength(1)
  vnet: string
  location: string?
  spoke_subscription_id: string?
  spoke_resource_group: string?
  address_pool: string?
  prefix_length: int?
  first_spoke_id: int?
  @minLength(1)
  gateways: gateway[]
}

@sealed()
type gateway = {
  @minLength(1)
  name: string
  domain: string?
  domains: string[]?
  frontend_ip: string?
  frontend_port: int?
  ssl_certificate: string?
  limit: int?
  open: bool?
  dns_zone_id: string?
}

func formProblems(hubs hub[]) string[] =>
  flatten(map(hubs, (hub, at) => [
    refused('hubs[${at}].name', hub.name, isHubName(hub.name), 'at most 40 small letters, digits and hyphens')
    refused(
      'hubs[${at}].subscription_id',
      hub.?subscription_id,
      isGuid(hub.?subscription_id ?? ''),
      'the id of a subscription, a GUID'
    )
    refused(
      'hubs[${at}].resource_group',
      hub.resource_group,
      isGroupName(hub.resource_group),
      'the name of a resource group'
    )
    refused('hubs[${at}].vnet', hub.vnet, isResourceName(hub.vnet, 2, 64), 'the name of a VNet')
    refused(
      'hubs[${at}].spoke_subscription_id',
      hub.?spoke_subscription_id,
      isGuid(hub.?spoke_subscription_id ?? ''),
      'the id of a subscription, a GUID'
    )
    refused(
      'hubs[${at}].spoke_resource_group',
      hub.?spoke_resource_group,
      isGroupName(hub.?spoke_resource_group ?? ''),
      'the name of a resource group'
    )
    refused(
      'hubs[${at}].address_pool',
      hub.?address_pool,
      isPrefix(hub.?address_pool ?? ''),
      'an IPv4 prefix without host bits'
    )
    ...flatten(map(hub.gateways, (gateway, place) => [
      refused(
        'hubs[${at}].gateways[${place}].name',
        gateway.name,
        isResourceName(gateway.name, 1, 80),
        'the name of an Application Gateway'
      )
      refused(
        'hubs[${at}].gateways[${place}].domain',
        gateway.?domain,
        isDomain(gateway.?domain ?? ''),
        'a DNS name without wildcard'
      )
    ]))
  ]))

@description('Every domain of every gateway, each once a gateway.')
func domains(hubs hub[], spokeDomain string) string[] =>
  flatten(map(
    hubs,
    hub =>
      flatten(map(
        hub.gateways,
        gateway =>
          union([toLower(gateway.?domain ?? spokeDomain)], map(gateway.?domains ?? [], domain => toLower(domain)))
      ))
  ))

func overlapping(pools string[]) string[] =>
  filter(pools, (pool, at) => !empty(filter(take(pools, at), other => overlaps(pool, other))))

@description('What no two hubs or gateways may have in common. `own` is the subscription of the deployment.')
func sharedProblems(hubs hub[], spokeDomain string, addressPool string, own string) string[] =>
  map(
    filter(
      [
        {
          what: 'name'
          twice: doubled(map(hubs, hub => hub.name))
        }
        {
          what: 'VNet'
          twice: doubled(map(hubs, hub => '${hub.?subscription_id ?? own}/${hub.resource_group}/${hub.vnet}'))
        }
        {
          what: 'gateway'
          twice: doubled(flatten(map(
            hubs,
            hub => map(hub.gateways, gateway => '${hub.?subscription_id ?? own}/${hub.resource_group}/${gateway.name}')
          )))
        }
        {
          what: 'domain, which leads to one gateway alone'
          twice: filter(doubled(domains(hubs, spokeDomain)), domain => !empty(domain))
        }
        {
          what: 'part of their address pools'
          twice: overlapping(map(hubs, hub => hub.?address_pool ?? addressPool))
        }
      ],
      each => !empty(each.twice)
    ),
    each => 'hubs must not share a ${each.what}: ${join(each.twice, ', ')} is there twice'
  )

@export()
@description('A sentence for everything that is wrong with a list of hubs. `own` is the subscription of the deployment.')
func hubProblems(hubs hub[], spokeDomain string, addressPool string, own string) string[] =>
  empty(filter(formProblems(hubs), each => !empty(each)))
    ? sharedProblems(hubs, spokeDomain, addressPool, own)
    : formProblems(hubs)

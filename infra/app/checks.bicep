// The forms that the template asks of its parameters. Bicep has no regular expressions, so each is a function.

@export()
@description('What is said of a value that hasn\'t its form. Nothing of one that was left out.')
func refused(name string, value string?, good bool, form string) string =>
  empty(value) || good ? '' : '${name} must be ${form}: "${value}" isn\'t'

@description('Whether a text consists of these characters.')
func consistsOf(text string, characters string) bool =>
  !empty(text) && empty(filter(
    map(range(0, length(text)), at => substring(text, at, 1)),
    each => !contains(characters, each)
  ))

@description('Whether a text consists of Latin letters, digits and these.')
func isPlain(text string, more string) bool =>
  consistsOf(text, 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789${more}')

@export()
@description('What azd takes as the name of an environment, and Azure as a part of a group\'s name.')
func isEnvironmentName(text string) bool => isPlain(text, '-_.()') && !endsWith(text, '.')

@export()
@description('The name of a resource group. Letters may be of any alphabet.')
func isGroupName(text string) bool =>
  length(text) <= 90 && !endsWith(text, '.') && empty(filter(
    map(range(0, length(text)), at => substring(text, at, 1)),
    each => contains(' \t\r\n!"#$%&\'*+,/:;<=>?@[\\]^`{|}~', each)
  ))

@export()
@description('The name of a VNet or a gateway.')
func isResourceName(text string, least int, most int) bool =>
  length(text) >= least && length(text) <= most && isPlain(text, '-_.') && isPlain(first(text), '') && isPlain(
    last(text),
    '_'
  )

@export()
@description('What a hub is called in requests and answers.')
func isHubName(text string) bool => length(text) <= 40 && isLabel(text) && text == toLower(text)

@export()
@description('The name of a task hub of Durable Functions.')
func isTaskHub(text string) bool =>
  length(text) >= 3 && length(text) <= 45 && isPlain(text, '') && !contains('0123456789', first(text))

@export()
func isGuid(text string) bool =>
  join(map(split(text, '-'), part => string(length(part))), ' ') == '8 4 4 4 12' && consistsOf(
    text,
    '0123456789abcdefABCDEF-'
  )

func isLabel(text string) bool =>
  length(text) <= 63 && isPlain(text, '-') && !startsWith(text, '-') && !endsWith(text, '-')

@export()
@description('A DNS name without wildcard.')
func isDomain(text string) bool => length(text) <= 253 && empty(filter(split(text, '.'), label => !isLabel(label)))

@export()
@description('One e-mail address.')
func isEmail(text string) bool =>
  length(split(text, '@')) == 2 && isPlain(split(text, '@')[0], '!#$%&\'*+/=?^_`{|}~.-') && isDomain(last(split(
    text,
    '@'
  ))) && contains(last(split(text, '@')), '.')

func isPrefixWithHostBits(text string) bool =>
  length(split(text, '/')) == 2 && length(split(split(text, '/')[0], '.')) == 4 && empty(filter(
    split(split(text, '/')[0], '.'),
    octet => !contains(map(range(0, 256), number => string(number)), octet)
  )) && contains(map(range(0, 33), number => string(number)), last(split(text, '/')))

@export()
@description('An IPv4 prefix without host bits.')
func isPrefix(text string) bool => isPrefixWithHostBits(text) ? parseCidr(text).network == split(text, '/')[0] : false

func addressNumber(address string) int => reduce(split(address, '.'), 0, (number, octet) => number * 256 + int(octet))

@export()
@description('Whether two IPv4 prefixes have an address in common.')
func overlaps(one string, other string) bool =>
  addressNumber(parseCidr(one).network) <= addressNumber(parseCidr(other).broadcast!) && addressNumber(parseCidr(other).network) <= addressNumber(parseCidr(one).broadcast!)

@export()
@description('The id of a resource, of one of these types. Both are in small letters.')
func isIdOf(id string, types string[]) bool =>
  length(split(id, '/')) == 9 && startsWith(id, '/subscriptions/') && isGuid(split(id, '/')[2]) && contains(
    id,
    '/resourcegroups/'
  ) && contains(types, join(take(skip(split(id, '/'), 6), 2), '/')) && !empty(last(split(id, '/')))

@export()
@description('What stands in a list more than once, small and capital letters alike.')
func doubled(texts string[]) string[] =>
  filter(texts, (text, at) => indexOf(map(texts, each => toLower(each)), toLower(text)) != at)

@export()
@description('A list without what is doubled in it.')
func distinct(texts string[]) string[] =>
  filter(texts, (text, at) => indexOf(map(texts, each => toLower(each)), toLower(text)) == at)

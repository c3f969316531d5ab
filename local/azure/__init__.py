"""An Azure Resource Manager stand-in for development and tests.

It answers as ARM does wherever this project, or a person with the ordinary Azure tools, could notice; a rule of ARM
stands beside what it rules, in `resources/`, with where it comes from. Start it with `python -m local.azure`; what it
offers beside ARM is in `local.azure.local_api`, what can be made to go wrong in `local.azure.faults`.

Where a rule comes from is said beside it: [R] a recorded answer of Azure's (public test recordings of azure-cli and the
SDKs), [I] a raw error quoted in a public issue, [D] Microsoft's documentation, [S] the SDKs' source, [inf] inferred,
[U] unverified; of two possible behaviours the one that is harder on the caller is chosen.

| module | holds |
|---|---|
| `app`, `server`, `routes` | a request's way, the port, which address means what |
| `resources/` | one module per type: what its PUT validates, what it becomes, what blocks its delete |
| `operations`, `clock` | the forms of long operations, and when they end |
| `store`, `journal`, `state` | what is kept, in SQLite |
| `faults`, `throttle`, `identity`, `versions` | what can go wrong, allowances, tokens, api-versions |
| `actions`, `rights` | which rights a request needs, and who has them |
| `catalogue`, `evaluation`, `hub` | sizes, images, quotas; which rule a request reaches; what it starts with |
"""

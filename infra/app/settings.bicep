// The app's settings that a deployment may set. What the template decides itself (the hub, storage, the identity) isn't
// among them, nor is a connection string with a key. Any other name is refused before anything is deployed.

@export()
@sealed()
@description('Settings beside those that the template makes: what each means, and its default, stands in docs/operations.md.')
type optionalSettings = {
  TASK_HUB: string?
  TASK_HUBS_RETIRED: string?
  HUB_LOCATION: string?
  ARM_ENDPOINT: string?
  ARM_TIMEOUT_SECONDS: string?
  ARM_LOOK_SECONDS: string?
  ARM_THREADS: string?
  TABLES_THREADS: string?
  HEALTH_FRESH_SECONDS: string?
  SPOKE_ADDRESS_POOL: string?
  SPOKE_PREFIX_LENGTH: string?
  STRICT_ADDRESSES: string?
  SPOKE_DOMAINS: string?
  SPOKE_OUTBOUND: string?
  SPOKE_ALLOWED_DESTINATIONS: string?
  SPOKE_DENIED_DESTINATIONS: string?
  MANAGEMENT_SOURCE_PREFIXES: string?
  PEERING_ALLOW_FORWARDED_TRAFFIC: string?
  VM_IMAGE: string?
  AGW_FRONTEND_IP: string?
  AGW_FRONTEND_PORT: string?
  AGW_SSL_CERTIFICATE: string?
  AGW_LIMIT: string?
  AGW_OVERRIDE_WILDCARDS: string?
  RESERVED_CLIENTS: string?
  AGW_GATHER_SECONDS: string?
  PROBE_PATH: string?
  HUB_BATCH: string?
  POLL_MAX_SECONDS: string?
  POLL_DEFAULT_SECONDS: string?
  WRITER_POLL_SECONDS: string?
  RETRY_FIRST_SECONDS: string?
  RETRY_MAX_SECONDS: string?
  STEP_DEADLINE_SECONDS: string?
  VM_DEADLINE_SECONDS: string?
  SHARED_DEADLINE_SECONDS: string?
  DURABLE_URLS: string?
  SWEEP_DELETE_ORPHANS: string?
  ACCEPT_EMPTY_RECORDS: string?
  KEEP_RUNS_DAYS: string?
  LOG_LEVEL: string?
}

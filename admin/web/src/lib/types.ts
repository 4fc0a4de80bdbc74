// What the REST API speaks of, as admin/src has it. Times are RFC 3339 in UTC.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type Body = { [key: string]: Json }
export type Role = 'viewer' | 'operator' | 'admin'
export type Kind = 'listener' | 'service' | 'tenant' | 'certificate'

export interface Problem {
  kind?: Kind
  name?: string
  key: string
  value?: Json
  message: string
}
export interface Conflict {
  kind: Kind
  name: string
  yours: Json
  theirs: Json
  version: number | null
  changed_by: string
  changed_at: string
}
export interface Session {
  admin: { id: number; name: string; role: Role }
  csrf_token: string
  expires_at: string
}
export interface OwnSession {
  id: string
  address: string
  user_agent: string
  created_at: string
  seen_at: string
  current: boolean
}
export interface Admin {
  id: number
  name: string
  role: Role
  enabled: boolean
  created_at: string
  last_login_at: string | null
  locked_until: string | null
  version: number
}
export interface Token {
  id: number
  name: string
  role: Role | 'engine'
  created_by: string
  created_at: string
  last_used_at: string | null
  expires_at: string | null
}
export interface Status {
  environment: string
  version: string
  revision: number
  revision_at: string | null
  pending: { revision: number; confirm_by: string; author: string } | null
  draft_changes: number
  timezone: string
  database: 'mysql' | 'sqlite'
  redis: boolean
  problems: string[]
}
export interface Page<T> {
  items: T[]
  total: number
  page: number
  per_page: number
}
export interface ServiceSummary {
  name: string
  version: number
  description: string
  enabled: boolean
  kind: 'http' | 'tcp'
  hosts: string[]
  path_prefixes: string[]
  nodes: number
  nodes_down: number | null
  requests_per_second: number | null
  changed_at: string
  changed_by: string
}
export interface TenantSummary {
  app_id: string
  version: number
  name: string
  enabled: boolean
  requests_per_second: number
  requests_per_day: number
  qps_now: number | null
  today: number | null
}
export interface ListenerSummary {
  name: string
  version: number
  address: string
  protocol: 'http' | 'https' | 'tcp'
  enabled: boolean
  service: string | null
  certificates: string[]
}
export interface CertificateSummary {
  name: string
  version: number
  names: string[]
  issuer: string
  not_before: string
  not_after: string
  days_left: number
  used_by: string[]
}
export interface Item {
  kind: Kind
  name: string
  version: number
  body: Body
}
export interface NodeHealth {
  instance: string
  state: 'up' | 'down' | 'unknown'
  why?: string | null
}
export interface Detail {
  item: Item
  changed_at: string
  changed_by: string
  nodes?: { address: string; enabled: boolean; weight: number; health: NodeHealth[] }[]
}
export interface Saved {
  item?: Item
  revision?: Revision
  draft?: Draft
  secret?: string
}
export type RevisionState = 'in_force' | 'superseded' | 'pending' | 'reverted'
export interface Revision {
  id: number
  at: string
  author: string
  message: string
  cause: 'change' | 'rollback' | 'import' | 'revert'
  restores: number | null
  changes: number
  confirm_by: string | null
  state?: RevisionState
}
export interface PathChange {
  path: string
  before: Json | undefined
  after: Json | undefined
}
export interface ItemDiff {
  kind: Kind
  name: string
  action: 'create' | 'update' | 'delete'
  before: Json
  after: Json
  paths: PathChange[]
  /** Keys that differ and are not listed. */
  more_paths: number
}
export interface RevisionDiff {
  from: number
  to: number
  changes: ItemDiff[]
  /** Items that differ and are not listed. */
  more: number
}
export interface Change {
  kind: Kind
  name: string
  body: Body | null
  based_on: number | null
}
export interface Draft {
  changes: (Change & { action: 'create' | 'update' | 'delete' })[]
  base_revision: number
  updated_at: string | null
  problems: Problem[]
  conflicts: Conflict[]
}
export interface Day {
  date: string
  requests: number
  hours: (number | null)[]
}
export interface Flow {
  scope: 'site' | 'service' | 'tenant'
  name: string
  source: 'redis' | 'engines'
  timezone: string
  requests_per_second: number | null
  today: Day
  yesterday: Day
  at: string
}
export interface Percentiles {
  p50: number
  p90: number
  p99: number
  p999: number
}
export interface Latency {
  total: Percentiles
  upstream?: Percentiles
  own: Percentiles
}
export interface InstanceCounts {
  up: number
  lagging: number
  refused: number
  gone: number
}
export interface Overview {
  services: number
  services_enabled: number
  tenants: number
  listeners: number
  instances: InstanceCounts
  nodes: { up: number; down: number; unknown: number }
  down: { service: string; address: string; instance: string; why?: string | null }[]
  qps: number | null
  flow: Flow
  latency_us: Latency | null
  error_rate: number | null
  answers: Record<string, number>
  refused: Record<string, number>
  by_service: { name: string; requests_per_second: number; today: number }[]
  by_tenant: { name: string; requests_per_second: number; today: number }[]
}
export interface Figures {
  at: string
  qps: number | null
  error_rate: number | null
  latency_us: Latency | null
  services: { name: string; qps: number }[]
  tenants: { name: string; qps: number }[]
  nodes_down: number
  instances: InstanceCounts
  revision: number
  /** Requests of the day and of the hour so far. */
  today: number
  hour: { hour: number; requests: number }
}
export interface Instance {
  instance: string
  hostname: string
  version: string
  schema: number
  started_at: string
  last_seen_at: string
  state: 'up' | 'lagging' | 'refused' | 'gone'
  revision_applied: number | null
  revision_head: number
  refused: { revision: number; problems: Problem[] } | null
  ready?: boolean
  not_ready?: string | null
  shards: number
  requests_per_second: number | null
  connections: number
  nodes: { up: number; down: number; unknown?: number }
}
export interface AuditEntry {
  id: number
  at: string
  actor: string
  address: string | null
  action: string
  object: string
  detail: Json
}
export interface RouteText {
  hosts: string[]
  path_prefix: string
  methods: string[]
}
export interface Outcome {
  outcome: 'forwarded' | 'refused' | 'answered'
  code?: string | null
  status: number | null
  service: string | null
  route: RouteText | null
  path_upstream: string | null
  tenant: string | null
  limits: Json
  why: string
}
export interface SampleRequest {
  method: string
  url: string
  client?: string
  headers?: [string, string][]
}
export interface Comparison {
  compared: number
  skipped: number
  differing: number
  results: { request: SampleRequest; count: number; before: Outcome; after: Outcome }[]
  truncated: boolean
}
export interface Explanation extends Outcome {
  steps: { stage: string; verdict: 'passed' | 'refused' | 'tried'; why: string }[]
  balancing: string | null
  nodes: { address: string; weight: number; live: boolean; share: number }[]
}
export interface ImportReport {
  changes: { kind: Kind; name: string; action?: string }[]
  warnings: { where: string; message: string }[]
  revision: Revision | number | null
}
export interface SchemaKey {
  name: string
  about: string
  type: string
  default?: Json
  required?: boolean
  choices?: { value: string; about: string }[]
  keys?: SchemaKey[]
}
export type Schema = Record<string, { about: string; keys: SchemaKey[] }>

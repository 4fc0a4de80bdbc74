// How the forms are cut into sections: by hand, in the order in which one thinks. A key of the schema that stands in no
// section appears in the last one, so that nothing the file can say is out of reach here.

import type { Body, Json, SchemaKey } from '../lib/types'
import { get } from './schema'

export interface Section {
  id: string
  /** Dotted paths of the item's schema. A table stands for all its keys. */
  fields: string[]
  /** Closed at first when nothing in it is set. */
  quiet?: boolean
  when?: (body: Body) => boolean
}

export type FormKind = 'service' | 'listener' | 'tenant'

const hasRoutes = (body: Body) => Array.isArray(body.routes) && body.routes.length > 0

export const SECTIONS: Record<FormKind, Section[]> = {
  service: [
    { id: 'basics', fields: ['name', 'description', 'enabled'] },
    { id: 'routes', fields: ['routes'] },
    { id: 'nodes', fields: ['nodes', 'load_balancer.policy', 'tls', 'http2', 'send_proxy_protocol', 'upstream_tls'] },
    { id: 'health_check', fields: ['health_check'] },
    {
      id: 'limits',
      fields: [
        'limits.requests_per_second',
        'limits.burst',
        'limits.mode',
        'limits.scope',
        'limits.per_client_ip',
        'limits.max_connections',
        'limits.max_connections_per_client_ip',
      ],
    },
    { id: 'access', fields: ['access'] },
    { id: 'headers', fields: ['headers.request', 'headers.response'] },
    { id: 'timeouts', fields: ['timeouts', 'request', 'pool'], quiet: true },
  ],
  listener: [
    { id: 'listener', fields: ['name', 'enabled', 'address', 'protocol', 'https_redirect', 'https_redirect_port'] },
    { id: 'target', fields: ['service', 'sni_routes'], when: (body) => body.protocol === 'tcp' },
    {
      id: 'certificates',
      fields: ['certificates', 'tls'],
      when: (body) => body.protocol === 'https' || body.protocol === 'tcp',
    },
    { id: 'http2', fields: ['http2'], quiet: true, when: (body) => body.protocol !== 'tcp' },
    {
      id: 'connections',
      fields: ['proxy_protocol', 'header_timeout', 'idle_timeout', 'max_header_bytes', 'max_header_fields'],
      quiet: true,
    },
  ],
  tenant: [
    { id: 'tenant', fields: ['app_id', 'name', 'enabled'] },
    { id: 'quota', fields: ['requests_per_second', 'requests_per_day', 'limits_mode'] },
    { id: 'access', fields: ['allow'] },
  ],
}

/** Keys that a form never shows: secrets are made and rotated, not typed into a configuration. */
export const HIDDEN: Record<FormKind, string[]> = {
  service: [],
  listener: [],
  tenant: ['secret', 'secret_sha256'],
}

const isSet = (value: Json | undefined) => value !== undefined && value !== null

type When = (body: Body, value: Json | undefined) => boolean

/** Fields that make sense only beside another; one that is set is always shown, so that it can be taken out. */
const WHEN: Record<FormKind, Record<string, When>> = {
  service: {
    upstream_tls: (body) => body.tls === true,
    send_proxy_protocol: (body) => !hasRoutes(body),
    http2: hasRoutes,
    'health_check.path': (body) => get(body, ['health_check', 'kind']) === 'http',
    'health_check.expect_status': (body) => get(body, ['health_check', 'kind']) === 'http',
    'health_check.host': (body) => ['http', 'grpc'].includes(String(get(body, ['health_check', 'kind']))),
    'health_check.grpc_service': (body) => get(body, ['health_check', 'kind']) === 'grpc',
    'limits.max_connections_per_client_ip': (body) => !hasRoutes(body),
    'access.require_tenant': hasRoutes,
  },
  listener: {
    https_redirect: (body) => (body.protocol ?? 'http') === 'http',
    https_redirect_port: (body) => (body.protocol ?? 'http') === 'http' && body.https_redirect === true,
    'tls.client_ca': (body) => isSet(get(body, ['tls', 'client_certificates'])),
    'tls.client_subject_header': (body) => isSet(get(body, ['tls', 'client_certificates'])),
    'tls.hsts_max_age': (body) => body.protocol === 'https',
    'tls.hsts_include_subdomains': (body) => isSet(get(body, ['tls', 'hsts_max_age'])),
  },
  tenant: {},
}

export function visible(kind: FormKind, dotted: string, body: Body, value: Json | undefined): boolean {
  const when = WHEN[kind][dotted]
  return !when || isSet(value) || when(body, value)
}

/** Sections to show, with what the schema has beyond them in a last one. */
export function sections(kind: FormKind, keys: SchemaKey[], body: Body): Section[] {
  const known = SECTIONS[kind]
  const rest = unplaced(kind, keys)
  const shown = known.filter((section) => !section.when || section.when(body) || anySet(section, body))
  return rest.length > 0 ? [...shown, { id: 'other', fields: rest, quiet: true }] : shown
}

export function anySet(section: Section, body: Body): boolean {
  return section.fields.some((field) => isSet(get(body, field.split('.'))))
}

/** Keys of the schema that no section names, neither themselves nor their table. */
export function unplaced(kind: FormKind, keys: SchemaKey[]): string[] {
  const named = [...SECTIONS[kind].flatMap((section) => section.fields), ...HIDDEN[kind]]
  const walk = (key: SchemaKey, path: string): string[] => {
    if (named.includes(path)) return []
    if (!named.some((field) => field.startsWith(`${path}.`))) return [path]
    return (key.keys ?? []).flatMap((inner) => walk(inner, `${path}.${inner.name}`))
  }
  return keys.flatMap((key) => walk(key, key.name))
}

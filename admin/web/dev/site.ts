// What the made-up admin has: items, revisions, a draft; and what becomes of them.

import type { Body, Change, Detail, Item, Kind, Revision } from '../src/lib/types'
import { words } from './traffic.ts'

export const now = () => new Date().toISOString()
export const past = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString()

export interface Kept extends Item {
  changed_at: string
  changed_by: string
}

export const items = new Map<string, Kept>()
/** What changes by what is done to it. */
export const site = {
  head: 41,
  draft: [] as Change[],
  pending: null as { revision: number; confirm_by: string; author: string } | null,
}
export const revisions: Revision[] = []

function keep(kind: Kind, name: string, body: Body, minutes: number) {
  items.set(`${kind}/${name}`, { kind, name, version: 40, body, changed_at: past(minutes), changed_by: 'alice' })
}

for (let i = 0; i < Number(process.env.MOCK_SERVICES ?? 64); i++) {
  const name = i < words.length ? words[i]! : `${words[i % words.length]}-${i}`
  keep(
    'service',
    name,
    {
      name,
      description: i === 0 ? 'Orders and their states' : '',
      ...(i % 11 === 10 ? { enabled: false } : {}),
      routes: [{ hosts: [`${name}.example.com`], ...(i % 3 ? { path_prefix: `/${name}` } : {}) }],
      nodes: [
        { address: `10.0.${i % 250}.1:8080` },
        { address: `10.0.${i % 250}.2:8080`, weight: 2 },
        { address: `10.0.${i % 250}.3:8080` },
      ],
      ...(i % 2
        ? {}
        : { health_check: { kind: 'http', path: '/healthz' }, limits: { requests_per_second: 500, burst: 1000 } }),
    },
    i * 37 + 3,
  )
}
keep('listener', 'public', { name: 'public', address: '0.0.0.0:8080' }, 900)
keep(
  'listener',
  'public-tls',
  { name: 'public-tls', address: '0.0.0.0:8443', protocol: 'https', certificates: [{ certificate: 'example.com' }] },
  900,
)
keep(
  'listener',
  'database',
  { name: 'database', address: '10.0.0.1:5432', protocol: 'tcp', service: 'stock', enabled: false },
  9000,
)
keep('certificate', 'example.com', { name: 'example.com', chain: '…' }, 5000)
keep('certificate', 'old.example.com', { name: 'old.example.com', chain: '…' }, 50000)
for (const [id, name] of [
  ['mobile', 'Mobile application'],
  ['partner-blue', 'Blue Logistics'],
  ['reporting', 'Nightly reports'],
] as const) {
  keep(
    'tenant',
    id,
    { app_id: id, name, secret_sha256: '***', requests_per_second: 200, requests_per_day: 2_000_000 },
    4000,
  )
}
for (let id = 1; id <= site.head; id++) {
  revisions.unshift({
    id,
    at: past((site.head - id) * 55 + 4),
    author: id % 3 ? 'admin:alice' : 'admin:bob',
    message: ['Node 3 back in', 'Higher limit for the sale', '', 'New service'][id % 4]!,
    cause: id === 30 ? 'rollback' : id === 12 ? 'import' : 'change',
    restores: id === 30 ? 27 : null,
    changes: (id % 4) + 1,
    confirm_by: null,
  })
}

export const summaries: Record<Kind, (item: Kept, i: number) => unknown> = {
  service: ({ name, version, body, changed_at, changed_by }, i) => ({
    name,
    version,
    changed_at,
    changed_by,
    description: body.description ?? '',
    enabled: body.enabled !== false,
    kind: body.routes ? 'http' : 'tcp',
    hosts: ((body.routes ?? []) as Body[]).flatMap((r) => (r.hosts as string[]) ?? []),
    path_prefixes: ((body.routes ?? []) as Body[]).map((r) => r.path_prefix ?? '/'),
    nodes: ((body.nodes ?? []) as Body[]).length,
    nodes_down: name === 'catalog' ? 1 : i % 7 === 6 ? null : 0,
    requests_per_second: Math.max(0, 320 / (i + 1)),
  }),
  tenant: ({ name, version, body }, i) => ({
    app_id: name,
    version,
    name: body.name ?? '',
    enabled: body.enabled !== false,
    requests_per_second: body.requests_per_second ?? 0,
    requests_per_day: body.requests_per_day ?? 0,
    qps_now: 42 / (i + 1),
    today: Math.round(310_000 / (i + 1)),
  }),
  listener: ({ name, version, body }) => ({
    name,
    version,
    address: body.address,
    protocol: body.protocol ?? 'http',
    enabled: body.enabled !== false,
    service: body.service ?? null,
    certificates: ((body.certificates ?? []) as Body[]).map((c) => c.certificate),
  }),
  certificate: ({ name, version }, i) => ({
    name,
    version,
    names: [name, `*.${name}`],
    issuer: "Let's Encrypt R11",
    not_before: past(60 * 24 * 50),
    not_after: past(-60 * 24 * (i ? 9 : 61)),
    days_left: i ? 9 : 61,
    used_by: i ? [] : ['public-tls'],
  }),
}

export function publish(
  author: string,
  message: string,
  changes: Change[],
  confirm?: number,
  cause: Revision['cause'] = 'change',
): Revision {
  site.head++
  for (const { kind, name, body } of changes) {
    items.delete(`${kind}/${name}`)
    const key = kind === 'tenant' ? 'app_id' : 'name'
    const to = String(body?.[key] ?? name)
    if (body)
      items.set(`${kind}/${to}`, { kind, name: to, version: site.head, body, changed_at: now(), changed_by: author })
  }
  const confirm_by = confirm ? new Date(Date.now() + confirm * 1000).toISOString() : null
  site.pending = confirm_by ? { revision: site.head, confirm_by, author } : null
  const made: Revision = {
    id: site.head,
    at: now(),
    author,
    message,
    cause,
    restores: null,
    changes: changes.length,
    confirm_by,
  }
  revisions.unshift(made)
  return made
}

export function problems(changes: Change[]) {
  return changes.flatMap(({ kind, name, body }) => {
    const found: { key: string; message: string }[] = []
    if (!body) return []
    if (kind !== 'tenant' && !/^[\w.-]{1,64}$/.test(String(body.name ?? ''))) {
      found.push({
        key: 'name',
        message: 'is missing or has other characters; right would be 1 to 64 of A-Z a-z 0-9 _ . -',
      })
    }
    ;((body.nodes ?? []) as Body[]).forEach((node, i) => {
      if (!/^.+:\d+$/.test(String(node.address ?? ''))) {
        found.push({ key: `nodes[${i}].address`, message: 'right would be IP:PORT or NAME:PORT' })
      }
      if (node.weight !== undefined && !(Number(node.weight) >= 1)) {
        found.push({ key: `nodes[${i}].weight`, message: `${node.weight} is out of bounds; right would be 1 to 65535` })
      }
    })
    return found.map((problem) => ({ kind, name, value: null, ...problem }))
  })
}

export const actionOf = (change: Change) =>
  change.body === null ? 'delete' : change.based_on === null ? 'create' : 'update'

export function detail(item: Kept): Detail {
  const { changed_at, changed_by, ...rest } = item
  const nodes = ((item.body.nodes ?? []) as Body[]).map((node, i) => ({
    address: String(node.address),
    enabled: node.enabled !== false,
    weight: Number(node.weight ?? 1),
    health: ['gw-1', 'gw-2'].map((instance) =>
      item.name === 'catalog' && i === 2
        ? { instance, state: 'down' as const, why: 'connect: Connection refused (os error 111)' }
        : { instance, state: 'up' as const },
    ),
  }))
  return { item: rest, changed_at, changed_by, ...(item.kind === 'service' ? { nodes } : {}) }
}

// A stand-in for coregate-admin while pages are drawn (`npm run dev`): the contract's shapes with made-up traffic. Never part
// of the bundle; what the dashboard really does is tested against the real processes (tests/tests/dashboard*.rs).

import type { IncomingMessage, ServerResponse } from 'node:http'
import { diff } from '../src/lib/diff.ts'
import type { Body, Change, Detail, Flow, Item, Kind, Revision } from '../src/lib/types'
import { referenceSchema } from './reference.ts'
import { flow, live, overview, qps, words } from './traffic.ts'

type Handler = (request: IncomingMessage, response: ServerResponse, next: () => void) => void

const LISTS: Record<string, Kind> = {
  services: 'service',
  listeners: 'listener',
  tenants: 'tenant',
  certificates: 'certificate',
}
const now = () => new Date().toISOString()
const past = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString()

interface Kept extends Item {
  changed_at: string
  changed_by: string
}

const items = new Map<string, Kept>()
let head = 41
const revisions: Revision[] = []
let draft: Change[] = []
let pending: { revision: number; confirm_by: string; author: string } | null = null
let loggedIn = process.env.MOCK_LOGGED_OUT === undefined

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
for (let id = 1; id <= head; id++) {
  revisions.unshift({
    id,
    at: past((head - id) * 55 + 4),
    author: id % 3 ? 'admin:alice' : 'admin:bob',
    message: ['Node 3 back in', 'Higher limit for the sale', '', 'New service'][id % 4]!,
    cause: id === 30 ? 'rollback' : id === 12 ? 'import' : 'change',
    restores: id === 30 ? 27 : null,
    changes: (id % 4) + 1,
    confirm_by: null,
  })
}

const summaries: Record<Kind, (item: Kept, i: number) => unknown> = {
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

function publish(
  author: string,
  message: string,
  changes: Change[],
  confirm?: number,
  cause: Revision['cause'] = 'change',
): Revision {
  head++
  for (const { kind, name, body } of changes) {
    items.delete(`${kind}/${name}`)
    const key = kind === 'tenant' ? 'app_id' : 'name'
    const to = String(body?.[key] ?? name)
    if (body) items.set(`${kind}/${to}`, { kind, name: to, version: head, body, changed_at: now(), changed_by: author })
  }
  const confirm_by = confirm ? new Date(Date.now() + confirm * 1000).toISOString() : null
  pending = confirm_by ? { revision: head, confirm_by, author } : null
  const made: Revision = {
    id: head,
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

function problems(changes: Change[]) {
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

const actionOf = (change: Change) => (change.body === null ? 'delete' : change.based_on === null ? 'create' : 'update')

async function read(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = ''
  for await (const chunk of request) text += chunk
  return text ? JSON.parse(text) : {}
}

export function mock(): Handler {
  const schema = referenceSchema()
  return (request, response, next) => {
    const url = new URL(request.url ?? '/', 'http://mock')
    if (!url.pathname.startsWith('/api/v1/')) {
      next()
      return
    }
    const answer = (status: number, body?: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(body === undefined ? '' : JSON.stringify(body))
    }
    handle(url, request, response, answer, schema).catch((error) =>
      answer(500, { error: { code: 'mock', message: String(error) } }),
    )
  }
}

type Answer = (status: number, body?: unknown) => void

async function handle(url: URL, request: IncomingMessage, response: ServerResponse, answer: Answer, schema: unknown) {
  const path = url.pathname.slice('/api/v1/'.length).split('/').map(decodeURIComponent)
  const query = url.searchParams
  const method = request.method ?? 'GET'
  const body = method === 'GET' ? {} : await read(request)
  const session = {
    admin: { id: 1, name: 'alice', role: process.env.MOCK_ROLE ?? 'admin' },
    csrf_token: 'x',
    expires_at: past(-600),
  }
  const route = `${method} ${path[0]}`
  if (route === 'POST login' || route === 'POST setup') {
    if (body.password === 'wrong') return answer(401, { error: { code: 'unauthenticated', message: 'no' } })
    loggedIn = true
    return answer(200, session)
  }
  if (!loggedIn) return answer(401, { error: { code: 'unauthenticated', message: 'Log in.' } })
  const paged = <T>(list: T[]) => {
    const page = Number(query.get('page') ?? 1)
    const per_page = Number(query.get('per_page') ?? 25)
    return {
      items: list.slice((page - 1) * per_page, page * per_page),
      total: list.length,
      page,
      per_page,
      revision: head,
    }
  }
  switch (route) {
    case 'GET session':
      return answer(200, session)
    case 'POST logout':
      loggedIn = false
      return answer(204)
    case 'GET status':
      return answer(200, {
        environment: 'production',
        version: '0.5.0',
        revision: head,
        revision_at: past(4),
        pending,
        draft_changes: draft.length,
        timezone: 'UTC',
        database: 'sqlite',
        redis: false,
        problems: [],
      })
    case 'GET schema':
      return answer(200, schema)
    case 'GET overview':
      return answer(200, overview())
    case 'GET flow':
      return answer(200, flow((query.get('scope') ?? 'site') as Flow['scope'], query.get('name') ?? ''))
    case 'GET live':
      return live(response, () => head)
    case 'POST check':
      return answer(200, { problems: problems(body.changes as Change[]) })
    case 'GET sessions':
      return answer(200, [
        {
          id: 'a',
          address: '127.0.0.1',
          user_agent: request.headers['user-agent'],
          created_at: past(60),
          seen_at: now(),
          current: true,
        },
      ])
    case 'GET admins':
      return answer(200, [
        {
          id: 1,
          name: 'alice',
          role: 'admin',
          enabled: true,
          created_at: past(90000),
          last_login_at: past(3),
          locked_until: null,
          version: 1,
        },
        {
          id: 2,
          name: 'bob',
          role: 'operator',
          enabled: true,
          created_at: past(90000),
          last_login_at: past(3000),
          locked_until: null,
          version: 1,
        },
      ])
    case 'POST admins':
      return answer(201, { ...body, id: 3, version: 1, link: '/#/set-password?token=abc' })
    case 'GET tokens':
      return answer(200, [
        {
          id: 1,
          name: 'gw-1',
          role: 'engine',
          created_by: 'admin:alice',
          created_at: past(9000),
          last_used_at: past(0),
          expires_at: null,
        },
      ])
    case 'POST tokens':
      return answer(201, { ...body, token: 'cga_3f9c1b7e5d2a4860' })
    case 'GET audit':
      return answer(
        200,
        paged(
          revisions.slice(0, 30).map((r) => ({
            id: r.id,
            at: r.at,
            actor: r.author,
            address: '127.0.0.1',
            action: 'publish',
            object: `revision ${r.id}`,
            detail: { message: r.message },
          })),
        ),
      )
    case 'GET instances':
      return answer(
        200,
        ['gw-1', 'gw-2', 'gw-3', 'gw-4'].map((instance, i) => ({
          instance,
          hostname: `${instance}.fra`,
          version: '0.5.0',
          schema: 1,
          started_at: past(9000),
          last_seen_at: now(),
          state: i === 3 ? 'lagging' : 'up',
          revision_applied: i === 3 ? head - 1 : head,
          revision_head: head,
          refused: null,
          shards: 8,
          requests_per_second: qps() / 4,
          connections: 812 + i,
          nodes: { up: 189, down: i ? 0 : 1 },
        })),
      )
    case 'POST explain':
      return answer(200, {
        outcome: 'forwarded',
        code: null,
        status: null,
        service: 'orders',
        route: { hosts: ['orders.example.com'], path_prefix: '/', methods: [] },
        path_upstream: '/7',
        tenant: null,
        limits: {},
        why: 'it goes to one of 3 nodes of orders',
        steps: [
          { stage: 'route', verdict: 'tried', why: '*.example.com: the exact name is longer' },
          { stage: 'route', verdict: 'passed', why: 'orders.example.com and / fit' },
          { stage: 'access', verdict: 'passed', why: 'no list' },
          { stage: 'service limit', verdict: 'passed', why: '500 a second, burst 1,000' },
        ],
        balancing: 'weighted round robin',
        nodes: [{ address: '10.0.0.1:8080', weight: 1, live: true, share: 0.25 }],
      })
    case 'POST compare':
      return answer(200, { compared: 12, skipped: 0, differing: 0, results: [] })
    case 'GET export':
      return answer(200, 'toml')
    case 'POST import':
      return answer(200, {
        changes: [{ kind: 'service', name: 'orders' }],
        warnings: [],
        revision: body.dry_run ? null : ++head,
      })
    case 'GET draft':
      return answer(200, {
        changes: draft.map((change) => ({ ...change, action: actionOf(change) })),
        base_revision: head,
        updated_at: draft.length ? past(2) : null,
        problems: problems(draft),
        conflicts: [],
      })
    case 'PUT draft':
      draft = body.changes as Change[]
      return answer(200, {})
    case 'DELETE draft':
      draft = []
      return answer(204)
    case 'POST draft': {
      const made = publish('alice', String(body.message ?? ''), draft, body.confirm_within_seconds as number)
      draft = []
      return answer(200, made)
    }
  }
  if (path[0] === 'revisions') return revisionRoutes(path, method, body, query, answer, paged)
  const kind = LISTS[path[0] ?? '']
  if (kind) return itemRoutes(kind, path, method, body, query, answer, paged)
  answer(404, { error: { code: 'not_found', message: `The mock does not know ${url.pathname}.` } })
}

function revisionRoutes(
  path: string[],
  method: string,
  body: Record<string, unknown>,
  query: URLSearchParams,
  answer: Answer,
  paged: <T>(list: T[]) => unknown,
) {
  const state = (r: Revision) => ({
    ...r,
    state: r.id === pending?.revision ? 'pending' : r.id === head ? 'in_force' : 'superseded',
  })
  const id = Number(path[1])
  if (path.length === 1) return answer(200, paged(revisions.map(state)))
  const found = revisions.find((r) => r.id === id)
  if (!found) return answer(404, { error: { code: 'not_found', message: 'There is no such revision.' } })
  if (path[2] === 'diff') {
    const before = { name: 'orders', limits: { requests_per_second: 400 }, nodes: [{ address: '10.0.0.1:8080' }] }
    const after = {
      name: 'orders',
      limits: { requests_per_second: 500, burst: 1000 },
      nodes: [{ address: '10.0.0.1:8080' }, { address: '10.0.0.3:8080' }],
    }
    return answer(200, {
      from: Number(query.get('against') ?? id - 1),
      to: id,
      changes: [
        { kind: 'service', name: 'orders', action: 'update', before, after, paths: diff(before, after), more_paths: 0 },
        {
          kind: 'tenant',
          name: 'mobile',
          action: 'create',
          before: null,
          after: { app_id: 'mobile' },
          paths: diff({}, { app_id: 'mobile', name: 'Mobile application' }),
          more_paths: 0,
        },
      ],
      more: 0,
    })
  }
  if (method === 'POST' && path[2] === 'rollback') {
    return answer(
      200,
      publish('alice', String(body.message ?? ''), [], body.confirm_within_seconds as number, 'rollback'),
    )
  }
  if (method === 'POST') {
    pending = null
    return answer(200, found)
  }
  answer(200, state(found))
}

function itemRoutes(
  kind: Kind,
  path: string[],
  method: string,
  body: Record<string, unknown>,
  query: URLSearchParams,
  answer: Answer,
  paged: <T>(list: T[]) => unknown,
) {
  const name = path[1]
  if (name === undefined && method === 'GET') {
    const search = query.get('search')?.toLowerCase() ?? ''
    const all = [...items.values()].filter(
      (x) => x.kind === kind && JSON.stringify(x.body).toLowerCase().includes(search),
    )
    return answer(200, paged(all.map(summaries[kind])))
  }
  const key = kind === 'tenant' ? 'app_id' : 'name'
  const found = name === undefined ? undefined : items.get(`${kind}/${name}`)
  const secret = kind === 'tenant' ? { secret: 'b6c7e1f09a3d4c52' } : {}
  if (method === 'POST' && path[2] === 'secret') return answer(200, { revision: publish('alice', '', []), ...secret })
  if (method === 'GET') {
    if (!found) return answer(404, { error: { code: 'not_found', message: `There is no ${kind} ${name}.` } })
    return answer(200, detail(found))
  }
  if (method === 'PATCH' && found) {
    const nodes = (found.body.nodes as Body[]).map((node) =>
      node.address === path[3] ? { ...node, enabled: body.enabled as boolean } : node,
    )
    return answer(200, {
      revision: publish('alice', '', [{ kind, name: name!, body: { ...found.body, nodes }, based_on: null }]),
    })
  }
  const next = (method === 'DELETE' ? null : body.body) as Body | null
  const change: Change = { kind, name: name ?? String(next?.[key]), body: next, based_on: found?.version ?? null }
  const wrong = problems([change])
  if (wrong.length > 0)
    return answer(422, { error: { code: 'invalid', message: 'It does not check.', problems: wrong } })
  if (found && method === 'PUT' && body.version !== found.version) {
    const conflict = {
      kind,
      name,
      yours: next,
      theirs: found.body,
      version: found.version,
      changed_by: 'bob',
      changed_at: now(),
    }
    return answer(409, { error: { code: 'stale', message: 'changed meanwhile', conflicts: [conflict] } })
  }
  if (body.draft || query.get('draft')) {
    draft = [...draft.filter((x) => x.kind !== kind || x.name !== change.name), change]
    return answer(200, { draft: {}, ...secret })
  }
  answer(200, {
    revision: publish('alice', String(body.message ?? ''), [change], body.confirm_within_seconds as number),
    ...(found ? {} : secret),
  })
}

function detail(item: Kept): Detail {
  const { changed_at, changed_by, ...rest } = item
  const nodes = ((item.body.nodes ?? []) as Body[]).map((node, i) => ({
    address: String(node.address),
    enabled: node.enabled !== false,
    weight: Number(node.weight ?? 1),
    health: ['gw-1', 'gw-2'].map((instance) =>
      item.name === 'catalog' && i === 2
        ? { instance, state: 'down' as const, why: 'connection refused' }
        : { instance, state: 'up' as const },
    ),
  }))
  return { item: rest, changed_at, changed_by, ...(item.kind === 'service' ? { nodes } : {}) }
}

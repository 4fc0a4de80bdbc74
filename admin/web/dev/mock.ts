// A stand-in for coregate-admin while pages are drawn (`npm run dev`): the contract's shapes with made-up traffic. Never part
// of the bundle; what the dashboard really does is tested against the real processes (tests/tests/dashboard*.rs).

import type { IncomingMessage, ServerResponse } from 'node:http'
import { diff } from '../src/lib/diff.ts'
import type { Body, Change, Flow, Kind, Revision } from '../src/lib/types'
import { referenceSchema } from './reference.ts'
import { actionOf, detail, items, now, past, problems, publish, revisions, site, summaries } from './site.ts'
import { flow, live, overview, qps } from './traffic.ts'

type Handler = (request: IncomingMessage, response: ServerResponse, next: () => void) => void

const LISTS: Record<string, Kind> = {
  services: 'service',
  listeners: 'listener',
  tenants: 'tenant',
  certificates: 'certificate',
}
let loggedIn = process.env.MOCK_LOGGED_OUT === undefined

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
      revision: site.head,
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
        revision: site.head,
        revision_at: past(4),
        pending: site.pending,
        draft_changes: site.draft.length,
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
      return live(response, () => site.head)
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
          revision_applied: i === 3 ? site.head - 1 : site.head,
          revision_head: site.head,
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
        why: 'goes to a node of service "orders"',
        steps: [
          { stage: 'route', verdict: 'tried', why: 'no route has the host orders.example.com' },
          { stage: 'route', verdict: 'passed', why: 'host *.example.com has the prefix /' },
          { stage: 'access', verdict: 'passed', why: '127.0.0.1 is not in access.deny, and access.allow is empty' },
          {
            stage: 'service limit',
            verdict: 'passed',
            why: '1000 of 1000 left for the service in this process, all of which come in 2s',
          },
        ],
        balancing: 'weighted_round_robin',
        nodes: [{ address: '10.0.0.1:8080', weight: 1, live: true, share: 0.25 }],
      })
    case 'POST compare':
      return answer(200, { compared: 12, skipped: 0, differing: 0, results: [], truncated: false })
    case 'GET export':
      return answer(200, 'toml')
    case 'POST import':
      return answer(200, {
        changes: [{ kind: 'service', name: 'orders' }],
        warnings: [],
        revision: body.dry_run ? null : ++site.head,
      })
    case 'GET draft':
      return answer(200, {
        changes: site.draft.map((change) => ({ ...change, action: actionOf(change) })),
        base_revision: site.head,
        updated_at: site.draft.length ? past(2) : null,
        problems: problems(site.draft),
        conflicts: [],
      })
    case 'PUT draft':
      site.draft = body.changes as Change[]
      return answer(200, {})
    case 'DELETE draft':
      site.draft = []
      return answer(204)
    case 'POST draft': {
      const made = publish('alice', String(body.message ?? ''), site.draft, body.confirm_within_seconds as number)
      site.draft = []
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
  const standing = (r: Revision) => ({
    ...r,
    state: r.id === site.pending?.revision ? 'pending' : r.id === site.head ? 'in_force' : 'superseded',
  })
  const id = Number(path[1])
  if (path.length === 1) return answer(200, paged(revisions.map(standing)))
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
    site.pending = null
    return answer(200, found)
  }
  answer(200, standing(found))
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
    site.draft = [...site.draft.filter((x) => x.kind !== kind || x.name !== change.name), change]
    return answer(200, { draft: {}, ...secret })
  }
  answer(200, {
    revision: publish('alice', String(body.message ?? ''), [change], body.confirm_within_seconds as number),
    ...(found ? {} : secret),
  })
}

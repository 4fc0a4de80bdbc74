// The one way to the REST API. Every failure is an ApiError; errorText has its words for people.

import { effect, signal } from '@preact/signals'
import type { Conflict, Problem, Session } from './types'

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly problems: Problem[] = [],
    readonly conflicts: Conflict[] = [],
    readonly retryAfter: number | null = null,
    readonly setupRequired = false,
  ) {
    super(message)
  }
}

/** `undefined` until the first answer; `null` when nobody is logged in. */
export const session = signal<Session | null | undefined>(undefined)
export const setupRequired = signal(false)

type Query = Record<string, string | number | boolean | undefined | null>

export function url(path: string, query: Query = {}): string {
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') search.set(key, String(value))
  }
  const text = search.toString()
  return `/api/v1${path}${text ? `?${text}` : ''}`
}

/** Names stand in paths as one segment, whatever is in them. */
export const seg = encodeURIComponent

async function failure(response: Response): Promise<ApiError> {
  // biome-ignore lint/suspicious/noExplicitAny: an error's body may be anything, for example a proxy's page.
  let body: any = null
  try {
    body = await response.json()
  } catch {
    body = null
  }
  const error = body?.error ?? {}
  const after = Number(response.headers.get('retry-after'))
  return new ApiError(
    response.status,
    error.code ?? `http_${response.status}`,
    error.message ?? `http ${response.status}`,
    error.problems ?? [],
    error.conflicts ?? [],
    Number.isFinite(after) && after > 0 ? after : null,
    Boolean(error.setup_required ?? body?.setup_required),
  )
}

async function call(method: string, path: string, query?: Query, body?: unknown, stop?: AbortSignal) {
  const headers: Record<string, string> = { accept: 'application/json' }
  if (body !== undefined) headers['content-type'] = 'application/json'
  if (method !== 'GET' && session.value) headers['x-csrf-token'] = session.value.csrf_token
  let response: Response
  try {
    response = await fetch(url(path, query), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: stop,
      credentials: 'same-origin',
    })
  } catch (cause) {
    if (stop?.aborted) throw cause
    throw new ApiError(0, 'unreachable', 'unreachable')
  }
  if (response.ok) return response
  const error = await failure(response)
  // A session that has ended, not a wrong password: the login page comes back to where one was.
  if (error.status === 401 && path !== '/login' && path !== '/password') {
    setupRequired.value = error.setupRequired
    session.value = null
  }
  throw error
}

async function json<T>(response: Response): Promise<T> {
  const text = await response.text()
  return (text ? JSON.parse(text) : undefined) as T
}

export const api = {
  get: async <T>(path: string, query?: Query, stop?: AbortSignal) =>
    json<T>(await call('GET', path, query, undefined, stop)),
  text: async (path: string, query?: Query) => (await call('GET', path, query)).text(),
  post: async <T>(path: string, body: unknown = {}, stop?: AbortSignal) =>
    json<T>(await call('POST', path, undefined, body, stop)),
  put: async <T>(path: string, body: unknown) => json<T>(await call('PUT', path, undefined, body)),
  patch: async <T>(path: string, body: unknown) => json<T>(await call('PATCH', path, undefined, body)),
  delete: async <T>(path: string, query?: Query) => json<T>(await call('DELETE', path, query)),
}

const KNOWN = 'coregate.known'

/** Asks who is logged in, once at the start; a browser in which nobody ever logged in is not asked about. */
export async function findSession(): Promise<void> {
  effect(() => {
    if (session.value) localStorage.setItem(KNOWN, '1')
    else if (session.value === null) localStorage.removeItem(KNOWN)
  })
  if (!localStorage.getItem(KNOWN)) {
    session.value = null
    return
  }
  try {
    session.value = await api.get<Session>('/session')
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error
  }
}

const RANK = { viewer: 0, operator: 1, admin: 2 } as const

/** Whether the one who is logged in has at least this role. */
export function may(role: keyof typeof RANK): boolean {
  const own = session.value?.admin.role
  return own !== undefined && RANK[own] >= RANK[role]
}

// Hash routes: `#/services/NAME?tab=form`. The server knows nothing of them, so every address can be shared and reloaded.

import { signal } from '@preact/signals'

export interface Route {
  /** Decoded segments: `#/services/a%2Fb` is `['services', 'a/b']`. */
  path: string[]
  query: URLSearchParams
  hash: string
}

export function parse(hash: string): Route {
  const text = hash.replace(/^#\/?/, '')
  const [path = '', query = ''] = text.split(/\?(.*)/s)
  const segments = path.split('/').filter(Boolean)
  return { path: segments.map(decode), query: new URLSearchParams(query), hash }
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

export function href(path: (string | number)[], query: Record<string, string | number | undefined> = {}): string {
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') search.set(key, String(value))
  }
  const text = search.toString()
  return `#/${path.map((part) => encodeURIComponent(String(part))).join('/')}${text ? `?${text}` : ''}`
}

const at = () => (typeof location === 'undefined' ? '' : location.hash)

export const route = signal<Route>(parse(at()))

/** A page with unsaved input sets it; it says whether one may leave. */
export const guard = signal<(() => boolean) | null>(null)

export function go(target: string, replace = false): void {
  if (replace) {
    history.replaceState(null, '', target)
    changed()
  } else {
    location.hash = target
  }
}

/** What input would be lost with: another item, another tab; not another page of a list. */
const place = (at: Route) => [...at.path, at.query.get('tab'), at.query.get('new')].join('/')

function changed(): void {
  const next = parse(at())
  const samePage = place(next) === place(route.value)
  if (!samePage && guard.value && !guard.value()) {
    history.replaceState(null, '', route.value.hash || '#/')
    return
  }
  if (!samePage) guard.value = null
  route.value = next
  if (!samePage) window.scrollTo(0, 0)
}

export function startRouter(): void {
  window.addEventListener('hashchange', changed)
}

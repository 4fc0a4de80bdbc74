// The configuration's schema as GET /schema tells it, in the shape that the forms read, and what forms need of values:
// paths, units, pruning.

import type { Body, Json, SchemaKey } from '../lib/types'

export type Path = (string | number)[]

/** `nodes[0].weight`: how the server names a key in a problem. */
export function pathText(path: Path): string {
  return path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text ? `${text}.${part}` : part),
    '',
  )
}

/** The schema's name of a path: without the places in lists. */
export function schemaName(root: string, path: Path): string {
  return [root, ...path.filter((part) => typeof part === 'string')].join('.')
}

export function find(keys: SchemaKey[], path: string[]): SchemaKey | undefined {
  const [first, ...rest] = path
  const key = keys.find((candidate) => candidate.name === first)
  return rest.length === 0 || !key ? key : find(key.keys ?? [], rest)
}

export function get(body: Json | undefined, path: Path): Json | undefined {
  let value: Json | undefined = body
  for (const part of path) {
    if (value === null || typeof value !== 'object') return undefined
    value = (value as Record<string | number, Json>)[part]
  }
  return value
}

/** A copy with `value` at `path`; `undefined` takes the key (or the list's element) out. Tables on the way are made. */
export function set(body: Body, path: Path, value: Json | undefined): Body {
  return put(body, path, value) as Body
}

function put(at: Json | undefined, path: Path, value: Json | undefined): Json | undefined {
  const [part, ...rest] = path
  if (part === undefined) return value
  if (typeof part === 'number') {
    const list = Array.isArray(at) ? [...at] : []
    const next = put(list[part], rest, value)
    if (next === undefined) list.splice(part, 1)
    else list[part] = next
    return list
  }
  const table: Body = at !== null && typeof at === 'object' && !Array.isArray(at) ? { ...at } : {}
  const next = put(table[part], rest, value)
  if (next === undefined) delete table[part]
  else table[part] = next
  return table
}

/** Tables that mean something by being there, even when empty. */
const MEANINGFUL = new Set(['health_check', 'certificate'])

/** What is sent: without empty tables and lists, which say nothing. Places in lists of tables stay as they are. */
export function prune(body: Body): Body {
  const pruned: Body = {}
  for (const [key, value] of Object.entries(body)) {
    if (value === null || value === undefined) continue
    if (Array.isArray(value)) {
      if (value.length > 0) {
        pruned[key] = value.map((x) => (x !== null && typeof x === 'object' && !Array.isArray(x) ? prune(x) : x))
      }
    } else if (typeof value === 'object') {
      const inner = prune(value)
      if (Object.keys(inner).length > 0 || MEANINGFUL.has(key)) pruned[key] = inner
    } else {
      pruned[key] = value
    }
  }
  return pruned
}

export const DURATION_UNITS = ['ms', 's', 'm', 'h', 'd'] as const
export const SIZE_UNITS = ['B', 'KiB', 'MiB', 'GiB'] as const

/** `"250ms"` is 250 and `ms`; what is not a number with a known unit is left to the check to complain about. */
export function splitUnit(value: Json | undefined, units: readonly string[], fallback: string): [string, string] {
  if (value === undefined || value === null) return ['', fallback]
  if (typeof value === 'number') return [String(value), units[0] ?? fallback]
  const text = String(value).trim()
  const match = /^(.*?)\s*([A-Za-z]+)$/.exec(text)
  return match && units.includes(match[2]!) ? [match[1]!, match[2]!] : [text, fallback]
}

/** Words separated by commas, spaces or lines: how lists are typed and pasted. */
export function words(text: string): string[] {
  return text.split(/[\s,，、]+/).filter(Boolean)
}

/** A number where it is one, the text where it is not: the check says what would be right. */
export function numeric(text: string): Json | undefined {
  const trimmed = text.trim()
  if (trimmed === '') return undefined
  const value = Number(trimmed)
  return Number.isFinite(value) ? value : trimmed
}

// What differs between two items, path by path, and putting chosen paths together: for the diff before saving and for
// an edit that somebody else was faster with.

import type { Body, Json, PathChange } from './types'

export const isObject = (value: Json | undefined): value is Body =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export function same(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((x, i) => same(x, b[i]))
  if (isObject(a) && isObject(b)) {
    const keys = new Set([...Object.keys(a), ...Object.keys(b)])
    return [...keys].every((key) => same(a[key], b[key]))
  }
  return false
}

/** The element's own name in a list: an address, a host, so that taking one out does not show all after it as changed. */
function nameOf(value: Json | undefined): string | null {
  if (!isObject(value)) return null
  for (const key of ['address', 'app_id', 'name', 'certificate']) {
    if (typeof value[key] === 'string') return value[key]
  }
  return null
}

function named(list: Json[]): Map<string, Json> | null {
  const map = new Map<string, Json>()
  for (const value of list) {
    const name = nameOf(value)
    if (name === null || map.has(name)) return null
    map.set(name, value)
  }
  return map
}

/** A table that came or went is told key by key; an element of a list as a whole. */
function isTable(value: Json | undefined, path: string): value is Body {
  return isObject(value) && Object.keys(value).length > 0 && path !== '' && !path.endsWith(']')
}

export function diff(before: Json | undefined, after: Json | undefined, path = ''): PathChange[] {
  if (same(before, after)) return []
  if (isTable(before, path) && after === undefined) return diff(before, {}, path)
  if (isTable(after, path) && before === undefined) return diff({}, after, path)
  if (isObject(before) && isObject(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])]
    return keys.flatMap((key) => diff(before[key], after[key], path ? `${path}.${key}` : key))
  }
  if (Array.isArray(before) && Array.isArray(after) && [...before, ...after].some(isObject)) {
    const [old, young] = [named(before), named(after)]
    if (old && young) {
      const names = [...new Set([...old.keys(), ...young.keys()])]
      const inner = names.flatMap((name) => diff(old.get(name), young.get(name), `${path}[${name}]`))
      // The same elements in another order.
      return inner.length > 0 ? inner : [{ path, before, after }]
    }
    const length = Math.max(before.length, after.length)
    return Array.from({ length }, (_, i) => diff(before[i], after[i], `${path}[${i}]`)).flat()
  }
  return [{ path, before, after }]
}

/** Top-level keys in which `yours` and `theirs` differ: the grain in which two edits are put together. */
export function clashes(yours: Body, theirs: Body): string[] {
  const keys = [...new Set([...Object.keys(theirs), ...Object.keys(yours)])]
  return keys.filter((key) => !same(yours[key], theirs[key]))
}

/** `theirs`, with the keys in `mine` taken from `yours`. */
export function merge(yours: Body, theirs: Body, mine: ReadonlySet<string>): Body {
  const merged: Body = { ...theirs }
  for (const key of mine) {
    const value = yours[key]
    if (value === undefined) delete merged[key]
    else merged[key] = value
  }
  return merged
}

/** A value in a diff, short enough for a line. */
export function show(value: Json | undefined): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'string') return value
  if (Array.isArray(value) && value.every((x) => typeof x !== 'object')) return value.join(', ')
  if (isObject(value) && Object.values(value).every((x) => x === null || typeof x !== 'object')) {
    return Object.entries(value)
      .map(([key, inner]) => `${key} = ${inner}`)
      .join('\n')
  }
  return JSON.stringify(value, null, 2)
}

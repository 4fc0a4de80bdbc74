import { describe, expect, test } from 'vitest'
import { clashes, diff, merge, same } from '../src/lib/diff'

describe('a difference', () => {
  test('is told path by path', () => {
    const before = { name: 'a', limits: { burst: 5 }, tls: true }
    const after = { name: 'a', limits: { burst: 9, mode: 'observe' } }
    expect(diff(before, after)).toEqual([
      { path: 'limits.burst', before: 5, after: 9 },
      { path: 'limits.mode', before: undefined, after: 'observe' },
      { path: 'tls', before: true, after: undefined },
    ])
  })

  test('of a table that came or went is told key by key', () => {
    expect(diff({ limits: { burst: 5, per_client_ip: { burst: 2 } } }, {})).toEqual([
      { path: 'limits.burst', before: 5, after: undefined },
      { path: 'limits.per_client_ip.burst', before: 2, after: undefined },
    ])
    expect(diff({}, { health_check: {} })).toEqual([{ path: 'health_check', before: undefined, after: {} }])
  })

  test('follows nodes by their address, wherever they stand', () => {
    const a = { address: 'a:1' }
    const b = { address: 'b:1', weight: 2 }
    expect(diff({ nodes: [a, b] }, { nodes: [b] })).toEqual([{ path: 'nodes[a:1]', before: a, after: undefined }])
    expect(diff({ nodes: [a, b] }, { nodes: [a, { ...b, weight: 3 }] })).toEqual([
      { path: 'nodes[b:1].weight', before: 2, after: 3 },
    ])
  })

  test('another order is a difference', () => {
    const [a, b] = [{ address: 'a:1' }, { address: 'b:1' }]
    expect(diff({ nodes: [a, b] }, { nodes: [b, a] })).toEqual([{ path: 'nodes', before: [a, b], after: [b, a] }])
  })

  test('lists of words are one value', () => {
    expect(diff({ hosts: ['a'] }, { hosts: ['a', 'b'] })).toEqual([{ path: 'hosts', before: ['a'], after: ['a', 'b'] }])
  })

  test('equal is equal whatever the order of keys', () => {
    expect(same({ a: 1, b: [{ c: null }] }, { b: [{ c: null }], a: 1 })).toBe(true)
    expect(diff({ a: 1, b: 2 }, { b: 2, a: 1 })).toEqual([])
  })
})

describe('two edits of the same item', () => {
  const theirs = { name: 's', tls: true, description: 'theirs' }
  const mine = { name: 's', description: 'mine', http2: true }

  test('clash where they differ', () => {
    expect(clashes(mine, theirs)).toEqual(['tls', 'description', 'http2'])
  })

  test('are put together as chosen', () => {
    expect(merge(mine, theirs, new Set(['description']))).toEqual({ name: 's', tls: true, description: 'mine' })
    expect(merge(mine, theirs, new Set(['tls', 'description', 'http2']))).toEqual(mine)
    expect(merge(mine, theirs, new Set())).toEqual(theirs)
  })
})

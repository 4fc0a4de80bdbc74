import { describe, expect, test } from 'vitest'
import { visible } from '../src/form/layout'
import { get, numeric, pathText, prune, schemaName, set, splitUnit, words } from '../src/form/schema'

describe('paths', () => {
  test('are written as the server writes them', () => {
    expect(pathText(['nodes', 0, 'weight'])).toBe('nodes[0].weight')
    expect(schemaName('service', ['nodes', 0, 'weight'])).toBe('service.nodes.weight')
  })

  test('setting makes the tables on the way and leaves the original alone', () => {
    const body = { name: 'a' }
    const next = set(body, ['limits', 'per_client_ip', 'burst'], 5)
    expect(next).toEqual({ name: 'a', limits: { per_client_ip: { burst: 5 } } })
    expect(body).toEqual({ name: 'a' })
    expect(get(next, ['limits', 'per_client_ip', 'burst'])).toBe(5)
  })

  test('taking out an element closes the gap', () => {
    expect(set({ nodes: [1, 2, 3] }, ['nodes', 1], undefined)).toEqual({ nodes: [1, 3] })
  })
})

describe('what is sent', () => {
  test('has no empty tables and lists, but keeps places in lists of tables', () => {
    expect(prune({ name: 'a', limits: {}, routes: [{}, { hosts: [] }], access: { deny: [] }, tls: null })).toEqual({
      name: 'a',
      routes: [{}, {}],
    })
  })

  test('keeps a health check that is all defaults: being there switches it on', () => {
    expect(prune({ health_check: {} })).toEqual({ health_check: {} })
  })
})

describe('values', () => {
  const units = ['ms', 's', 'm', 'h', 'd']
  test('with a unit are split', () => {
    expect(splitUnit('250ms', units, 's')).toEqual(['250', 'ms'])
    expect(splitUnit(undefined, units, 's')).toEqual(['', 's'])
    expect(splitUnit('soon', units, 's')).toEqual(['soon', 's'])
    expect(splitUnit(1024, ['B', 'KiB'], 'KiB')).toEqual(['1024', 'B'])
  })

  test('that are no numbers stay as they are, for the check to say so', () => {
    expect(numeric('12.5')).toBe(12.5)
    expect(numeric('many')).toBe('many')
    expect(numeric(' ')).toBeUndefined()
  })

  test('lists may be typed and pasted in any way', () => {
    expect(words('a, b\n c，d')).toEqual(['a', 'b', 'c', 'd'])
  })
})

test('a field that needs another is shown beside it, and always when it is set', () => {
  expect(visible('service', 'health_check.path', { health_check: { kind: 'tcp' } }, undefined)).toBe(false)
  expect(visible('service', 'health_check.path', { health_check: { kind: 'http' } }, undefined)).toBe(true)
  expect(visible('service', 'health_check.path', { health_check: { kind: 'tcp' } }, '/x')).toBe(true)
})

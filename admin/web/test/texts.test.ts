import { describe, expect, test } from 'vitest'
import {
  absolute,
  isAccessLog,
  isWithoutHost,
  LOG_BYTES_MAX,
  parseRequests,
  readLog,
  routeText,
} from '../src/lib/requests'
import { href, parse } from '../src/lib/router'

describe('addresses', () => {
  test('names may have anything in them', () => {
    const name = 'a/b?c#d é'
    expect(parse(href(['services', name], { tab: 'form' })).path).toEqual(['services', name])
    expect(parse(href(['services', name], { tab: 'form' })).query.get('tab')).toBe('form')
  })

  test('a broken escape is not an error', () => {
    expect(parse('#/services/%zz').path).toEqual(['services', '%zz'])
  })
})

describe('sample requests', () => {
  test('are one a line, method and client may be left out', () => {
    const text = 'GET http://a.example/x 192.0.2.1\n\n# no\nb.example/y\nPOST /z'
    expect(parseRequests(text)).toEqual([
      { method: 'GET', url: 'http://a.example/x', client: '192.0.2.1' },
      { method: 'GET', url: 'http://b.example/y', client: undefined },
      { method: 'POST', url: '/z', client: undefined },
    ])
  })

  test('an access log is told from requests', () => {
    expect(isAccessLog('\n{"time":"…"}')).toBe(true)
    expect(isAccessLog('192.0.2.1 - - [26/Nov/2026:02:00:00 +0000] "GET / HTTP/1.1" 200 5')).toBe(true)
    expect(isAccessLog('GET http://a.example/')).toBe(false)
    expect(isWithoutHost('{"time":"…"}')).toBe(false)
    expect(isWithoutHost('192.0.2.1 - - [26/Nov/2026:02:00:00 +0000] "GET / HTTP/1.1" 200 5')).toBe(true)
  })

  test('of a very large log whole lines of its end are read', async () => {
    expect(await readLog(new File(['a\n\nb\n'], 'small'))).toEqual({
      name: 'small',
      text: 'a\n\nb\n',
      lines: 2,
      cut: false,
    })
    const line = `${'x'.repeat(999)}\n`
    const large = await readLog(new File([line.repeat(LOG_BYTES_MAX / 1000 + 100)], 'large'))
    expect(large.cut).toBe(true)
    expect(large.lines).toBe(Math.floor(LOG_BYTES_MAX / 1000))
    expect(large.text.startsWith(line)).toBe(true)
  })

  test('a URL without a scheme is http', () => {
    expect(absolute('a.example/x')).toBe('http://a.example/x')
    expect(absolute('https://a.example')).toBe('https://a.example')
  })
})

test('a route is one line', () => {
  expect(routeText({ methods: ['GET'], hosts: [], path_prefix: '/a' })).toBe('GET */a')
})

import { describe, expect, test } from 'vitest'
import { browser } from '../src/pages/account'
import { splitPem } from '../src/pages/certificates'
import { parseHeaders } from '../src/pages/explain'

describe('an uploaded file', () => {
  const leaf = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'
  const key = '-----BEGIN EC PRIVATE KEY-----\nBBBB\n-----END EC PRIVATE KEY-----'

  test('with chain and key in one is cut in two, whatever stands between', () => {
    expect(splitPem(`subject: x\n${leaf}\n${key}\n${leaf}\n`)).toEqual({ chain: `${leaf}\n${leaf}\n`, key: `${key}\n` })
  })

  test('with neither gives nothing', () => {
    expect(splitPem('hello')).toEqual({ chain: '', key: '' })
  })
})

test('headers are typed one a line; a value may have colons', () => {
  expect(parseHeaders('Authorization: Basic a:b\n\nnonsense\nX-A:1')).toEqual([
    ['authorization', 'Basic a:b'],
    ['x-a', '1'],
  ])
  expect(parseHeaders('')).toBeUndefined()
})

test('browsers are named as people know them', () => {
  expect(
    browser('Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36'),
  ).toBe('Chrome 156 · Linux')
  expect(browser('Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0')).toBe(
    'Firefox 140 · macOS',
  )
  expect(browser('curl/8.5.0')).toBe('curl 8')
})

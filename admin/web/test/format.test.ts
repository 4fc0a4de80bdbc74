import { describe, expect, test } from 'vitest'
import * as format from '../src/lib/format'

const berlin = { tag: 'en-GB', timezone: 'Europe/Berlin' }

describe('numbers', () => {
  test('rates have about three figures', () => {
    expect([0, 0.4242, 18.34, 1204.4, 1_234_567].map((n) => format.rate(n, 'en'))).toEqual([
      '0',
      '0.42',
      '18.3',
      '1,204',
      '1.2M',
    ])
    expect(format.rate(null, 'en')).toBe(format.NONE)
  })

  test('latencies are in the unit that reads best', () => {
    expect(format.micros(38.4, 'en')).toEqual({ value: '38', unit: 'µs' })
    expect(format.micros(3_270, 'en')).toEqual({ value: '3.27', unit: 'ms' })
    expect(format.micros(41_800, 'en')).toEqual({ value: '41.8', unit: 'ms' })
    expect(format.micros(2_500_000, 'en')).toEqual({ value: '2.5', unit: 's' })
  })

  test('small error rates are not rounded away', () => {
    expect(format.percent(0.0031, 'en')).toBe('0.31%')
    expect(format.percent(0.00012, 'en')).toBe('0.012%')
    expect(format.percent(0, 'en')).toBe('0%')
  })
})

describe('times', () => {
  test('are in the configured zone, as the reader writes them', () => {
    expect(format.dateTime('2026-01-15T23:30:00Z', berlin)).toBe('16 Jan 2026, 00:30')
    expect(format.dateTime('2026-01-15T23:30:00Z', { tag: 'zh-CN', timezone: 'Asia/Shanghai' })).toBe(
      '2026年1月16日 07:30',
    )
  })

  test('the reader’s own variant of the language is used', () => {
    expect(format.localeTag('en', ['de', 'en-GB', 'en'])).toBe('en-GB')
    expect(format.localeTag('zh', ['en-US'])).toBe('zh-CN')
    expect(format.localeTag('zh', ['zh-TW'])).toBe('zh-TW')
  })

  test('an unknown zone does not break the page', () => {
    expect(format.date('2026-01-15T12:00:00Z', { tag: 'en-GB', timezone: 'Mars/Olympus' })).toBe('15 Jan 2026')
  })

  test('ages are told in the largest unit that fits', () => {
    const now = Date.parse('2026-01-15T12:00:00Z')
    expect(format.ago('2026-01-15T11:57:00Z', now, berlin)).toBe('3 minutes ago')
    expect(format.ago('2026-01-14T11:00:00Z', now, berlin)).toBe('yesterday')
    expect(format.ago('2025-12-01T11:00:00Z', now, berlin)).toBe('1 Dec 2025')
  })

  test('a countdown ends at zero', () => {
    const now = Date.parse('2026-01-15T12:00:00Z')
    expect(format.countdown('2026-01-15T12:04:05Z', now)).toBe('4:05')
    expect(format.countdown('2026-01-15T13:00:00Z', now)).toBe('1:00:00')
    expect(format.countdown('2026-01-15T11:00:00Z', now)).toBe('0:00')
  })
})

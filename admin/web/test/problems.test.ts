import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { checked, ENGLISH } from '../src/i18n/zh/problems'

const SOURCES = join(import.meta.dirname, '../../../config/src')

/** All Rust of the config crate, as its strings read. */
function sources(folder: string): string {
  return readdirSync(folder)
    .map((name) => join(folder, name))
    .map((path) => (statSync(path).isDirectory() ? sources(path) : readFileSync(path, 'utf8')))
    .join('\n')
    .replace(/\\\n\s*/g, '')
    .replaceAll('\\"', '"')
}

describe('what checks say, in Chinese', () => {
  test('every English original is one that the checks have', () => {
    const all = sources(SOURCES)
    // What stands before the first part that varies; some are put together of a beginning and a rest.
    const known = (text: string) => all.includes(text) || all.includes(text.replace(/^(must be|is for|is|are) /, ''))
    const beginnings = ENGLISH.map((text) =>
      text
        .split(/\{\}|; |: |, | \(/)[0]!
        .trim()
        .replace(/ (alone|and)$/, ''),
    )
    const unknown = beginnings.filter((text) => !known(text))
    expect(unknown).toEqual([])
  })

  test('parts that vary, owners, lines and hints find their places', () => {
    expect(checked('must be 1 to 65535')).toBe('应在 1 到 65535 之间')
    expect(checked('must be IP:PORT, [IPv6]:PORT or NAME:PORT; the port is missing (service "shop")')).toBe(
      '应为 IP:端口、[IPv6]:端口 或 名称:端口；缺少端口（服务 "shop"）',
    )
    expect(checked('line 7: unknown key; did you mean `nodes`?')).toBe('第 7 行：未知的键；是不是 `nodes`？')
    expect(checked('must be one of "tcp", "http"; did you mean "http"?')).toBe(
      '应为以下之一："tcp", "http"；是不是 "http"？',
    )
    expect(checked('must be a whole number, not a string')).toBe('应为整数，而不是字符串')
    expect(checked('must be a duration: a whole number and one of ms, s, m, h, d, such as "250ms" or "10s"')).toBe(
      '应为时长：整数加 ms、s、m、h、d 之一，例如 "250ms" 或 "10s"',
    )
    expect(checked('is the same as services[0].name (line 3) (service "a")')).toBe(
      '与 services[0].name (line 3) 相同（服务 "a"）',
    )
  })

  test('what nobody has translated stays as it is', () => {
    expect(checked('something new')).toBe('something new')
  })
})

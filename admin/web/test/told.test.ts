import { describe, expect, test } from 'vitest'
import { en } from '../src/i18n/en'
import { pattern } from '../src/i18n/zh/patterns'
import { SENTENCES, told } from '../src/i18n/zh/told'
import { LEFT, SOURCES } from './left'
import { isSaid, rustFiles, source, texts } from './rust'

const ENGLISH = SENTENCES.map(([english]) => english.replaceAll('{*}', '{}'))

/** A text of the sources as a pattern, of which any part may be put in. */
const anyPart = (text: string) => new RegExp(pattern(text).source.replaceAll('(.+?)', '.*?'), 's')
const fixed = (text: string) => text.replaceAll('{}', '').length

describe('what the server says, in Chinese', () => {
  test('every text of the sources that people are shown has a translation', () => {
    const left = new Set(Object.values(LEFT).flat())
    // Some are a part of a sentence, or have one put into them; what varies may stand in quotes.
    const isKnown = (text: string) => {
      const bare = text.trim().replace(/"[^" ]*\{[^" ]*\}[^" ]*"/g, '{}')
      const isPart = (english: string) => english.includes(bare) || (fixed(bare) >= 4 && anyPart(bare).test(english))
      return told(text) !== text || ENGLISH.some(isPart)
    }
    const unknown = SOURCES.flatMap(rustFiles)
      .filter((file) => !left.has(file))
      .flatMap((file) => texts(file).map((text) => [file, text] as const))
      .filter(([, text]) => isSaid(text) && !left.has(text) && !isKnown(text))
    expect(unknown, 'translate it in src/i18n/zh, or say in left.ts why nobody is shown it').toEqual([])
  })

  test('every English original is one that the sources have', () => {
    const all = ['config/src', 'admin/src', 'engine/src'].flatMap(rustFiles).flatMap(texts)
    const joined = all.join('\n')
    const whole = all.filter((text) => fixed(text) >= 12).map(anyPart)
    // Put together of several: each part of it.
    const parts = (text: string) =>
      text.split(/\{\}|[;:,.] /).map((part) => part.trim().replace(/^(?:must be|is|are) /, ''))
    const unknown = ENGLISH.filter(
      (english) =>
        !whole.some((text) => text.test(english)) &&
        !all.some((text) => pattern(english).test(text)) &&
        !parts(english).every((part) => joined.includes(part)),
    )
    expect(unknown).toEqual(['{} (line {})'])
  })

  test('nothing of the list of what stays English is there in vain', () => {
    const files = SOURCES.flatMap(rustFiles)
    const known = new Set([...files, ...files.flatMap(texts)])
    expect(
      Object.values(LEFT)
        .flat()
        .filter((text) => !known.has(text)),
    ).toEqual([])
  })

  test('every sentence is there once, is Chinese, and shows all that varies', () => {
    expect(ENGLISH.filter((text, at) => ENGLISH.indexOf(text) !== at)).toEqual([])
    for (const [english, chinese] of SENTENCES) {
      expect(chinese, english).toMatch(/[一-鿿：]/)
      const holes = english.match(/\{\*?\}/g)?.length ?? 0
      const numbers = [...chinese.matchAll(/\{(\d*)\}/g)].map((hole, at) => Number(hole[1] || at + 1))
      expect(new Set(numbers).size, english).toBe(numbers.length)
      expect(numbers.length, english).toBeLessThanOrEqual(holes)
    }
  })
})

describe('sentences', () => {
  const said: [string, string][] = [
    // Checks: parts that vary, owners, lines, hints.
    ['must be 1 to 65535', '应在 1 到 65535 之间'],
    [
      'must be IP:PORT, [IPv6]:PORT or NAME:PORT; the port is missing (service "shop")',
      '应为 IP:端口、[IPv6]:端口 或 名称:端口；缺少端口（服务 "shop"）',
    ],
    ['line 7: unknown key; did you mean `nodes`?', '第 7 行：未知的键；是不是 `nodes`？'],
    ['must be one of "tcp", "http"; did you mean "http"?', '应为以下之一："tcp", "http"；是不是 "http"？'],
    ['must be a whole number, not a string', '应为整数，而不是字符串'],
    ['is the same as services[0].name (line 3) (service "a")', '与 services[0].name（第 3 行）相同（服务 "a"）'],
    ['the host "a" belongs to routes[1] of service "b"', '主机 "a" 属于服务 "b" 的 routes[1]'],
    // Refusals, with what stands around them.
    ['there is no account "7"', '没有账户 "7"'],
    ['service "shop": nodes[0].weight: must be 1 to 100', '服务 "shop"：nodes[0].weight：应在 1 到 100 之间'],
    [
      'url: bad host; right would be http://example.com/path or /path, percent-encoded',
      'url：主机有误；应为 http://example.com/path 或 /path，并做百分号编码',
    ],
    [
      'the certificate "site" is used by listener "web", listener "api"; change that first',
      '证书 "site" 正在被监听器 "web"、监听器 "api" 使用；请先修改那里',
    ],
    [
      'somebody else changed the same in the meantime: service "a" is at version 3 by admin:bob, 2026-01-02T03:04:05Z; tenant "b" is not there (any more); compare the two, then save on top of theirs',
      '内容已被他人修改：服务 "a" 的版本为 3，由 admin:bob 修改于 2026-01-02T03:04:05Z；租户 "b" 已不存在；请对比两者，再在对方的基础上保存',
    ],
    ['too many wrong passwords for this account; try again in 60 seconds', '该账户密码错误次数过多；请在 60 秒后重试'],
    // What becomes of a request.
    [
      '5 of 10 left for 192.0.2.1 in this process, all of which come in 1s; it only observes',
      '192.0.2.1 在本进程中还剩 5，上限 10，1s 内全部恢复；仅观察',
    ],
    [
      'round_robin: in turn; each shard has a turn of its own (2 of 3 nodes live)',
      '轮询：依次轮流；每个分片各自轮流（3 个节点中 2 个可用）',
    ],
    ['there is no tenant "(credentials that are not valid)"', '凭据无效'],
    // Nodes, engines, Redis.
    ['10.0.0.1:80: connect: Connection refused (os error 111)', '10.0.0.1:80：连接：连接被拒绝（os error 111）'],
    [
      'grpc-status 5 (NOT_FOUND); the node does not know the service that was asked about',
      'grpc-status 5 (NOT_FOUND)；节点不认识所询问的服务',
    ],
    ['listener "web": /etc/site.pem: is not a file', '监听器 "web"：/etc/site.pem：不是文件'],
    [
      'Redis: Connection refused (os error 111); is redis-server running there?',
      'Redis：连接被拒绝（os error 111）；那里的 redis-server 是否在运行？',
    ],
    [
      'no configuration: no copy of one was kept, and the admin at http://a does not answer: cannot connect: Connection refused (os error 111)',
      '没有配置：本地没有副本，而管理进程 http://a 没有应答：无法连接：连接被拒绝（os error 111）',
    ],
  ]
  test.each(said)('%s', (english, chinese) => expect(told(english)).toBe(chinese))

  test('names are never translated, and what nobody has translated stays as it is', () => {
    expect(told('there is no service "token"')).toBe('没有服务 "token"')
    for (const text of ['', ': ', '; ', 'service', 'something new', 'a: something; new', 'there is something new'])
      expect(told(text)).toBe(text)
  })
})

describe('words that the server sends are in the catalog', () => {
  const has = (prefix: string, words: string[]) => {
    expect(words.length).toBeGreaterThan(1)
    expect(words.filter((word) => !(`${prefix}.${word}` in en))).toEqual([])
  }
  const found = (file: string, search: RegExp) => [...source(file).matchAll(search)].map((match) => match[1] ?? '')

  test('actions of the audit', () => {
    has(
      'audit',
      rustFiles('admin/src').flatMap((file) => found(file, /\.audit\(\s*[^,"]+,\s*"(\w+)"/g)),
    )
    has('audit', ['confirm', ...found('admin/src/model.rs', /Self::(?:Rollback|Import|Revert) => "(\w+)"/g)])
  })

  test('limits that refuse', () => {
    has('cause', found('engine/src/account.rs', /Self::(?:Client|Service|Tenant)(?:Rate|Day|Connections)? => "(\w+)"/g))
  })

  test('stages of a request, and policies', () => {
    has('stage', found('admin/src/explain/answer.rs', /stage: "(\w+)"/g))
    has(
      'stage',
      found('engine/src/explain/checks.rs', /(?:check: |LimitKind::\w+ => )"([a-z ]+)",/g).filter(
        (word) => word !== 'connections at once',
      ),
    )
    has('policy', found('engine/src/explain/balancing.rs', /Policy::\w+ => "([a-z_]+)",/g))
  })
})

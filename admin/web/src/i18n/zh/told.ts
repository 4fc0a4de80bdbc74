// 服务器所说的话：配置检查、拒绝的原因、请求分析、节点与引擎的状态。不认识的原样显示。

import { EXPLAINED } from './explain'
import { HEALTH, SYSTEM } from './health'
import { translator } from './patterns'
import { CHECKS, KINDS } from './problems'
import { OWNERS, PARTS, REFUSALS } from './refusals'

const parts = translator([...PARTS, ...KINDS], part)
const whole = translator(
  [
    ...KINDS.map(([english, chinese]) => [`must be ${english}`, `应为${chinese}`] as const),
    ...CHECKS,
    ...REFUSALS,
    ...EXPLAINED,
    ...HEALTH,
    ...SYSTEM,
  ],
  part,
)

/** 句子里本身也要翻译的部分：一个词，或另一句话。 */
function part(text: string): string {
  return parts(text) ?? told(text)
}

type Rule = [RegExp, (...found: string[]) => string]

const NAMED = '(service|listener|certificate|tenant) ("[^"]*")'
const NAMES = new RegExp(NAMED, 'g')
const named = (text: string) => text.replace(NAMES, (_, kind: string, name: string) => `${OWNERS[kind]} ${name}`)

/** 在句子前后添加的内容。 */
const AROUND: Rule[] = [
  [/^line (\d+): (.*)$/s, (line, rest) => `第 ${line} 行：${told(rest)}`],
  [new RegExp(`^(.*) \\((${NAMED})\\)$`, 's'), (rest, owner) => `${told(rest)}（${named(owner)}）`],
  [/^(.*); did you mean ("[^"]*")\?$/s, (rest, near) => `${told(rest)}；是不是 ${near}？`],
  [new RegExp(`^(${NAMED}(?:, ${NAMED})*)$`), (owners) => named(owners).replaceAll('", ', '"、')],
  [new RegExp(`^(\\S+) of (${NAMED})$`), (key, owner) => `${named(owner)} 的 ${key}`],
  [new RegExp(`^(${NAMED}): (.*)$`, 's'), (owner, _kind, _name, rest) => `${named(owner)}：${told(rest)}`],
  [
    /^somebody else changed the same in the meantime: (.*); compare the two, then save on top of theirs$/s,
    (conflicts) => `内容已被他人修改：${conflicts.split('; ').map(told).join('；')}；请对比两者，再在对方的基础上保存`,
  ],
  [/^there is no tenant "\(credentials that are not valid\)"$/, () => '凭据无效'],
]

/** 一句话的中文。 */
export function told(message: string): string {
  return known(message) ?? afterItsPlace(message) ?? message
}

function known(message: string): string | undefined {
  for (const [english, chinese] of AROUND) {
    const found = english.exec(message)
    if (found) return chinese(...found.slice(1))
  }
  return whole(message) ?? oneByOne(message)
}

/** `KEY: …`、`PATH: …`、`KEY = VALUE: …`：后面是认识的句子。 */
function afterItsPlace(message: string): string | undefined {
  const [, place, rest] = /^(\S+(?: = .+?)?): (.+)$/s.exec(message) ?? []
  const chinese = rest && known(rest)
  return chinese && `${place}：${chinese}`
}

/** 用分号连接的几句话，每一句都认识。 */
function oneByOne(message: string): string | undefined {
  const sentences = message.split('; ')
  if (sentences.length === 1) return undefined
  const chinese = sentences.map(told)
  return chinese.every((text, at) => text !== sentences[at]) ? chinese.join('；') : undefined
}

/** 供测试：所有句式；操作系统的话除外，它们不在源码中。 */
export const SENTENCES = [...PARTS, ...KINDS, ...CHECKS, ...REFUSALS, ...EXPLAINED, ...HEALTH]

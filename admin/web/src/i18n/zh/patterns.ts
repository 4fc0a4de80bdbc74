// 英文句式与其中文。左边与 Rust 源码一致：`{}` 为其中变化、原样显示的部分，`{*}` 为本身也要翻译的部分；右边 `{}` 依次填入，
// 语序不同时用 `{1}`、`{2}` 指明。

export type Table = readonly (readonly [english: string, chinese: string])[]

const literally = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** 整句匹配；变化的部分尽量短。 */
export const pattern = (text: string) =>
  new RegExp(
    `^${text
      .split(/\{\*?\}/)
      .map(literally)
      .join('(.+?)')}$`,
    's',
  )

type Part = (text: string) => string

/** 按表翻译；表里没有的得到 `undefined`。`part` 翻译 `{*}` 的部分。 */
export function translator(table: Table, part: Part): (message: string) => string | undefined {
  // 最长的先试：较短的会把后半句当作可变部分。
  const entries = [...table]
    .sort(([one], [other]) => other.length - one.length)
    .map(([english, chinese]) => ({
      english: pattern(english),
      isTold: [...english.matchAll(/\{(\*?)\}/g)].map((hole) => hole[1] === '*'),
      chinese,
    }))
  return (message) => {
    for (const { english, isTold, chinese } of entries) {
      const found = english.exec(message)
      if (found) return filled(chinese, found.slice(1), (text, place) => (isTold[place] ? part(text) : text))
    }
    return undefined
  }
}

const HOLE = /((?<=[一-鿿）]) )?\{(\d*)\}( (?=[一-鿿]))?/g

/** 填入的部分以汉字开头或结尾时，与旁边的汉字之间不留空格。 */
function filled(chinese: string, parts: string[], shown: (text: string, place: number) => string): string {
  let next = 0
  return chinese.replace(HOLE, (_, before = '', number = '', after = '') => {
    const place = number === '' ? next++ : Number(number) - 1
    const text = shown(parts[place] ?? '', place)
    return (/^[一-鿿（]/.test(text) ? '' : before) + text + (/[一-鿿）]$/.test(text) ? '' : after)
  })
}

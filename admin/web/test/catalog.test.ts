import { describe, expect, test } from 'vitest'
import { referenceSchema } from '../dev/reference'
import { unplaced } from '../src/form/layout'
import * as fieldsEn from '../src/form/words.en'
import * as fieldsZh from '../src/form/words.zh'
import { fill } from '../src/i18n'
import { en } from '../src/i18n/en'
import { frame } from '../src/i18n/en/frame'
import { pages } from '../src/i18n/en/pages'
import { zh } from '../src/i18n/zh'
import type { SchemaKey } from '../src/lib/types'

const values = (text: string) => [...text.matchAll(/\{(\w+)/g)].map((match) => match[1]).sort()

describe('the catalog of messages', () => {
  test('has the same keys in both languages, none empty', () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort())
    for (const text of [...Object.values(en), ...Object.values(zh)]) expect(text.trim()).not.toBe('')
  })

  test('has no key in two of its parts', () => {
    expect(Object.keys(frame).filter((key) => key in pages)).toEqual([])
  })

  test('shows the same values in both languages', () => {
    for (const key of Object.keys(en) as (keyof typeof en)[]) {
      expect(new Set(values(zh[key])), key).toEqual(new Set(values(en[key])))
    }
  })

  test('is translated: Chinese has Chinese in it, English has none', () => {
    const same = Object.keys(en).filter((key) => en[key as keyof typeof en] === zh[key as keyof typeof en])
    expect(same.sort()).toEqual(['col.app_id', 'explain.url', 'form.http2'])
    for (const [key, text] of Object.entries(en)) expect(/[一-鿿]/.test(text), key).toBe(false)
  })

  test('fills in values and chooses plurals', () => {
    expect(fill('{n:# node|# nodes} down', { n: 1 }, 'en')).toBe('1 node down')
    expect(fill('{n:# node|# nodes} down', { n: 1200 }, 'en')).toBe('1,200 nodes down')
    expect(fill('{n} 个节点', { n: 3 }, 'zh-CN')).toBe('3 个节点')
    expect(fill('to {id} and {other}', { id: '7' }, 'en')).toBe('to 7 and {other}')
  })
})

describe('the words of the configuration', () => {
  const schema = referenceSchema()
  const names = (keys: SchemaKey[], path: string): string[] =>
    keys.flatMap((key) => [`${path}.${key.name}`, ...names(key.keys ?? [], `${path}.${key.name}`)])

  test('cover every key of the schema in both languages, with a help text in Chinese', () => {
    const all = Object.entries(schema).flatMap(([kind, { keys }]) => names(keys, kind))
    expect(all.length).toBeGreaterThan(90)
    for (const name of all) {
      expect(Object.keys(fieldsEn.labels), name).toContain(name)
      expect(fieldsZh.labels[name as fieldsEn.LabelKey], name).toBeTruthy()
      expect(fieldsZh.help[name as fieldsEn.LabelKey], name).toBeTruthy()
    }
  })

  test('cover every choice', () => {
    const choices = (keys: SchemaKey[]): string[] =>
      keys.flatMap((key) => [...(key.choices ?? []).map((choice) => choice.value), ...choices(key.keys ?? [])])
    for (const word of Object.values(schema).flatMap(({ keys }) => choices(keys))) {
      expect(fieldsEn.choices[word], word).toBeTruthy()
      expect(fieldsZh.choices[word], word).toBeTruthy()
    }
  })

  test('every key of the schema has a place in its form by hand', () => {
    for (const kind of ['service', 'listener', 'tenant'] as const) {
      expect(unplaced(kind, schema[kind]!.keys), kind).toEqual([])
    }
  })

  test('a key that nobody has placed yet appears in the last section', () => {
    const later = { name: 'mirror', about: '', type: 'table', keys: [] }
    expect(unplaced('service', [...schema.service!.keys, later])).toEqual(['mirror'])
    const limits = schema.service!.keys.map((key) =>
      key.name === 'limits' ? { ...key, keys: [...key.keys!, { name: 'queue', about: '', type: 'integer' }] } : key,
    )
    expect(unplaced('service', limits)).toEqual(['limits.queue'])
  })
})

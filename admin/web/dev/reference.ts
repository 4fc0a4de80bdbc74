// The schema out of config/REFERENCE.md, in the shape of GET /schema: for the mock, and for the test that every key has its
// words.

import { readFileSync } from 'node:fs'
import type { Json, Schema, SchemaKey } from '../src/lib/types'

const KINDS = { listeners: 'listener', services: 'service', tenants: 'tenant', certificates: 'certificate' } as const

interface Section {
  about: string
  keys: SchemaKey[]
}

export function referenceSchema(): Schema {
  const page = readFileSync(new URL('../../../config/REFERENCE.md', import.meta.url), 'utf8')
  const sections = new Map<string, Section>()
  for (const part of page.split(/^## /m).slice(1)) {
    const heading = /^`\[+([a-z0-9_.]+)\]+`/.exec(part)?.[1]
    if (heading) sections.set(heading, section(part))
  }
  const nest = (path: string): SchemaKey[] =>
    (sections.get(path)?.keys ?? []).map((key) => {
      const inner = `${path}.${key.name}`
      return sections.has(inner) ? { ...key, keys: nest(inner) } : key
    })
  const schema: Schema = {}
  for (const [list, kind] of Object.entries(KINDS)) {
    const found = sections.get(list)
    if (found) schema[kind] = { about: found.about, keys: nest(list) }
  }
  return schema
}

function section(text: string): Section {
  const lines = text.split('\n')
  const about = lines.slice(1).find((line) => line && !line.startsWith('|')) ?? ''
  const keys = lines
    .filter((line) => line.startsWith('| `'))
    .map((line) => {
      const [name = '', type = '', value = '', ...rest] = line
        .slice(2, -2)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim().replaceAll('\\|', '|'))
      return key(name.replaceAll('`', ''), type, value, rest.join('|'))
    })
  return { about, keys }
}

function key(name: string, type: string, value: string, about: string): SchemaKey {
  const words = [...type.matchAll(/`"([^"]+)"`/g)].map((match) => match[1]!)
  const fallback: Json = value.startsWith('`') ? (JSON.parse(value.slice(1, -1)) as Json) : null
  return {
    name,
    about: words.length > 0 ? about.split(` \`"${words[0]}"\`:`)[0]! : about,
    type: words.length > 0 ? 'choice' : type,
    required: value === '**required**',
    default: fallback,
    ...(words.length > 0 ? { choices: words.map((word) => ({ value: word, about: '' })) } : {}),
  }
}

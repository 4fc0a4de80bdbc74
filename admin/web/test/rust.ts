// The texts in Rust sources: what a program that is built of them can say.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../../..')

export const source = (file: string) => readFileSync(join(ROOT, file), 'utf8')

/** All files at or below a path, relative to the repository; tests are none of them. */
export function rustFiles(path: string): string[] {
  if (!statSync(join(ROOT, path)).isDirectory()) return path.endsWith('.rs') ? [path] : []
  return readdirSync(join(ROOT, path))
    .filter((name) => name !== 'tests' && name !== 'tests.rs')
    .flatMap((name) => rustFiles(join(path, name)))
}

/** No text for people: attributes, what is logged, and what a program claims of itself. */
const SKIPPED = /#!?\[|\b(?:tracing::)?(?:trace|debug|info|warn|error|panic|unreachable|(?:debug_)?assert\w*)!\(/y
const TOKEN =
  /\/\/[^\n]*|\/\*.*?\*\/|b?r(#*)".*?"\1|b"(?:[^"\\]|\\.)*"|"((?:[^"\\]|\\.)*)"|b?'(?:[^'\\]|\\[^u]|\\u\{\w+\}|\\x\w\w)'|[()[\]{}]/sy

/** Each string of a file as it reads, with `{}` where a format puts something in. */
export function texts(file: string): string[] {
  const code = source(file).split(/\n#\[cfg\(test\)\]\n(?:pub )?mod /)[0] ?? ''
  const found: string[] = []
  // How many brackets are open since what is skipped began.
  let skipping = 0
  for (let at = 0; at < code.length; ) {
    SKIPPED.lastIndex = at
    const skipped = skipping === 0 && !/\w/.test(code[at - 1] ?? '') ? SKIPPED.exec(code) : null
    TOKEN.lastIndex = at
    const token = skipped ?? TOKEN.exec(code)
    at += token?.[0].length ?? 1
    if (skipped) skipping = 1
    else if (!token) continue
    else if (token[2] === undefined) skipping += skipping > 0 ? depth(token[0]) : 0
    else if (skipping === 0) found.push(read(token[2]))
  }
  return found
}

const depth = (bracket: string) => ('([{'.includes(bracket) ? 1 : ')]}'.includes(bracket) ? -1 : 0)

function read(literal: string): string {
  return literal
    .replace(/\\\n\s*/g, '')
    .replaceAll('\\n', '\n')
    .replace(/\\(["\\'])/g, '$1')
    .replace(/\{\{|\}\}|\{[^{}]*\}/g, (part) => (part === '{{' ? '{' : part === '}}' ? '}' : '{}'))
}

/** Whether it is more than a name: words with a space between them. */
export const isSaid = (text: string) => /[a-z]{2,}[,;:]? (?:\{\}|[a-z(])|(?:\{\}|[a-z)"]) [a-z]{2,}/.test(text)

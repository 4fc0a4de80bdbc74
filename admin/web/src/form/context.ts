// What every field of a form knows: the item as it stands, how to change it, what is wrong with it.

import { createContext } from 'preact'
import { useContext } from 'preact/hooks'
import { language, told } from '../i18n'
import type { Body, Detail, Json, Problem, SchemaKey } from '../lib/types'
import type { FormKind } from './layout'
import { get, type Path, pathText, schemaName } from './schema'
import type { LabelKey } from './words.en'
import * as en from './words.en'

export interface FormContext {
  kind: FormKind
  keys: SchemaKey[]
  body: Body
  change: (path: Path, value: Json | undefined) => void
  problems: Problem[]
  nodes?: Detail['nodes']
  readonly: boolean
  isNew: boolean
}

export const Form = createContext<FormContext>(null as unknown as FormContext)
export const useForm = () => useContext(Form)

interface Words {
  labels: Record<LabelKey, string>
  help: Partial<Record<LabelKey, string>>
  choices: Record<string, string>
}
let chinese: Words | null = null

/** Loaded with the first form, so that nobody else waits for it. */
export async function loadWords(): Promise<void> {
  if (language.value === 'zh' && !chinese) chinese = await import('./words.zh')
}

const words = (): Words => (language.value === 'zh' && chinese ? chinese : en)

export function label(kind: string, path: Path): string {
  const name = schemaName(kind, path)
  return words().labels[name as LabelKey] ?? String(path.at(-1) ?? name).replaceAll('_', ' ')
}

export function help(kind: string, path: Path, key: SchemaKey): string {
  return words().help[schemaName(kind, path) as LabelKey] ?? key.about
}

export function choice(value: string): string {
  return words().choices[value] ?? value
}

export function valueAt(form: FormContext, path: Path): Json | undefined {
  return get(form.body, path)
}

/** Messages for exactly this key, and for the elements of a list that is one field. */
export function errorsAt(form: FormContext, path: Path, elements = false): string[] {
  const key = pathText(path)
  return form.problems
    .filter((problem) => problem.key === key || (elements && problem.key.startsWith(`${key}[`)))
    .map((problem) => told(problem.message))
}

/** How many problems there are at or below. */
export function countBelow(problems: Problem[], key: string): number {
  return problems.filter((p) => p.key === key || p.key.startsWith(`${key}.`) || p.key.startsWith(`${key}[`)).length
}

// The message catalog. English is the type: a key that another language lacks does not compile, and neither does a key
// that nobody wrote. `{n:one|many}` chooses by plural rule, `#` in it is the number.

import { computed, effect, signal } from '@preact/signals'
import * as format from '../lib/format'
import type { en } from './en'

export type Messages = { [key in keyof typeof en]: string }
export type Key = keyof typeof en
export type Language = 'en' | 'zh'
type Values = Record<string, string | number>

export const LANGUAGES: Record<Language, string> = { en: 'English', zh: '中文' }

export const language = signal<Language>('en')
export const timezone = signal('UTC')
const messages = signal<Messages | null>(null)
/** What the server says in words, in the language; its own is English. */
const sentences = signal<(message: string) => string>((message) => message)

export const locale = computed<format.Locale>(() => ({
  tag: format.localeTag(language.value, typeof navigator === 'undefined' ? [] : navigator.languages),
  timezone: timezone.value,
}))

export function fill(text: string, values: Values, tag: string): string {
  return text.replace(/\{(\w+)(?::([^}]*))?\}/g, (whole, name: string, forms?: string) => {
    const value = values[name]
    if (value === undefined) return whole
    const shown = typeof value === 'number' ? format.integer(value, tag) : value
    if (forms === undefined) return shown
    const [one = '', many = one] = forms.split('|')
    const rule = new Intl.PluralRules(tag).select(Number(value))
    return (rule === 'one' ? one : many).replace('#', shown)
  })
}

export function t(key: Key, values?: Values): string {
  const text: string = messages.value?.[key] ?? key
  return values ? fill(text, values, locale.value.tag) : text
}

/** For words that the server sends (a cause, an action): the translation if there is one, its own word otherwise. */
export function word(prefix: string, value: string): string {
  const all = messages.value as Record<string, string> | null
  return all?.[`${prefix}.${value}`] ?? value.replaceAll('_', ' ')
}

/** Who did something: an account by its name, a token, or the process itself. */
export function actor(name: string): string {
  const [, kind, own = ''] = /^(admin|token):(.*)$/s.exec(name) ?? []
  if (kind === 'token') return t('actor.token', { name: own })
  if (kind === 'admin') return own
  return ['system', 'command line', 'unknown'].includes(name) ? word('actor', name) : name
}

/** For sentences that the server sends: what is wrong, why it refuses, what became of a request. */
export function told(message: string): string {
  return sentences.value(message)
}

const load: Record<Language, () => Promise<[Messages, (message: string) => string]>> = {
  en: async () => [(await import('./en')).en, (message) => message],
  zh: async () => {
    const [words, sentences] = await Promise.all([import('./zh'), import('./zh/told')])
    return [words.zh, sentences.told]
  },
}

export async function setLanguage(next: Language): Promise<void> {
  const [words, inLanguage] = await load[next]()
  messages.value = words
  sentences.value = inLanguage
  language.value = next
  localStorage.setItem('coregate.language', next)
}

export async function startLanguage(): Promise<void> {
  const kept = localStorage.getItem('coregate.language')
  const wanted = navigator.languages.some((tag) => tag.toLowerCase().startsWith('zh'))
  const first = navigator.languages[0]?.toLowerCase() ?? 'en'
  const guess = first.startsWith('zh') || (wanted && !first.startsWith('en')) ? 'zh' : 'en'
  await setLanguage(kept === 'en' || kept === 'zh' ? kept : guess)
  effect(() => {
    document.documentElement.lang = language.value === 'zh' ? 'zh-CN' : 'en'
  })
}

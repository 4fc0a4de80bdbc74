// Numbers, times and durations as the reader writes them. Times are shown in the zone that the server is configured for.

export interface Locale {
  tag: string
  timezone: string
}

/** The reader's own variant (en-GB) where it fits the chosen language, so that dates look as elsewhere on their machine. */
export function localeTag(language: 'en' | 'zh', preferred: readonly string[]): string {
  const fit = preferred.find((tag) => tag.toLowerCase().split('-')[0] === language)
  return fit ?? (language === 'zh' ? 'zh-CN' : 'en')
}

const cache = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat | Intl.RelativeTimeFormat>()

function numbers(tag: string, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = `n${tag}${JSON.stringify(options)}`
  let format = cache.get(key) as Intl.NumberFormat | undefined
  if (!format) {
    format = new Intl.NumberFormat(tag, options)
    cache.set(key, format)
  }
  return format
}

function dates(locale: Locale, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `d${locale.tag}${locale.timezone}${JSON.stringify(options)}`
  let format = cache.get(key) as Intl.DateTimeFormat | undefined
  if (!format) {
    try {
      format = new Intl.DateTimeFormat(locale.tag, { ...options, timeZone: locale.timezone })
    } catch {
      format = new Intl.DateTimeFormat(locale.tag, options)
    }
    cache.set(key, format)
  }
  return format
}

export const NONE = '–'

export function integer(value: number | null | undefined, tag: string): string {
  return value == null ? NONE : numbers(tag, { maximumFractionDigits: 0 }).format(value)
}

/** Three figures, so that a column of rates can be compared: 0.42, 18.3, 1,204, 1.2M. */
export function rate(value: number | null | undefined, tag: string): string {
  if (value == null) return NONE
  if (value >= 100_000) return numbers(tag, { notation: 'compact', maximumFractionDigits: 1 }).format(value)
  const digits = value === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2
  return numbers(tag, { maximumFractionDigits: digits }).format(value)
}

export function compact(value: number | null | undefined, tag: string): string {
  if (value == null) return NONE
  return value < 10_000
    ? integer(value, tag)
    : numbers(tag, { notation: 'compact', maximumFractionDigits: 1 }).format(value)
}

export function percent(share: number | null | undefined, tag: string): string {
  if (share == null) return NONE
  const digits = share === 0 || share >= 0.1 ? 0 : share >= 0.001 ? 2 : 3
  return numbers(tag, { style: 'percent', maximumFractionDigits: digits }).format(share)
}

/** Microseconds in the unit that leaves one to three figures before the point; the unit stands apart. */
export function micros(us: number | null | undefined, tag: string): { value: string; unit: string } {
  if (us == null) return { value: NONE, unit: '' }
  const [scaled, unit] = us < 1000 ? [us, 'µs'] : us < 1_000_000 ? [us / 1000, 'ms'] : [us / 1_000_000, 's']
  const digits = scaled >= 100 || unit === 'µs' ? 0 : scaled >= 10 ? 1 : 2
  return { value: numbers(tag, { maximumFractionDigits: digits }).format(scaled), unit }
}

export function dateTime(at: string | null | undefined, locale: Locale): string {
  if (!at) return NONE
  return dates(locale, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(at))
}

export function dateTimeExact(at: string | null | undefined, locale: Locale): string {
  if (!at) return NONE
  return dates(locale, { dateStyle: 'medium', timeStyle: 'long' }).format(new Date(at))
}

export function date(at: string | null | undefined, locale: Locale): string {
  if (!at) return NONE
  return dates(locale, { dateStyle: 'medium' }).format(new Date(at))
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
]

/** "3 minutes ago", for what is less than a week away; the date otherwise. */
export function ago(at: string | null | undefined, now: number, locale: Locale): string {
  if (!at) return NONE
  const seconds = Math.round((new Date(at).getTime() - now) / 1000)
  if (Math.abs(seconds) >= 7 * 86_400) return date(at, locale)
  const [unit, size] = STEPS.find(([, size]) => Math.abs(seconds) >= size) ?? ['second', 1]
  const key = `r${locale.tag}`
  let format = cache.get(key) as Intl.RelativeTimeFormat | undefined
  if (!format) {
    format = new Intl.RelativeTimeFormat(locale.tag, { numeric: 'auto' })
    cache.set(key, format)
  }
  return format.format(Math.trunc(seconds / size), unit)
}

/** What is left until a deadline: "4:05", "1:00:00"; never negative. */
export function countdown(until: string, now: number): string {
  const left = Math.max(0, Math.ceil((new Date(until).getTime() - now) / 1000))
  const pad = (n: number) => String(n).padStart(2, '0')
  const hours = Math.floor(left / 3600)
  const minutes = Math.floor((left % 3600) / 60)
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(left % 60)}` : `${minutes}:${pad(left % 60)}`
}

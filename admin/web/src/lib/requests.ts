// Sample requests as they are typed: one a line, `METHOD URL [client address]`, method and client may be left out.

import type { RouteText, SampleRequest } from './types'

const METHOD = /^[A-Z][A-Z-]*$/

export function parseRequests(text: string, client?: string): SampleRequest[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const parts = line.split(/\s+/)
      const method = parts[0] && METHOD.test(parts[0]) && parts.length > 1 ? parts.shift()! : 'GET'
      return { method, url: absolute(parts[0] ?? ''), client: parts[1] ?? client }
    })
}

/** `api.example.com/a` is meant as http; a path alone is left as it is. */
export function absolute(url: string): string {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(url) || url.startsWith('/') ? url : `http://${url}`
}

/** Lines of a log rather than of requests: each begins with `{` or with an address and a date in brackets. */
export function isAccessLog(text: string): boolean {
  const first = text.split('\n').find((line) => line.trim() !== '') ?? ''
  return first.trimStart().startsWith('{') || /^\S+ \S+ \S+ \[[^\]]+\] "/.test(first)
}

/** Lines of the combined format, which do not say which host was asked for. */
export function isWithoutHost(text: string): boolean {
  return isAccessLog(text) && !text.trimStart().startsWith('{')
}

/** A log that was chosen. */
export interface LogFile {
  name: string
  text: string
  lines: number
  /** Only its end. */
  cut: boolean
}

/** Bytes of a log that are compared: the API takes 32 MiB of JSON, in which quotes take two. */
export const LOG_BYTES_MAX = 16 << 20

/** Reads a log; of a very large one the newest lines, which are the ones that matter. */
export async function readLog(file: File): Promise<LogFile> {
  const cut = file.size > LOG_BYTES_MAX
  const end = await file.slice(Math.max(0, file.size - LOG_BYTES_MAX)).text()
  const text = cut ? end.slice(end.indexOf('\n') + 1) : end
  return { name: file.name, text, lines: text.split('\n').filter((line) => line.trim() !== '').length, cut }
}

/** A route in one line: methods, hosts, prefix. */
export function routeText(route: RouteText): string {
  const hosts = route.hosts.length > 0 ? route.hosts.join(', ') : '*'
  return [route.methods.join(','), `${hosts}${route.path_prefix}`].filter(Boolean).join(' ')
}

// What every page shares: the process's status, the live figures, the theme, short notices, the clock.

import { effect, signal } from '@preact/signals'
import { timezone } from '../i18n'
import { api, session } from './api'
import type { Figures, Status } from './types'

export const status = signal<Status | null>(null)
export const figures = signal<Figures | null>(null)
/** Requests a second of the last two minutes, oldest first, for the sparkline. */
export const recent = signal<(number | null)[]>([])
/** Whether live figures are coming in; `null` before the first attempt ends. */
export const connected = signal<boolean | null>(null)
/** Goes up when another revision came into force: lists load again. */
export const revisionSeen = signal(0)

const RECENT = 120

export async function loadStatus(): Promise<void> {
  const next = await api.get<Status>('/status')
  const before = status.value?.revision
  status.value = next
  timezone.value = next.timezone
  if (before !== undefined && before !== next.revision) revisionSeen.value++
}

/** The server-sent events, while somebody is logged in. The browser comes back by itself after most interruptions. */
export function startLive(): void {
  let source: EventSource | null = null
  const attempt = signal(0)
  effect(() => {
    const wanted = Boolean(session.value)
    attempt.value
    if (!wanted) {
      source?.close()
      source = null
      connected.value = null
      return
    }
    if (source) return
    const opened = new EventSource('/api/v1/live')
    source = opened
    opened.addEventListener('open', () => {
      connected.value = true
    })
    opened.addEventListener('error', () => {
      connected.value = false
      // An ended session looks like any error from here; asking once tells.
      loadStatus().catch(() => undefined)
      if (opened.readyState !== EventSource.CLOSED) return
      source = null
      setTimeout(() => {
        attempt.value++
      }, 3000)
    })
    opened.addEventListener('figures', (event) => {
      const next = JSON.parse(event.data) as Figures
      figures.value = next
      recent.value = [...recent.value.slice(1 - RECENT), next.qps]
      if (status.value && next.revision !== status.value.revision) loadStatus().catch(() => undefined)
    })
    opened.addEventListener('revision', () => {
      loadStatus().catch(() => undefined)
    })
  })
}

export interface Notice {
  id: number
  tone: 'good' | 'bad'
  text: string
}
export const notices = signal<Notice[]>([])
let lastNotice = 0

export function notify(text: string, tone: Notice['tone'] = 'good'): void {
  const id = ++lastNotice
  notices.value = [...notices.value.slice(-3), { id, tone, text }]
  setTimeout(() => dismiss(id), tone === 'good' ? 5000 : 12_000)
}

export function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id)
}

export type Theme = 'system' | 'light' | 'dark'
export const theme = signal<Theme>('system')

export function startTheme(): void {
  const kept = localStorage.getItem('coregate.theme')
  if (kept === 'light' || kept === 'dark') theme.value = kept
  effect(() => {
    if (theme.value === 'system') {
      delete document.documentElement.dataset.theme
      localStorage.removeItem('coregate.theme')
    } else {
      document.documentElement.dataset.theme = theme.value
      localStorage.setItem('coregate.theme', theme.value)
    }
  })
}

/** The time, each second, for countdowns and "3 minutes ago". */
export const now = signal(Date.now())

export function startClock(): void {
  setInterval(() => {
    now.value = Date.now()
  }, 1000)
}

// Made-up traffic for the mock.

import type { ServerResponse } from 'node:http'
import type { Flow } from '../src/lib/types'

const now = () => new Date().toISOString()
export const words = [
  'orders',
  'checkout',
  'catalog',
  'search',
  'accounts',
  'images',
  'payments',
  'reports',
  'mail',
  'stock',
]

const hour = () => new Date().getUTCHours()
export function flow(scope: Flow['scope'], name: string): Flow {
  const size = scope === 'site' ? 1 : 0.3
  const shape = (h: number) =>
    Math.round(size * (62_000 + 46_000 * Math.sin(((h - 8) / 24) * 2 * Math.PI) + 9000 * Math.sin(h * 2.3)))
  const today = Array.from({ length: 24 }, (_, h) =>
    h > hour() ? null : h === hour() ? Math.round(shape(h) * 0.6) : shape(h),
  )
  const yesterday = Array.from({ length: 24 }, (_, h) => (h === 5 ? null : Math.round(shape(h) * 0.86)))
  const sum = (list: (number | null)[]) => list.reduce<number>((a, b) => a + (b ?? 0), 0)
  return {
    scope,
    name,
    source: 'engines',
    timezone: 'UTC',
    requests_per_second: qps() * size,
    today: { date: now().slice(0, 10), requests: sum(today), hours: today },
    yesterday: { date: '', requests: sum(yesterday), hours: yesterday },
    at: now(),
  }
}
export const qps = () => 1180 + 160 * Math.sin(Date.now() / 9000) + Math.random() * 60
const latency = () => ({
  total: { p50: 3100 + Math.random() * 200, p90: 9000, p99: 41_000 + Math.random() * 3000, p999: 90_000 },
  own: { p50: 38 + Math.random() * 4, p90: 70, p99: 190 + Math.random() * 30, p999: 600 },
})
const instances = { up: 3, lagging: 1, refused: 0, gone: 0 }

export function overview() {
  const by = (names: string[]) =>
    names.map((name, i) => ({ name, requests_per_second: 400 / (i + 1), today: Math.round(410_000 / (i + 1.2)) }))
  return {
    services: 64,
    services_enabled: 60,
    tenants: 3,
    listeners: 3,
    instances,
    nodes: { up: 189, down: 1, unknown: 2 },
    down: [
      {
        service: 'catalog',
        address: '10.0.2.3:8080',
        instance: 'gw-1',
        why: 'connect: Connection refused (os error 111)',
      },
    ],
    qps: qps(),
    flow: flow('site', ''),
    latency_us: latency(),
    error_rate: 0.0031,
    answers: { '2xx': 1, '4xx': 2 },
    refused: { service: 4210, refused: 1730, tenant_rate: 212, no_route: 31 },
    by_service: by(words),
    by_tenant: by(['mobile', 'partner-blue', 'reporting']),
  }
}

export function live(response: ServerResponse, head: () => number) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  const send = () => {
    const services = words.map((name, i) => ({ name, qps: (400 / (i + 1)) * (0.9 + Math.random() * 0.2) }))
    const figures = {
      at: now(),
      qps: qps(),
      error_rate: 0.0031,
      latency_us: latency(),
      services,
      nodes_down: 1,
      instances,
      revision: head(),
      tenants: [],
      today: 0,
      hour: { hour: 0, requests: 0 },
    }
    response.write(`event: figures\ndata: ${JSON.stringify(figures)}\n\n`)
  }
  send()
  const timer = setInterval(send, 1000)
  response.on('close', () => clearInterval(timer))
}

// Which page an address shows, and the frame around it.

import type { ComponentType } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { t } from './i18n'
import { type ApiError, session } from './lib/api'
import { route } from './lib/router'
import { loadStatus } from './lib/state'
import { Login } from './pages/login'
import { Shell } from './shell'
import { Button, Callout, Empty, Failure, Spinner } from './ui/basics'

/** A page gets what follows its own segment: `#/services/orders` is `services` with `['orders']`. */
export interface PageProps {
  rest: string[]
}

type Load = () => Promise<{ Page: ComponentType<PageProps> }>

const PAGES: Record<string, Load> = {
  '': () => import('./pages/overview'),
  overview: () => import('./pages/overview'),
  services: () => import('./pages/services'),
  tenants: () => import('./pages/tenants'),
  listeners: () => import('./pages/listeners'),
  certificates: () => import('./pages/certificates'),
  instances: () => import('./pages/instances'),
  revisions: () => import('./pages/revisions'),
  draft: () => import('./pages/draft'),
  explain: () => import('./pages/explain'),
  audit: () => import('./pages/audit'),
  account: () => import('./pages/account'),
  transfer: () => import('./pages/transfer'),
}

/** Pages for those who are not logged in (yet). */
const PUBLIC: Record<string, Load> = {
  setup: () => import('./pages/setup'),
  'set-password': () => import('./pages/setup'),
}

export function App({ failure }: { failure: ApiError | null }) {
  const [first = '', ...rest] = route.value.path
  if (PUBLIC[first]) return <Lazy key={first} load={PUBLIC[first]} rest={route.value.path} />
  if (failure && session.value === undefined) return <Outage failure={failure} />
  if (!session.value) return <Login />
  return <Inside first={first} rest={rest} />
}

function Inside({ first, rest }: { first: string; rest: string[] }) {
  useEffect(() => {
    loadStatus().catch(() => undefined)
    const timer = setInterval(() => document.hidden || loadStatus().catch(() => undefined), 15_000)
    return () => clearInterval(timer)
  }, [])
  const load = PAGES[first]
  return (
    <Shell current={first || 'overview'}>{load ? <Lazy key={first} load={load} rest={rest} /> : <NotFound />}</Shell>
  )
}

const loaded = new Map<Load, ComponentType<PageProps>>()

function Lazy({ load, rest }: { load: Load; rest: string[] }) {
  const [Page, setPage] = useState<ComponentType<PageProps> | undefined>(() => loaded.get(load))
  const [failed, setFailed] = useState(false)
  useEffect(() => {
    if (Page) return
    load().then(
      (module) => {
        loaded.set(load, module.Page)
        setPage(() => module.Page)
      },
      // Files of another version after an upgrade: only a reload helps.
      () => setFailed(true),
    )
  }, [load])
  if (failed) {
    return (
      <Callout
        tone="warn"
        actions={
          <Button small onClick={() => location.reload()}>
            {t('reload')}
          </Button>
        }
      >
        {t('error.new_version')}
      </Callout>
    )
  }
  return Page ? <Page rest={rest} /> : <Spinner />
}

function NotFound() {
  return (
    <Empty icon="explain" title={t('not_found.title')} action={<a href="#/">{t('nav.overview')}</a>}>
      {t('not_found.text')}
    </Empty>
  )
}

/** Nobody knows who is here: the process or its database is away. */
function Outage({ failure }: { failure: ApiError }) {
  return (
    <main class="alone">
      <Failure error={failure} retry={() => location.reload()} />
    </main>
  )
}

// Services: a list that the server pages, searches and sorts; one service with its traffic, its nodes and its form.

import { useState } from 'preact/hooks'
import { DeleteButton } from '../form/delete'
import { ItemEditor } from '../form/editor'
import { actor, locale, t, told } from '../i18n'
import { type ApiError, api, may, seg } from '../lib/api'
import { integer, rate } from '../lib/format'
import { useList } from '../lib/list'
import { useEvery, useLoad } from '../lib/load'
import { go, href, route } from '../lib/router'
import { loadStatus, notify, revisionSeen } from '../lib/state'
import type { Body, Detail, Flow, Saved, ServiceSummary } from '../lib/types'
import {
  Ago,
  Badge,
  Card,
  Empty,
  errorText,
  Failure,
  LinkButton,
  PageHead,
  Segmented,
  Spinner,
  State,
  Switch,
  Tabs,
} from '../ui/basics'
import { DayChart } from '../ui/chart'
import { Pager, Search, Table } from '../ui/table'

export function Page({ rest }: { rest: string[] }) {
  const [name] = rest
  if (name === undefined) return route.value.query.has('new') ? <Create /> : <List />
  return <One key={name} name={name} />
}

const PER_PAGE = 25

function List() {
  const services = useList<ServiceSummary>('services', PER_PAGE, 'name')
  const { list, now, put } = services
  useEvery(5000, services.reload)
  const tag = locale.value.tag
  const create = may('operator') && (
    <LinkButton href="#/services?new=1" look="primary" icon="plus">
      {t('services.create')}
    </LinkButton>
  )
  return (
    <>
      <PageHead
        title={t('nav.services')}
        badges={list && <Badge>{integer(list.total, tag)}</Badge>}
        actions={create || undefined}
      />
      <Failure error={services.error} retry={services.reload} />
      {!list && !services.error && <Spinner />}
      {list && list.total === 0 && services.whole ? (
        <Empty icon="services" title={t('services.empty')} action={create}>
          {t('services.empty_text')}
        </Empty>
      ) : (
        list && (
          <>
            <div class="toolbar">
              <Search {...services.search} label={t('services.search')} />
              <Segmented
                label={t('services.filter')}
                value={now.enabled}
                onChange={(enabled) => put({ enabled })}
                options={[
                  { value: '', label: t('filter.all') },
                  { value: 'true', label: t('enabled') },
                  { value: 'false', label: t('disabled') },
                ]}
              />
            </div>
            {list.items.length === 0 ? (
              <Empty icon="search" title={t('search.none')}>
                {t('search.none_text')}
              </Empty>
            ) : (
              <Table
                caption={t('nav.services')}
                rows={list.items}
                rowKey={(row) => row.name}
                href={(row) => href(['services', row.name])}
                sort={now.sort}
                onSort={(sort) => put({ sort })}
                busy={services.busy && list.page !== now.page}
                columns={[
                  {
                    id: 'name',
                    head: t('col.name'),
                    sort: 'name',
                    cell: (row) => (
                      <>
                        {row.name}
                        {!row.enabled && <Badge>{t('disabled')}</Badge>}
                        <small class="only-narrow">
                          <Match row={row} />
                        </small>
                      </>
                    ),
                  },
                  { id: 'routes', head: t('col.routes'), minor: true, cell: (row) => <Match row={row} /> },
                  { id: 'nodes', head: t('col.nodes'), sort: 'nodes_down', cell: (row) => <Nodes row={row} /> },
                  {
                    id: 'qps',
                    head: t('col.qps'),
                    sort: 'requests_per_second',
                    number: true,
                    cell: (row) => rate(row.requests_per_second, tag),
                  },
                  {
                    id: 'changed',
                    head: t('col.changed'),
                    sort: 'changed_at',
                    minor: true,
                    cell: (row) => <Ago at={row.changed_at} />,
                  },
                ]}
              />
            )}
            <Pager {...services.pager} />
          </>
        )
      )}
    </>
  )
}

function Match({ row }: { row: ServiceSummary }) {
  if (row.kind === 'tcp') return <span class="muted">{t('services.tcp')}</span>
  const host = row.hosts[0] ?? t('services.any_host')
  const prefix = row.path_prefixes[0] ?? '/'
  const more = Math.max(row.hosts.length, row.path_prefixes.length, 1) - 1
  return (
    <span class="match">
      <span class="code">
        {host}
        {prefix !== '/' && <span class="muted">{prefix}</span>}
      </span>
      {more > 0 && <span class="muted"> +{more}</span>}
    </span>
  )
}

function Nodes({ row }: { row: ServiceSummary }) {
  const down = row.nodes_down ?? 0
  if (row.nodes === 0) return <State tone="neutral">{t('services.no_nodes')}</State>
  if (down > 0) return <State tone="bad">{t('services.nodes_down', { down, all: row.nodes })}</State>
  return (
    <State tone={row.nodes_down === null ? 'neutral' : 'good'}>
      {t(row.nodes_down === null ? 'services.nodes_all' : 'services.nodes', { n: row.nodes })}
    </State>
  )
}

const START: Body = { routes: [{}], nodes: [{}] }

function Create() {
  return (
    <>
      <PageHead title={t('services.new')} back={{ href: '#/services', label: t('nav.services') }} />
      <ItemEditor
        kind="service"
        start={START}
        onSaved={(saved, name) => go(saved.draft ? '#/draft' : href(['services', name]))}
      />
    </>
  )
}

function One({ name }: { name: string }) {
  const tab = route.value.query.get('tab') === 'form' ? 'form' : 'traffic'
  const loaded = useLoad((stop) => api.get<Detail>(`/services/${seg(name)}`, {}, stop), [name, revisionSeen.value])
  useEvery(3000, () => tab === 'traffic' && loaded.reload())
  const back = { href: '#/services', label: t('nav.services') }
  const detail = loaded.data
  if (!detail) {
    if (!loaded.error) return <Spinner />
    return (
      <>
        <PageHead title={name} back={back} />
        {loaded.error.status === 404 ? (
          <Empty icon="services" title={t('services.gone')}>
            {t('services.gone_text')}
          </Empty>
        ) : (
          <Failure error={loaded.error} retry={loaded.reload} />
        )}
      </>
    )
  }
  const body = detail.item.body
  const routes = Array.isArray(body.routes) ? body.routes.length : 0
  return (
    <>
      <PageHead
        title={name}
        back={back}
        about={String(body.description ?? '') || undefined}
        badges={
          <>
            <Badge>{routes > 0 ? 'HTTP' : 'TCP'}</Badge>
            {body.enabled === false && <Badge tone="warn">{t('disabled')}</Badge>}
          </>
        }
        actions={
          may('operator') && (
            <DeleteButton
              kind="service"
              name={name}
              version={detail.item.version}
              affects={t('services.affects', { n: routes })}
            />
          )
        }
      />
      <Tabs
        current={tab}
        tabs={[
          { id: 'traffic', label: t('services.traffic'), href: href(['services', name]) },
          { id: 'form', label: t('services.configuration'), href: href(['services', name], { tab: 'form' }) },
        ]}
      />
      <Failure error={loaded.error} retry={loaded.reload} />
      {tab === 'traffic' ? (
        <Traffic name={name} detail={detail} reload={loaded.reload} />
      ) : (
        <FormTab name={name} detail={detail} reload={loaded.reload} />
      )}
    </>
  )
}

/** The form keeps the version that it was opened with: what others do meanwhile shows when it is saved. */
function FormTab({ name, detail, reload }: { name: string; detail: Detail; reload: () => void }) {
  const [opened, setOpened] = useState(detail)
  const saved = async (answer: Saved, newName: string) => {
    if (answer.draft) {
      go('#/draft')
      return
    }
    if (newName !== name) {
      go(href(['services', newName], { tab: 'form' }))
      return
    }
    setOpened(await api.get<Detail>(`/services/${seg(name)}`))
    reload()
  }
  return <ItemEditor kind="service" detail={opened} onSaved={saved} />
}

function Traffic({ name, detail, reload }: { name: string; detail: Detail; reload: () => void }) {
  const flow = useLoad((stop) => api.get<Flow>('/flow', { scope: 'service', name }, stop), [name])
  useEvery(3000, flow.reload)
  const tag = locale.value.tag
  return (
    <>
      <Card
        title={t('services.requests')}
        actions={
          <span class="figures">
            <strong>{rate(flow.data?.requests_per_second, tag)}</strong>
            <span class="muted">{t('unit.per_second')}</span>
          </span>
        }
      >
        <Failure error={flow.error} />
        <DayChart flow={flow.data} />
      </Card>
      <NodesCard name={name} detail={detail} reload={reload} />
      <p class="muted foot">
        {t('changed_by', { who: actor(detail.changed_by) })} <Ago at={detail.changed_at} /> ·{' '}
        <a href={href(['revisions', detail.item.version])}>{t('revision_n', { id: String(detail.item.version) })}</a>
      </p>
    </>
  )
}

function NodesCard({ name, detail, reload }: { name: string; detail: Detail; reload: () => void }) {
  const nodes = detail.nodes ?? []
  const [busy, setBusy] = useState<string | null>(null)
  const tag = locale.value.tag
  const turn = async (address: string, enabled: boolean) => {
    setBusy(address)
    try {
      await api.patch(`/services/${seg(name)}/nodes/${seg(address)}`, { enabled })
      notify(enabled ? t('node.enabled', { address }) : t('node.disabled', { address }))
      loadStatus().catch(() => undefined)
    } catch (error) {
      notify(errorText(error as ApiError), 'bad')
    }
    setBusy(null)
    reload()
  }
  return (
    <Card title={t('form.nodes')}>
      {nodes.length === 0 ? (
        <p class="muted">{t('services.no_nodes_text')}</p>
      ) : (
        <Table
          caption={t('form.nodes')}
          rows={nodes}
          rowKey={(node) => node.address}
          columns={[
            { id: 'address', head: t('col.address'), cell: (node) => <span class="code">{node.address}</span> },
            { id: 'health', head: t('node.health'), cell: (node) => <Health node={node} /> },
            { id: 'weight', head: t('col.weight'), number: true, cell: (node) => integer(node.weight, tag) },
            {
              id: 'enabled',
              head: t('node.takes'),
              cell: (node) => (
                <Switch
                  label={t('node.switch', { address: node.address })}
                  hideLabel
                  checked={node.enabled}
                  disabled={!may('operator') || busy === node.address}
                  onChange={(on) => turn(node.address, on)}
                />
              ),
            },
          ]}
        />
      )}
    </Card>
  )
}

function Health({ node }: { node: NonNullable<Detail['nodes']>[number] }) {
  const down = node.health.filter((health) => health.state === 'down')
  const up = node.health.filter((health) => health.state === 'up')
  if (!node.enabled) return <State tone="neutral">{t('node.off')}</State>
  if (down.length > 0) {
    return (
      <div>
        <State tone="bad">
          {node.health.length > 1 ? t('node.down_at', { n: down.length, all: node.health.length }) : t('node.down')}
        </State>
        <ul class="plain-list muted small">
          {down.map((health) => (
            <li key={health.instance}>
              {node.health.length > 1 && <span class="code">{health.instance} </span>}
              {told(health.why ?? '')}
            </li>
          ))}
        </ul>
      </div>
    )
  }
  return <State tone={up.length > 0 ? 'good' : 'neutral'}>{up.length > 0 ? t('node.up') : t('node.unknown')}</State>
}

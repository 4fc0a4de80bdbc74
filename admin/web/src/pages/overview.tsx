// Four questions, answered without scrolling: is it healthy, how much, how fast, who.

import { locale, t, word } from '../i18n'
import { api, may } from '../lib/api'
import { compact, integer, micros, percent, rate } from '../lib/format'
import { useEvery, useLoad } from '../lib/load'
import { href } from '../lib/router'
import { figures, recent, revisionSeen } from '../lib/state'
import type { Figures, Flow, InstanceCounts, Latency, Overview } from '../lib/types'
import { Card, Empty, Failure, LinkButton, PageHead, Spinner, State } from '../ui/basics'
import { DayChart } from '../ui/chart'
import { BarList, Sparkline, Stat } from '../ui/figures'

export function Page() {
  const loaded = useLoad((stop) => api.get<Overview>('/overview', {}, stop), [revisionSeen.value])
  useEvery(10_000, loaded.reload)
  const all = loaded.data
  const live = figures.value
  if (!all) {
    return (
      <>
        <PageHead title={t('nav.overview')} />
        {loaded.error ? <Failure error={loaded.error} retry={loaded.reload} /> : <Spinner />}
      </>
    )
  }
  const instances = live?.instances ?? all.instances
  const nothing = all.services === 0 && instances.up + instances.lagging + instances.refused + instances.gone === 0
  return (
    <>
      <PageHead title={t('nav.overview')} badges={<Verdict all={all} live={live} instances={instances} />} />
      <Failure error={loaded.error} retry={loaded.reload} />
      {nothing ? <FirstSteps /> : <Answers all={all} live={live} instances={instances} />}
    </>
  )
}

interface Props {
  all: Overview
  live: Figures | null
  instances: InstanceCounts
}

function Verdict({ all, live, instances }: Props) {
  const down = live?.nodes_down ?? all.nodes.down
  const parts = [
    down > 0 && t('overview.nodes_down', { n: down }),
    instances.lagging > 0 && t('overview.lagging', { n: instances.lagging }),
    instances.refused > 0 && t('overview.refusing', { n: instances.refused }),
    instances.gone > 0 && t('overview.gone', { n: instances.gone }),
  ].filter(Boolean)
  if (instances.up + instances.lagging + instances.refused === 0) {
    return <State tone="neutral">{t('overview.no_engines')}</State>
  }
  return (
    <span role="status">
      {parts.length === 0 ? (
        <State tone="good">{t('overview.healthy')}</State>
      ) : (
        <State tone={down > 0 || instances.refused > 0 ? 'bad' : 'warn'}>{parts.join(' · ')}</State>
      )}
    </span>
  )
}

function FirstSteps() {
  return (
    <Empty
      icon="services"
      title={t('first.title')}
      action={
        may('operator') && (
          <p class="buttons">
            <LinkButton href="#/services?new=1" look="primary" icon="plus">
              {t('services.create')}
            </LinkButton>
            <LinkButton href="#/transfer" icon="upload">
              {t('transfer.import')}
            </LinkButton>
          </p>
        )
      }
    >
      {t('first.text')}
    </Empty>
  )
}

function Answers({ all, live, instances }: Props) {
  const tag = locale.value.tag
  const qps = live ? live.qps : all.qps
  const errors = live ? live.error_rate : all.error_rate
  const latency = live?.latency_us ?? all.latency_us
  const down = live?.nodes_down ?? all.nodes.down
  const behind = instances.lagging + instances.refused
  const engines = instances.up + behind
  return (
    <>
      <div class="stats">
        <Stat label={t('overview.qps')} value={rate(qps, tag)} unit={t('unit.per_second')}>
          <Sparkline values={recent.value} />
        </Stat>
        <Stat
          label={t('overview.errors')}
          value={percent(errors, tag)}
          tone={errors == null ? undefined : errors >= 0.05 ? 'bad' : errors >= 0.01 ? 'warn' : 'good'}
          note={t('overview.errors_note')}
        />
        <LatencyStat latency={latency} part="total" label={t('overview.latency')} note={t('overview.latency_note')} />
        <LatencyStat latency={latency} part="own" label={t('overview.own')} note={t('overview.own_note')} />
        <Stat
          label={t('overview.nodes')}
          value={integer(down, tag)}
          unit={t('overview.down_of', { n: integer(all.nodes.up + all.nodes.down + all.nodes.unknown, tag) })}
          tone={down > 0 ? 'bad' : 'good'}
          href={down > 0 ? '#/services?sort=-nodes_down' : '#/services'}
          note={all.down[0] ? `${all.down[0].service} · ${all.down[0].address}` : t('overview.nodes_note')}
        />
        <Stat
          label={t('overview.engines')}
          value={integer(instances.up, tag)}
          unit={t('overview.of', { n: integer(engines, tag) })}
          tone={instances.refused > 0 ? 'bad' : behind > 0 || instances.gone > 0 ? 'warn' : 'good'}
          href="#/instances"
          note={
            behind > 0
              ? t('overview.behind', { n: behind })
              : instances.gone > 0
                ? t('overview.gone', { n: instances.gone })
                : t('overview.current')
          }
        />
      </div>
      <Card title={t('overview.day')} class="day">
        <DayChart flow={flowNow(all.flow, live)} height={200} />
      </Card>
      <div class="thirds">
        <ByService all={all} live={live} />
        <ByTenant all={all} live={live} />
        <Refused all={all} />
      </div>
    </>
  )
}

/** The day's figures with the hour that goes on now, which comes in each second. */
function flowNow(flow: Flow, live: Figures | null): Flow {
  if (!live?.hour || live.today < flow.today.requests) return flow
  const hours = flow.today.hours.map((count, hour) => (hour === live.hour.hour ? live.hour.requests : count))
  return { ...flow, today: { ...flow.today, requests: live.today, hours } }
}

function LatencyStat({
  latency,
  part,
  label,
  note,
}: {
  latency: Latency | null
  part: 'total' | 'own'
  label: string
  note: string
}) {
  const tag = locale.value.tag
  const p50 = micros(latency?.[part]?.p50, tag)
  const p99 = micros(latency?.[part]?.p99, tag)
  return (
    <Stat
      label={label}
      value={
        <span class="pair">
          <span>
            <abbr title={t('overview.p50')}>p50</abbr> {p50.value}
            <small> {p50.unit}</small>
          </span>
          <span>
            <abbr title={t('overview.p99')}>p99</abbr> {p99.value}
            <small> {p99.unit}</small>
          </span>
        </span>
      }
      note={note}
    />
  )
}

const SHOWN = 5

function ByService({ all, live }: { all: Overview; live: Figures | null }) {
  const tag = locale.value.tag
  const now = new Map(live?.services.map((service) => [service.name, service.qps]))
  const rows = all.by_service.slice(0, SHOWN)
  const sum = Math.max(1, all.flow.today.requests)
  return (
    <Card title={t('overview.by_service')} about={t('overview.today_share')}>
      {rows.length === 0 ? (
        <p class="muted">{t('overview.no_traffic')}</p>
      ) : (
        <BarList
          items={rows.map((row) => ({
            id: row.name,
            label: row.name,
            href: href(['services', row.name]),
            size: row.today,
            value: (
              <>
                <span class="muted">
                  {rate(now.get(row.name) ?? row.requests_per_second, tag)}
                  {t('unit.per_second')}
                </span>{' '}
                {percent(Math.min(1, row.today / sum), tag)}
              </>
            ),
          }))}
        />
      )}
    </Card>
  )
}

function ByTenant({ all, live }: { all: Overview; live: Figures | null }) {
  const tag = locale.value.tag
  const now = new Map(live?.tenants?.map((tenant) => [tenant.name, tenant.qps]))
  const rows = all.by_tenant.slice(0, SHOWN)
  return (
    <Card title={t('overview.by_tenant')} about={t('overview.today_requests')}>
      {rows.length === 0 ? (
        <p class="muted">{t('overview.no_tenants')}</p>
      ) : (
        <BarList
          items={rows.map((row) => ({
            id: row.name,
            label: row.name,
            href: href(['tenants', row.name]),
            size: row.today,
            value: (
              <>
                <span class="muted">
                  {rate(now.get(row.name) ?? row.requests_per_second, tag)}
                  {t('unit.per_second')}
                </span>{' '}
                {compact(row.today, tag)}
              </>
            ),
          }))}
        />
      )}
    </Card>
  )
}

function Refused({ all }: { all: Overview }) {
  const tag = locale.value.tag
  const rows = Object.entries(all.refused)
    .filter(([, count]) => count > 0)
    .sort((a, b) => b[1] - a[1])
    .slice(0, SHOWN)
  return (
    <Card title={t('overview.refused')} about={t('overview.refused_note')}>
      {rows.length === 0 ? (
        <p class="muted">{t('overview.none_refused')}</p>
      ) : (
        <BarList
          tone="bad"
          items={rows.map(([cause, count]) => ({
            id: cause,
            label: word('cause', cause),
            size: count,
            value: compact(count, tag),
          }))}
        />
      )}
    </Card>
  )
}

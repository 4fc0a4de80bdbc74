// Engines: who runs what, and who lags.

import { useState } from 'preact/hooks'
import { locale, t, told } from '../i18n'
import { type ApiError, api, may, seg } from '../lib/api'
import { integer, rate } from '../lib/format'
import { useEvery, useLoad } from '../lib/load'
import { notify, revisionSeen } from '../lib/state'
import type { Instance } from '../lib/types'
import { Ago, Callout, Empty, errorText, Failure, IconButton, PageHead, Spinner, State, type Tone } from '../ui/basics'
import { Table } from '../ui/table'

const TONE: Record<Instance['state'], Tone> = { up: 'good', lagging: 'warn', refused: 'bad', gone: 'neutral' }

export function Page() {
  const loaded = useLoad((stop) => api.get<Instance[]>('/instances', {}, stop), [revisionSeen.value])
  useEvery(2000, loaded.reload)
  const list = loaded.data
  const refused = list?.filter((row) => row.refused) ?? []
  return (
    <>
      <PageHead title={t('nav.instances')} about={t('instances.about')} />
      <Failure error={loaded.error} retry={loaded.reload} />
      {!list && !loaded.error && <Spinner />}
      {list?.length === 0 && (
        <Empty icon="instances" title={t('instances.empty')} action={<Connect />}>
          {t('instances.empty_text')}
        </Empty>
      )}
      {refused.map((row) => (
        <Callout
          key={row.instance}
          tone="bad"
          title={t('instances.refused', { name: row.instance, id: String(row.refused!.revision) })}
        >
          <ul class="plain-list">
            {row.refused!.problems.map((problem, i) => (
              <li key={i}>
                <code>{problem.key}</code> {told(problem.message)}
              </li>
            ))}
          </ul>
        </Callout>
      ))}
      {list && list.length > 0 && <Rows list={list} reload={loaded.reload} />}
    </>
  )
}

function Connect() {
  return (
    <pre class="sample">{`[control]\nsource = "admin"\nadmin_url = "${location.origin}"\ntoken_file = "/etc/coregate/token"\ncache_path = "/var/lib/coregate/config.json"`}</pre>
  )
}

function Rows({ list, reload }: { list: Instance[]; reload: () => void }) {
  const tag = locale.value.tag
  return (
    <Table
      caption={t('nav.instances')}
      rows={list}
      rowKey={(row) => row.instance}
      columns={[
        {
          id: 'instance',
          head: t('col.instance'),
          cell: (row) => (
            <span class="two-lines">
              {row.instance}
              <small class="muted">
                {row.hostname !== row.instance && `${row.hostname} · `}
                {row.version} · {t('instances.shards', { n: row.shards })}
              </small>
            </span>
          ),
        },
        {
          id: 'state',
          head: t('col.state'),
          cell: (row) => <InstanceState row={row} />,
        },
        {
          id: 'revision',
          head: t('col.revision'),
          number: true,
          cell: (row) => (
            <>
              {integer(row.revision_applied, tag)}
              {row.revision_applied !== row.revision_head && (
                <span class="muted"> / {integer(row.revision_head, tag)}</span>
              )}
            </>
          ),
        },
        { id: 'qps', head: t('col.qps'), number: true, cell: (row) => rate(row.requests_per_second, tag) },
        {
          id: 'connections',
          head: t('col.connections'),
          number: true,
          minor: true,
          cell: (row) => integer(row.connections, tag),
        },
        {
          id: 'nodes',
          head: t('col.nodes_down'),
          number: true,
          minor: true,
          cell: (row) =>
            `${integer(row.nodes.down, tag)} / ${integer(row.nodes.up + row.nodes.down + (row.nodes.unknown ?? 0), tag)}`,
        },
        { id: 'started', head: t('col.started'), minor: true, cell: (row) => <Ago at={row.started_at} /> },
        { id: 'seen', head: t('col.seen'), minor: true, cell: (row) => <Ago at={row.last_seen_at} /> },
        {
          id: 'forget',
          head: '',
          number: true,
          cell: (row) => (row.state === 'gone' && may('operator') ? <Forget row={row} reload={reload} /> : null),
        },
      ]}
    />
  )
}

function InstanceState({ row }: { row: Instance }) {
  const waits = row.ready === false && row.state !== 'gone'
  return (
    <span class="two-lines">
      <State tone={waits ? 'warn' : TONE[row.state]}>{t(`instance.${row.state}`)}</State>
      {waits && <small class="muted">{row.not_ready ? told(row.not_ready) : t('instances.not_ready')}</small>}
    </span>
  )
}

function Forget({ row, reload }: { row: Instance; reload: () => void }) {
  const [busy, setBusy] = useState(false)
  return (
    <IconButton
      icon="trash"
      label={t('instances.forget', { name: row.instance })}
      busy={busy}
      onClick={async () => {
        setBusy(true)
        await api.delete(`/instances/${seg(row.instance)}`).catch((error: ApiError) => notify(errorText(error), 'bad'))
        setBusy(false)
        reload()
      }}
    />
  )
}

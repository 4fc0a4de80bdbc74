// Who did what, and from where.

import { useEffect, useState } from 'preact/hooks'
import { locale, t, word } from '../i18n'
import { api } from '../lib/api'
import { show } from '../lib/diff'
import { actor, dateTime } from '../lib/format'
import { useLoad, useSettled } from '../lib/load'
import { go, href, route } from '../lib/router'
import { revisionSeen } from '../lib/state'
import type { AuditEntry, Json, Page as PageOf } from '../lib/types'
import { Empty, Failure, PageHead, Spinner } from '../ui/basics'
import { Pager, Search, Table } from '../ui/table'

const PER_PAGE = 50

export function Page() {
  const search = route.value.query.get('search') ?? ''
  const page = Math.max(1, Number(route.value.query.get('page')) || 1)
  const put = (change: { search?: string; page?: number }) => {
    const next = { search, page: 1, ...change }
    go(href(['audit'], { search: next.search, page: next.page > 1 ? next.page : '' }), true)
  }
  const [typed, setTyped] = useState(search)
  const settled = useSettled(typed, 200)
  useEffect(() => {
    if (settled !== search) put({ search: settled })
  }, [settled])
  const loaded = useLoad(
    (stop) => api.get<PageOf<AuditEntry>>('/audit', { search, page, per_page: PER_PAGE }, stop),
    [search, page, revisionSeen.value],
  )
  const list = loaded.data
  return (
    <>
      <PageHead title={t('nav.audit')} about={t('audit.about')} />
      <div class="toolbar">
        <Search value={typed} onInput={setTyped} label={t('audit.search')} />
      </div>
      <Failure error={loaded.error} retry={loaded.reload} />
      {!list && !loaded.error && <Spinner />}
      {list?.items.length === 0 && (
        <Empty icon="audit" title={search ? t('search.none') : t('audit.empty')}>
          {search ? t('search.none_text') : t('audit.empty_text')}
        </Empty>
      )}
      {list && list.items.length > 0 && (
        <>
          <Table
            caption={t('nav.audit')}
            rows={list.items}
            rowKey={(row) => row.id}
            columns={[
              {
                id: 'at',
                head: t('col.when'),
                cell: (row) => (
                  <time class="nowrap" dateTime={row.at}>
                    {dateTime(row.at, locale.value)}
                  </time>
                ),
              },
              { id: 'actor', head: t('col.actor'), cell: (row) => actor(row.actor) },
              { id: 'action', head: t('col.action'), cell: (row) => word('audit', row.action) },
              { id: 'object', head: t('col.object'), cell: (row) => <ObjectLink object={row.object} /> },
              {
                id: 'detail',
                head: t('col.detail'),
                minor: true,
                cell: (row) => <span class="muted">{detail(row.detail)}</span>,
              },
              {
                id: 'from',
                head: t('col.from'),
                minor: true,
                cell: (row) => <span class="code nowrap">{row.address ?? ''}</span>,
              },
            ]}
          />
          <Pager page={page} perPage={PER_PAGE} total={list.total} onPage={(next) => put({ page: next })} />
        </>
      )}
    </>
  )
}

function ObjectLink({ object }: { object: string }) {
  const id = /^revision (\d+)$/.exec(object)?.[1]
  return id ? <a href={href(['revisions', id])}>{t('revision_n', { id })}</a> : <span>{object}</span>
}

function detail(value: Json): string {
  if (value === null || value === undefined) return ''
  if (typeof value !== 'object') return String(value)
  return Object.entries(value)
    .filter(([, inner]) => inner !== null && inner !== '')
    .map(([key, inner]) => `${key.replaceAll('_', ' ')}: ${show(inner)}`)
    .join(', ')
}

// Who did what, and from where.

import { locale, t, word } from '../i18n'
import { show } from '../lib/diff'
import { actor, dateTime } from '../lib/format'
import { useList } from '../lib/list'
import { href } from '../lib/router'
import type { AuditEntry, Json } from '../lib/types'
import { Empty, Failure, PageHead, Spinner } from '../ui/basics'
import { Pager, Search, Table } from '../ui/table'

const PER_PAGE = 50

export function Page() {
  const audit = useList<AuditEntry>('audit', PER_PAGE)
  const { list, whole } = audit
  return (
    <>
      <PageHead title={t('nav.audit')} about={t('audit.about')} />
      <div class="toolbar">
        <Search {...audit.search} label={t('audit.search')} />
      </div>
      <Failure error={audit.error} retry={audit.reload} />
      {!list && !audit.error && <Spinner />}
      {list?.items.length === 0 && (
        <Empty icon="audit" title={whole ? t('audit.empty') : t('search.none')}>
          {whole ? t('audit.empty_text') : t('search.none_text')}
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
          <Pager {...audit.pager} />
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

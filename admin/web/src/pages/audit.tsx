// Who did what, and from where.

import { actor, locale, t, told, word } from '../i18n'
import { isObject, show } from '../lib/diff'
import { dateTime } from '../lib/format'
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
                cell: (row) => <span class="muted">{detail(row)}</span>,
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
  if (id) return <a href={href(['revisions', id])}>{t('revision_n', { id })}</a>
  const [, kind, name = ''] = /^(admin|token|instance):(.*)$/s.exec(object) ?? []
  if (kind) return <span>{t(`object.${kind as 'admin'}`, { name })}</span>
  return <span>{object === 'account' || object === 'certificates' ? t(`object.${object}`) : actor(object)}</span>
}

function detail({ action, detail: value }: AuditEntry): string {
  if (value === null || value === undefined) return ''
  if (typeof value !== 'object' || Array.isArray(value)) return show(value)
  return Object.entries(value)
    .map(([key, inner]) => [key, whatChanged(action, key, inner)] as const)
    .filter(([, inner]) => inner !== '')
    .map(([key, inner]) => t('detail.pair', { key: word('detail', key), value: inner }))
    .join(' · ')
}

/** Nothing where nothing did. */
function whatChanged(action: string, key: string, value: Json): string {
  if (value === 'unchanged') return ''
  if (!isObject(value) || !('before' in value && 'after' in value)) return said(action, key, value)
  const [before, after] = [said(action, key, value.before), said(action, key, value.after)]
  return before === after ? '' : `${before} → ${after}`
}

function said(action: string, key: string, value: Json | undefined): string {
  if (key === 'enabled') return t(value ? 'enabled' : 'disabled')
  if (key === 'items' && Array.isArray(value)) return value.map((item) => ofKind(String(item))).join(', ')
  if (typeof value !== 'string') return show(value)
  if (key === 'role') return word('role', value)
  if (key === 'confirm_by' || key === 'expires_at') return dateTime(value, locale.value)
  // Whoever publishes says why in words of their own.
  if (key === 'message') return action === 'publish' ? value : told(value)
  return ['why', 'by', 'password'].includes(key) ? word(`detail.${key}`, value) : value
}

/** `service shop` */
function ofKind(item: string): string {
  const [kind = '', ...name] = item.split(' ')
  return `${word('kind', kind)} ${name.join(' ')}`
}

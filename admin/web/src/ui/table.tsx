// Tables whose rows are links, and the pages of a list that the server cuts.

import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { locale, t } from '../i18n'
import { integer } from '../lib/format'
import { Button } from './basics'
import { Icon } from './icon'

export interface Column<T> {
  id: string
  head: string
  cell: (row: T) => ComponentChildren
  /** Right-aligned with tabular figures; the unit stands in the head. */
  number?: boolean
  /** The server's name of the order; a column without cannot be sorted by. */
  sort?: string
  /** Left out on narrow screens. */
  minor?: boolean
}

export function Table<T>({
  caption,
  columns,
  rows,
  rowKey,
  href,
  sort,
  onSort,
  busy,
}: {
  caption: string
  columns: Column<T>[]
  rows: T[]
  rowKey: (row: T) => string | number
  href?: (row: T) => string
  sort?: string
  onSort?: (sort: string) => void
  busy?: boolean
}) {
  return (
    <div class={`table-wrap${busy ? ' busy' : ''}`}>
      <table>
        <caption class="unseen">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <Head key={column.id} column={column} sort={sort} onSort={onSort} />
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)} class={href ? 'link' : ''}>
              {columns.map((column, i) => {
                const content = column.cell(row)
                const classes = `${column.number ? 'number' : ''}${column.minor ? ' minor' : ''}`
                return i === 0 ? (
                  <th key={column.id} scope="row" class={classes}>
                    {href ? <a href={href(row)}>{content}</a> : content}
                  </th>
                ) : (
                  <td key={column.id} class={classes}>
                    {content}
                  </td>
                )
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Head<T>({ column, sort, onSort }: { column: Column<T>; sort?: string; onSort?: (sort: string) => void }) {
  const classes = `${column.number ? 'number' : ''}${column.minor ? ' minor' : ''}`
  if (!column.sort || !onSort) {
    return (
      <th scope="col" class={classes}>
        {column.head}
      </th>
    )
  }
  const down = sort === `-${column.sort}`
  const on = down || sort === column.sort
  const next = on ? (down ? column.sort : `-${column.sort}`) : column.number ? `-${column.sort}` : column.sort
  return (
    <th scope="col" class={classes} aria-sort={on ? (down ? 'descending' : 'ascending') : 'none'}>
      <button type="button" class="sort" onClick={() => onSort(next)}>
        {column.head}
        <span class={`sort-mark${on ? ' on' : ''}`} aria-hidden="true">
          <Icon name={on && !down ? 'up' : 'down'} size={12} />
        </span>
      </button>
    </th>
  )
}

export function Pager({
  page,
  perPage,
  total,
  onPage,
}: {
  page: number
  perPage: number
  total: number
  onPage: (page: number) => void
}) {
  const pages = Math.max(1, Math.ceil(total / perPage))
  if (total === 0) return null
  const tag = locale.value.tag
  const first = (page - 1) * perPage + 1
  return (
    <nav class="pager" aria-label={t('pages')}>
      <span class="muted">
        {t('pages.range', {
          first: integer(first, tag),
          last: integer(Math.min(total, page * perPage), tag),
          total: integer(total, tag),
        })}
      </span>
      {pages > 1 && (
        <span class="pager-buttons">
          <Button small disabled={page <= 1} onClick={() => onPage(page - 1)}>
            {t('pages.previous')}
          </Button>
          <span class="muted figures">{t('pages.of', { page: integer(page, tag), pages: integer(pages, tag) })}</span>
          <Button small disabled={page >= pages} onClick={() => onPage(page + 1)}>
            {t('pages.next')}
          </Button>
        </span>
      )}
    </nav>
  )
}

/** `/` goes there from anywhere on the page, as elsewhere. */
function useSlash(ref: { current: HTMLInputElement | null }) {
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      const at = event.target as HTMLElement
      if (event.key !== '/' || event.ctrlKey || event.metaKey || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) return
      event.preventDefault()
      ref.current?.focus()
    }
    document.addEventListener('keydown', key)
    return () => document.removeEventListener('keydown', key)
  }, [])
}

export function Search({ value, onInput, label }: { value: string; onInput: (text: string) => void; label: string }) {
  const ref = useRef<HTMLInputElement>(null)
  useSlash(ref)
  return (
    <div class="search">
      <Icon name="search" size={16} />
      <input
        ref={ref}
        type="search"
        aria-label={label}
        placeholder={label}
        value={value}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => onInput(event.currentTarget.value)}
      />
    </div>
  )
}

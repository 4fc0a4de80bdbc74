// A list that the server searches, sorts and pages. Its state stands in the address: it can be shared, and "back" works.

import { useEffect, useState } from 'preact/hooks'
import { api } from './api'
import { useLoad, useSettled } from './load'
import { go, href, route } from './router'
import { revisionSeen } from './state'
import type { Page } from './types'

/** What is asked for. */
export interface ListQuery {
  search: string
  page: number
  sort: string
  /** `true`, `false` or nothing. */
  enabled: string
}

/** Loads `/NAME` for the page `#/NAME`. `order` is that of lists that can be sorted, as long as nobody says otherwise. */
export function useList<T>(name: string, perPage: number, order = '') {
  const query = route.value.query
  const now: ListQuery = {
    search: query.get('search') ?? '',
    page: Math.max(1, Number(query.get('page')) || 1),
    sort: query.get('sort') ?? order,
    enabled: query.get('enabled') ?? '',
  }
  const put = (change: Partial<ListQuery>) => {
    const next = { ...now, page: 1, ...change }
    const sort = next.sort === order ? '' : next.sort
    go(href([name], { ...next, sort, page: next.page > 1 ? next.page : '' }), true)
  }
  const [typed, setTyped] = useState(now.search)
  const settled = useSettled(typed, 150)
  useEffect(() => {
    if (settled !== now.search) put({ search: settled })
  }, [settled])
  const loaded = useLoad(
    (stop) => api.get<Page<T>>(`/${name}`, { ...now, per_page: perPage }, stop),
    [now.search, now.page, now.sort, now.enabled, revisionSeen.value],
  )
  const list = loaded.data
  useEffect(() => {
    // What was on it is gone.
    if (list && list.items.length === 0 && list.total > 0) put({ page: Math.ceil(list.total / perPage) })
  }, [list])
  return {
    ...loaded,
    list,
    now,
    put,
    /** Nobody has asked for a part of it. */
    whole: now.search === '' && now.enabled === '',
    search: { value: typed, onInput: setTyped },
    pager: { page: now.page, perPage, total: list?.total ?? 0, onPage: (page: number) => put({ page }) },
  }
}

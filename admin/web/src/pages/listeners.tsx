// Listeners: the sockets of every engine.

import { useState } from 'preact/hooks'
import { DeleteButton } from '../form/delete'
import { ItemEditor } from '../form/editor'
import { actor, t } from '../i18n'
import { api, may, seg } from '../lib/api'
import { useList } from '../lib/list'
import { useLoad } from '../lib/load'
import { go, href, route } from '../lib/router'
import type { Detail, ListenerSummary, Saved } from '../lib/types'
import { Ago, Badge, Empty, Failure, LinkButton, PageHead, Spinner, Tabs } from '../ui/basics'
import { Pager, Search, Table } from '../ui/table'

export function ListenerTabs({ current }: { current: 'listeners' | 'certificates' }) {
  return (
    <Tabs
      current={current}
      tabs={[
        { id: 'listeners', label: t('nav.listeners'), href: '#/listeners' },
        { id: 'certificates', label: t('certificates.title'), href: '#/certificates' },
      ]}
    />
  )
}

export function Page({ rest }: { rest: string[] }) {
  const [name] = rest
  if (name === undefined) return route.value.query.has('new') ? <Create /> : <List />
  return <One key={name} name={name} />
}

const PER_PAGE = 50

function List() {
  const listeners = useList<ListenerSummary>('listeners', PER_PAGE)
  const { list } = listeners
  const create = may('operator') && (
    <LinkButton href="#/listeners?new=1" look="primary" icon="plus">
      {t('listeners.create')}
    </LinkButton>
  )
  return (
    <>
      <PageHead title={t('nav.listeners')} actions={create || undefined} />
      <ListenerTabs current="listeners" />
      <Failure error={listeners.error} retry={listeners.reload} />
      {!list && !listeners.error && <Spinner />}
      {list && list.total === 0 && listeners.whole && (
        <Empty icon="listeners" title={t('listeners.empty')} action={create}>
          {t('listeners.empty_text')}
        </Empty>
      )}
      {list && (list.total > PER_PAGE || !listeners.whole) && (
        <div class="toolbar">
          <Search {...listeners.search} label={t('listeners.search')} />
        </div>
      )}
      {list && list.total === 0 && !listeners.whole && (
        <Empty icon="search" title={t('search.none')}>
          {t('search.none_text')}
        </Empty>
      )}
      {list && list.items.length > 0 && (
        <Table
          caption={t('nav.listeners')}
          rows={list.items}
          rowKey={(row) => row.name}
          href={(row) => href(['listeners', row.name])}
          columns={[
            {
              id: 'name',
              head: t('col.name'),
              cell: (row) => (
                <>
                  {row.name}
                  {!row.enabled && <Badge>{t('disabled')}</Badge>}
                </>
              ),
            },
            { id: 'address', head: t('col.address'), cell: (row) => <span class="code">{row.address}</span> },
            { id: 'protocol', head: t('col.protocol'), cell: (row) => row.protocol.toUpperCase() },
            {
              id: 'to',
              head: t('col.goes_to'),
              minor: true,
              cell: (row) => row.service ?? (row.protocol === 'tcp' ? '' : t('listeners.by_routes')),
            },
            {
              id: 'certificates',
              head: t('certificates.title'),
              minor: true,
              cell: (row) => row.certificates.join(', '),
            },
          ]}
        />
      )}
      {list && list.total > PER_PAGE && <Pager {...listeners.pager} />}
    </>
  )
}

function Create() {
  return (
    <>
      <PageHead title={t('listeners.new')} back={{ href: '#/listeners', label: t('nav.listeners') }} />
      <ItemEditor kind="listener" onSaved={(saved, name) => go(saved.draft ? '#/draft' : href(['listeners', name]))} />
    </>
  )
}

function One({ name }: { name: string }) {
  const loaded = useLoad((stop) => api.get<Detail>(`/listeners/${seg(name)}`, {}, stop), [name])
  const detail = loaded.data
  const back = { href: '#/listeners', label: t('nav.listeners') }
  if (!detail) {
    return loaded.error ? (
      <>
        <PageHead title={name} back={back} />
        <Failure error={loaded.error} retry={loaded.reload} />
      </>
    ) : (
      <Spinner />
    )
  }
  return <Opened key={detail.item.version} name={name} detail={detail} reload={loaded.reload} back={back} />
}

function Opened({
  name,
  detail,
  reload,
  back,
}: {
  name: string
  detail: Detail
  reload: () => void
  back: { href: string; label: string }
}) {
  const [opened] = useState(detail)
  const body = opened.item.body
  const saved = (answer: Saved, newName: string) => {
    if (answer.draft) go('#/draft')
    else if (newName !== name) go(href(['listeners', newName]))
    else reload()
  }
  return (
    <>
      <PageHead
        title={name}
        back={back}
        about={
          <>
            {t('changed_by', { who: actor(opened.changed_by) })} <Ago at={opened.changed_at} />
          </>
        }
        badges={
          <>
            <Badge>{String(body.protocol ?? 'http').toUpperCase()}</Badge>
            {body.enabled === false && <Badge tone="warn">{t('disabled')}</Badge>}
          </>
        }
        actions={
          may('operator') && (
            <DeleteButton
              kind="listener"
              name={name}
              version={opened.item.version}
              affects={t('listeners.affects', { address: String(body.address ?? '') })}
            />
          )
        }
      />
      <ItemEditor kind="listener" detail={opened} onSaved={saved} />
    </>
  )
}

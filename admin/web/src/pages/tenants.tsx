// Tenants: callers with credentials and limits of their own. Their secret is seen once.

import { useState } from 'preact/hooks'
import { DeleteButton } from '../form/delete'
import { ItemEditor } from '../form/editor'
import { SecretDialog } from '../form/secret'
import { locale, t } from '../i18n'
import { ApiError, api, may, seg } from '../lib/api'
import { compact, integer, percent, rate } from '../lib/format'
import { useList } from '../lib/list'
import { useEvery, useLoad } from '../lib/load'
import { go, href, route } from '../lib/router'
import { loadStatus, revisionSeen } from '../lib/state'
import type { Detail, Flow, Saved, TenantSummary } from '../lib/types'
import { Badge, Button, Callout, Card, Dialog, Empty, Failure, LinkButton, PageHead, Spinner, Tabs } from '../ui/basics'
import { DayChart } from '../ui/chart'
import { Pager, Search, Table } from '../ui/table'

export function Page({ rest }: { rest: string[] }) {
  const [id] = rest
  if (id === undefined) return route.value.query.has('new') ? <Create /> : <List />
  return <One key={id} id={id} />
}

const PER_PAGE = 25

function List() {
  const tenants = useList<TenantSummary>('tenants', PER_PAGE, 'app_id')
  const { list, now, put } = tenants
  useEvery(5000, tenants.reload)
  const tag = locale.value.tag
  const create = may('operator') && (
    <LinkButton href="#/tenants?new=1" look="primary" icon="plus">
      {t('tenants.create')}
    </LinkButton>
  )
  return (
    <>
      <PageHead
        title={t('nav.tenants')}
        badges={list && <Badge>{integer(list.total, tag)}</Badge>}
        actions={create || undefined}
      />
      <Failure error={tenants.error} retry={tenants.reload} />
      {!list && !tenants.error && <Spinner />}
      {list && list.total === 0 && tenants.whole ? (
        <Empty icon="tenants" title={t('tenants.empty')} action={create}>
          {t('tenants.empty_text')}
        </Empty>
      ) : (
        list && (
          <>
            <div class="toolbar">
              <Search {...tenants.search} label={t('tenants.search')} />
            </div>
            {list.items.length === 0 ? (
              <Empty icon="search" title={t('search.none')}>
                {t('search.none_text')}
              </Empty>
            ) : (
              <Table
                caption={t('nav.tenants')}
                rows={list.items}
                rowKey={(row) => row.app_id}
                href={(row) => href(['tenants', row.app_id])}
                sort={now.sort}
                onSort={(sort) => put({ sort })}
                columns={[
                  {
                    id: 'id',
                    head: t('col.app_id'),
                    sort: 'app_id',
                    cell: (row) => (
                      <>
                        {row.app_id}
                        {!row.enabled && <Badge>{t('disabled')}</Badge>}
                      </>
                    ),
                  },
                  { id: 'name', head: t('col.name'), sort: 'name', cell: (row) => row.name },
                  {
                    id: 'limit',
                    head: t('col.limit_qps'),
                    number: true,
                    minor: true,
                    cell: (row) => (row.requests_per_second ? rate(row.requests_per_second, tag) : t('no_limit')),
                  },
                  {
                    id: 'now',
                    head: t('col.qps'),
                    sort: 'qps_now',
                    number: true,
                    cell: (row) => rate(row.qps_now, tag),
                  },
                  {
                    id: 'today',
                    head: t('col.today'),
                    sort: 'today',
                    number: true,
                    cell: (row) => (
                      <>
                        {compact(row.today, tag)}
                        {row.requests_per_day > 0 && row.today !== null && (
                          <span class="muted"> · {percent(row.today / row.requests_per_day, tag)}</span>
                        )}
                      </>
                    ),
                  },
                ]}
              />
            )}
            <Pager {...tenants.pager} />
          </>
        )
      )}
    </>
  )
}

function Create() {
  const [made, setMade] = useState<{ secret: string; name: string; draft: boolean } | null>(null)
  const leave = (name: string, draft: boolean) => go(draft ? '#/draft' : href(['tenants', name]))
  return (
    <>
      <PageHead
        title={t('tenants.new')}
        back={{ href: '#/tenants', label: t('nav.tenants') }}
        about={t('tenants.new_about')}
      />
      <ItemEditor
        kind="tenant"
        onSaved={(saved, name) => {
          if (saved.secret) setMade({ secret: saved.secret, name, draft: Boolean(saved.draft) })
          else leave(name, Boolean(saved.draft))
        }}
      />
      {made && (
        <SecretDialog
          title={t('secret.title', { name: made.name })}
          about={t('secret.once')}
          secret={made.secret}
          onClose={() => leave(made.name, made.draft)}
        />
      )}
    </>
  )
}

function One({ id }: { id: string }) {
  const tab = route.value.query.get('tab') === 'form' ? 'form' : 'traffic'
  const loaded = useLoad((stop) => api.get<Detail>(`/tenants/${seg(id)}`, {}, stop), [id, revisionSeen.value])
  const [rotating, setRotating] = useState(false)
  const detail = loaded.data
  const back = { href: '#/tenants', label: t('nav.tenants') }
  if (!detail) {
    return loaded.error ? (
      <>
        <PageHead title={id} back={back} />
        <Failure error={loaded.error} retry={loaded.reload} />
      </>
    ) : (
      <Spinner />
    )
  }
  const body = detail.item.body
  return (
    <>
      <PageHead
        title={id}
        back={back}
        about={String(body.name ?? '') || undefined}
        badges={body.enabled === false && <Badge tone="warn">{t('disabled')}</Badge>}
        actions={
          may('operator') && (
            <>
              <Button icon="key" onClick={() => setRotating(true)}>
                {t('tenants.rotate')}
              </Button>
              <DeleteButton kind="tenant" name={id} version={detail.item.version} affects={t('tenants.affects')} />
            </>
          )
        }
      />
      <Tabs
        current={tab}
        tabs={[
          { id: 'traffic', label: t('services.traffic'), href: href(['tenants', id]) },
          { id: 'form', label: t('services.configuration'), href: href(['tenants', id], { tab: 'form' }) },
        ]}
      />
      {tab === 'traffic' ? (
        <Traffic id={id} detail={detail} />
      ) : (
        <FormTab id={id} detail={detail} reload={loaded.reload} />
      )}
      {rotating && <Rotate id={id} onClose={() => setRotating(false)} />}
    </>
  )
}

function FormTab({ id, detail, reload }: { id: string; detail: Detail; reload: () => void }) {
  const [opened, setOpened] = useState(detail)
  const saved = async (answer: Saved, newId: string) => {
    if (answer.draft) go('#/draft')
    else if (newId !== id) go(href(['tenants', newId], { tab: 'form' }))
    else {
      setOpened(await api.get<Detail>(`/tenants/${seg(id)}`))
      reload()
    }
  }
  return <ItemEditor kind="tenant" detail={opened} onSaved={saved} />
}

function Traffic({ id, detail }: { id: string; detail: Detail }) {
  const flow = useLoad((stop) => api.get<Flow>('/flow', { scope: 'tenant', name: id }, stop), [id])
  useEvery(3000, flow.reload)
  const tag = locale.value.tag
  const perDay = Number(detail.item.body.requests_per_day ?? 0)
  const today = flow.data?.today.requests ?? 0
  return (
    <Card
      title={t('services.requests')}
      about={
        perDay > 0
          ? t('tenants.of_day', {
              used: integer(today, tag),
              all: integer(perDay, tag),
              share: percent(today / perDay, tag),
            })
          : undefined
      }
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
  )
}

function Rotate({ id, onClose }: { id: string; onClose: () => void }) {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const [secret, setSecret] = useState<string | null>(null)
  if (secret) {
    return (
      <SecretDialog
        title={t('secret.title', { name: id })}
        about={t('secret.once')}
        secret={secret}
        onClose={onClose}
      />
    )
  }
  const act = async () => {
    setBusy(true)
    try {
      const saved = await api.post<Saved>(`/tenants/${seg(id)}/secret`)
      loadStatus().catch(() => undefined)
      setSecret(saved.secret ?? '')
    } catch (cause) {
      setError(cause instanceof ApiError ? cause : new ApiError(0, 'unexpected', String(cause)))
      setBusy(false)
    }
  }
  return (
    <Dialog
      title={t('tenants.rotate_title', { name: id })}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{t('cancel')}</Button>
          <Button look="danger" busy={busy} onClick={act}>
            {t('tenants.rotate')}
          </Button>
        </>
      }
    >
      <Failure error={error} />
      <Callout tone="warn">{t('tenants.rotate_text')}</Callout>
    </Dialog>
  )
}

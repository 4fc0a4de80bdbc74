// Revisions: what changed, when, by whom; the difference between any two; the way back.

import { useState } from 'preact/hooks'
import { Deadline } from '../form/editor'
import { actor, locale, t, told, word } from '../i18n'
import { ApiError, api, may } from '../lib/api'
import { dateTime, integer } from '../lib/format'
import { useLoad } from '../lib/load'
import { go, href, route } from '../lib/router'
import { loadStatus, notify, revisionSeen, status } from '../lib/state'
import type { ItemDiff, Page as PageOf, Revision, RevisionDiff, RevisionState } from '../lib/types'
import {
  Ago,
  Badge,
  Button,
  Callout,
  Card,
  Dialog,
  Empty,
  Failure,
  Field,
  LinkButton,
  PageHead,
  Spinner,
  State,
  type Tone,
} from '../ui/basics'
import { DiffList } from '../ui/diff'
import { Pager, Table } from '../ui/table'

export function Page({ rest }: { rest: string[] }) {
  const id = Number(rest[0])
  return rest[0] !== undefined && Number.isInteger(id) ? <One key={id} id={id} /> : <List />
}

const PER_PAGE = 25
const TONE: Record<RevisionState, Tone> = {
  in_force: 'good',
  pending: 'warn',
  reverted: 'neutral',
  superseded: 'neutral',
}

function RevisionBadge({ state }: { state: RevisionState | undefined }) {
  return state ? <State tone={TONE[state]}>{t(`revision.${state}`)}</State> : null
}

function List() {
  const page = Math.max(1, Number(route.value.query.get('page')) || 1)
  const loaded = useLoad(
    (stop) => api.get<PageOf<Revision>>('/revisions', { page, per_page: PER_PAGE }, stop),
    [page, revisionSeen.value],
  )
  const tag = locale.value.tag
  const list = loaded.data
  return (
    <>
      <PageHead
        title={t('nav.revisions')}
        about={t('revisions.about')}
        actions={
          <>
            <LinkButton href="#/draft" icon="edit">
              {t('draft.title')}
            </LinkButton>
            <LinkButton href="#/transfer" icon="download">
              {t('transfer.title')}
            </LinkButton>
          </>
        }
      />
      <Failure error={loaded.error} retry={loaded.reload} />
      {!list && !loaded.error && <Spinner />}
      {list?.total === 0 && (
        <Empty icon="revisions" title={t('revisions.empty')}>
          {t('revisions.empty_text')}
        </Empty>
      )}
      {list && list.total > 0 && (
        <>
          <Table
            caption={t('nav.revisions')}
            rows={list.items}
            rowKey={(row) => row.id}
            href={(row) => href(['revisions', row.id])}
            columns={[
              {
                id: 'id',
                head: t('col.revision'),
                cell: (row) => <span class="figures">{integer(row.id, tag)}</span>,
              },
              { id: 'message', head: t('col.message'), cell: (row) => <Message row={row} /> },
              { id: 'author', head: t('col.author'), minor: true, cell: (row) => actor(row.author) },
              {
                id: 'changes',
                head: t('col.changes'),
                number: true,
                minor: true,
                cell: (row) => integer(row.changes, tag),
              },
              { id: 'at', head: t('col.when'), cell: (row) => <Ago at={row.at} /> },
              {
                id: 'state',
                head: t('col.state'),
                cell: (row) => row.state !== 'superseded' && <RevisionBadge state={row.state} />,
              },
            ]}
          />
          <Pager
            page={page}
            perPage={PER_PAGE}
            total={list.total}
            onPage={(next) => go(href(['revisions'], { page: next > 1 ? next : '' }), true)}
          />
        </>
      )}
    </>
  )
}

function Message({ row }: { row: Revision }) {
  const what = row.restores
    ? t(row.cause === 'revert' ? 'revisions.reverted_to' : 'revisions.back_to', { id: String(row.restores) })
    : row.cause === 'change'
      ? ''
      : word('revision_cause', row.cause)
  return (
    <span>
      {what && <Badge>{what}</Badge>}
      {said(row) || (!what && <span class="muted">{t('revisions.no_message')}</span>)}
    </span>
  )
}

/** What people wrote stays as it is; other revisions have a message of the server's unless somebody gave one. */
function said(row: Revision): string {
  return row.cause === 'change' ? row.message : told(row.message)
}

function One({ id }: { id: number }) {
  const against = route.value.query.get('against') ?? ''
  const [asking, setAsking] = useState(false)
  const loaded = useLoad(
    async (stop) => {
      const [revision, diff] = await Promise.all([
        api.get<Revision>(`/revisions/${id}`, {}, stop),
        api.get<RevisionDiff>(`/revisions/${id}/diff`, { against }, stop),
      ])
      return { revision, diff }
    },
    [id, against, revisionSeen.value],
  )
  const back = { href: '#/revisions', label: t('nav.revisions') }
  const title = t('revision_n', { id: String(id) })
  if (!loaded.data) {
    return loaded.error ? (
      <>
        <PageHead title={title} back={back} />
        <Failure error={loaded.error} retry={loaded.reload} />
      </>
    ) : (
      <Spinner />
    )
  }
  const { revision, diff } = loaded.data
  const head = status.value?.revision
  return (
    <>
      <PageHead
        title={title}
        back={back}
        badges={<RevisionBadge state={revision.state} />}
        about={
          <>
            {revision.message && <>{said(revision)} · </>}
            {actor(revision.author)} · {dateTime(revision.at, locale.value)}
          </>
        }
        actions={
          may('operator') &&
          id !== head && (
            <Button icon="revisions" onClick={() => setAsking(true)}>
              {t('revisions.go_back')}
            </Button>
          )
        }
      />
      <div class="toolbar">
        <Against id={id} against={against} />
      </div>
      <Failure error={loaded.error} retry={loaded.reload} />
      <DiffCards changes={diff.changes} more={diff.more} />
      {asking && head !== undefined && <Rollback id={id} head={head} onClose={() => setAsking(false)} />}
    </>
  )
}

/** Any two: by default with the one before. */
function Against({ id, against }: { id: number; against: string }) {
  const head = status.value?.revision ?? id
  const [typed, setTyped] = useState(against)
  const choose = (value: string) => {
    setTyped(value)
    const other = Number(value)
    const known = Number.isInteger(other) && other >= 0 && other <= head
    if (known) go(href(['revisions', id], { against: value.trim() }), true)
  }
  return (
    <Field label={t('revisions.compare')} help={t('revisions.compare_help', { id: String(head) })}>
      {(ids) => (
        <input
          {...ids}
          type="text"
          class="figures"
          inputMode="numeric"
          value={typed}
          placeholder={t('revisions.parent')}
          onInput={(event) => choose(event.currentTarget.value)}
        />
      )}
    </Field>
  )
}

const ACTION_TONE: Record<ItemDiff['action'], Tone> = { create: 'good', update: 'accent', delete: 'bad' }

function DiffCards({ changes, more }: { changes: ItemDiff[]; more: number }) {
  if (changes.length === 0) {
    return (
      <Empty icon="check" title={t('diff.none')}>
        {t('diff.none_text')}
      </Empty>
    )
  }
  return (
    <>
      {changes.map((change) => (
        <Card
          key={`${change.kind}/${change.name}`}
          title={
            <>
              <span class="muted">{t(`kind.${change.kind}`)}</span> {change.name}
            </>
          }
          actions={<Badge tone={ACTION_TONE[change.action]}>{t(`action.${change.action}`)}</Badge>}
        >
          <DiffList paths={change.paths} more={change.more_paths} />
        </Card>
      ))}
      {more > 0 && (
        <Callout tone="neutral" title={t('and_more', { n: integer(more, locale.value.tag) })}>
          {t('diff.more_text', { n: changes.length })}
        </Callout>
      )}
    </>
  )
}

function Rollback({ id, head, onClose }: { id: number; head: number; onClose: () => void }) {
  const [message, setMessage] = useState('')
  const [deadline, setDeadline] = useState(0)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const diff = useLoad((stop) => api.get<RevisionDiff>(`/revisions/${id}/diff`, { against: head }, stop), [id, head])
  const act = async () => {
    setBusy(true)
    setError(null)
    try {
      const made = await api.post<Revision>(`/revisions/${id}/rollback`, {
        message: message || undefined,
        confirm_within_seconds: deadline || undefined,
      })
      await loadStatus().catch(() => undefined)
      notify(t('revisions.rolled_back', { id: String(id), to: String(made.id) }))
      onClose()
      go(href(['revisions', made.id]))
    } catch (cause) {
      setError(cause instanceof ApiError ? cause : new ApiError(0, 'unexpected', String(cause)))
      setBusy(false)
    }
  }
  const changes = diff.data?.changes
  const total = (changes?.length ?? 0) + (diff.data?.more ?? 0)
  return (
    <Dialog
      title={t('revisions.go_back_title', { id: String(id) })}
      wide
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{t('cancel')}</Button>
          <Button look="danger" busy={busy} disabled={changes?.length === 0} onClick={act}>
            {t('revisions.go_back')}
          </Button>
        </>
      }
    >
      <Failure error={error} />
      {!changes && !diff.error && <Spinner />}
      {changes && (
        <Callout tone={changes.length ? 'warn' : 'neutral'} title={t('revisions.will_change', { n: total })}>
          <ul class="plain-list">
            {changes.slice(0, 8).map((change) => (
              <li key={`${change.kind}/${change.name}`}>
                {t(`kind.${change.kind}`)} <strong>{change.name}</strong>: {t(`action.${change.action}`)}
              </li>
            ))}
            {total > 8 && <li>{t('and_more', { n: total - 8 })}</li>}
          </ul>
          <p>{t('revisions.undo')}</p>
        </Callout>
      )}
      <div class="fields">
        <Field label={t('save.message')} optional wide>
          {(ids) => (
            <input {...ids} type="text" value={message} onInput={(event) => setMessage(event.currentTarget.value)} />
          )}
        </Field>
        <Deadline value={deadline} onChange={setDeadline} />
      </div>
    </Dialog>
  )
}

// The draft: several changes that come into force together. Checked, compared on sample requests, then published.

import { useState } from 'preact/hooks'
import { Deadline, LIST } from '../form/editor'
import { actor, t, told } from '../i18n'
import { type ApiError, api, may, seg } from '../lib/api'
import { diff } from '../lib/diff'
import { useLoad } from '../lib/load'
import { go, href } from '../lib/router'
import { loadStatus, notify, revisionSeen } from '../lib/state'
import type { Detail, Draft, PathChange, Revision } from '../lib/types'
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
  IconButton,
  PageHead,
  Spinner,
  type Tone,
} from '../ui/basics'
import { DiffList } from '../ui/diff'
import { Compare } from './compare'

type DraftChange = Draft['changes'][number]

export function Page() {
  const loaded = useLoad((stop) => api.get<Draft>('/draft', {}, stop), [revisionSeen.value])
  const [publishing, setPublishing] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const draft = loaded.data
  const back = { href: '#/revisions', label: t('nav.revisions') }
  const changed = async (act: () => Promise<unknown>, said: string) => {
    setError(null)
    try {
      await act()
      notify(said)
    } catch (cause) {
      setError(cause as ApiError)
    }
    loadStatus().catch(() => undefined)
    loaded.reload()
  }
  const without = (gone: DraftChange) =>
    changed(
      () =>
        api.put('/draft', {
          changes: (draft?.changes ?? [])
            .filter((change) => change !== gone)
            .map(({ kind, name, body, based_on }) => ({ kind, name, body, based_on })),
        }),
      t('draft.taken_out', { name: gone.name }),
    )
  if (!draft) {
    return loaded.error ? <Failure error={loaded.error} retry={loaded.reload} /> : <Spinner />
  }
  const empty = draft.changes.length === 0
  const ready = draft.problems.length === 0 && draft.conflicts.length === 0
  return (
    <>
      <PageHead
        title={t('draft.title')}
        back={back}
        about={
          empty ? undefined : (
            <>
              {t('draft.based_on', { id: String(draft.base_revision) })}
              {draft.updated_at && (
                <>
                  {' · '}
                  <Ago at={draft.updated_at} />
                </>
              )}
            </>
          )
        }
        badges={
          !empty && (
            <Badge tone={ready ? 'good' : 'bad'} icon>
              {ready ? t('draft.ready') : t('draft.not_ready')}
            </Badge>
          )
        }
        actions={
          !empty &&
          may('operator') && (
            <>
              <Button icon="trash" onClick={() => changed(() => api.delete('/draft'), t('draft.discarded'))}>
                {t('draft.discard')}
              </Button>
              <Button look="primary" disabled={!ready} onClick={() => setPublishing(true)}>
                {t('save.now')}
              </Button>
            </>
          )
        }
      />
      <Failure error={error ?? loaded.error} />
      {empty ? (
        <Empty icon="edit" title={t('draft.empty')} action={<a href="#/services">{t('nav.services')}</a>}>
          {t('draft.empty_text')}
        </Empty>
      ) : (
        <>
          <Troubles draft={draft} />
          {draft.changes.map((change) => (
            <ChangeCard key={`${change.kind}/${change.name}`} change={change} onRemove={() => without(change)} />
          ))}
          <Compare />
        </>
      )}
      {publishing && <Publish n={draft.changes.length} onClose={() => setPublishing(false)} onFailed={loaded.reload} />}
    </>
  )
}

function Troubles({ draft }: { draft: Draft }) {
  return (
    <>
      {draft.conflicts.length > 0 && (
        <Callout tone="warn" title={t('draft.conflicts')}>
          <ul class="plain-list">
            {draft.conflicts.map((conflict) => (
              <li key={`${conflict.kind}/${conflict.name}`}>
                <a href={href([LIST[conflict.kind], conflict.name], { tab: 'form' })}>{conflict.name}</a>{' '}
                {t('conflict.changed', { who: actor(conflict.changed_by) })} <Ago at={conflict.changed_at} />
              </li>
            ))}
          </ul>
        </Callout>
      )}
      {draft.problems.length > 0 && (
        <Callout tone="bad" title={t('form.problems', { n: draft.problems.length })}>
          <ul class="plain-list">
            {draft.problems.map((problem, i) => (
              <li key={i}>
                {problem.name} <code>{problem.key}</code> {told(problem.message)}
              </li>
            ))}
          </ul>
        </Callout>
      )}
    </>
  )
}

const TONE: Record<DraftChange['action'], Tone> = { create: 'good', update: 'accent', delete: 'bad' }

function ChangeCard({ change, onRemove }: { change: DraftChange; onRemove: () => void }) {
  const before = useLoad<PathChange[]>(
    async (stop) => {
      const body =
        change.action === 'create'
          ? undefined
          : (await api.get<Detail>(`/${LIST[change.kind]}/${seg(change.name)}`, {}, stop)).item.body
      return change.body ? diff(body ?? {}, change.body) : []
    },
    [JSON.stringify(change)],
  )
  return (
    <Card
      title={
        <>
          <span class="muted">{t(`kind.${change.kind}`)}</span> {change.name}
        </>
      }
      actions={
        <>
          <Badge tone={TONE[change.action]}>{t(`action.${change.action}`)}</Badge>
          {may('operator') && (
            <IconButton icon="close" label={t('draft.take_out', { name: change.name })} onClick={onRemove} />
          )}
        </>
      }
    >
      {change.action === 'delete' ? (
        <p class="muted">{t('draft.will_delete')}</p>
      ) : (
        before.data && <DiffList paths={before.data} />
      )}
    </Card>
  )
}

function Publish({ n, onClose, onFailed }: { n: number; onClose: () => void; onFailed: () => void }) {
  const [message, setMessage] = useState('')
  const [deadline, setDeadline] = useState(0)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const act = async () => {
    setBusy(true)
    setError(null)
    try {
      const made = await api.post<Revision>('/draft/publish', {
        message,
        confirm_within_seconds: deadline || undefined,
      })
      await loadStatus().catch(() => undefined)
      notify(t('draft.published', { id: String(made.id) }))
      onClose()
      go(href(['revisions', made.id]))
    } catch (cause) {
      setError(cause as ApiError)
      setBusy(false)
      onFailed()
    }
  }
  return (
    <Dialog
      title={t('draft.publish_title', { n })}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{t('cancel')}</Button>
          <Button look="primary" busy={busy} onClick={act}>
            {t('save.now')}
          </Button>
        </>
      }
    >
      <Failure error={error} />
      <p>{t('draft.publish_text')}</p>
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

// Deleting names what goes with it, and says how it can be undone.

import { useState } from 'preact/hooks'
import { t, told } from '../i18n'
import { ApiError, api, seg } from '../lib/api'
import { go, href } from '../lib/router'
import { loadStatus, notify } from '../lib/state'
import type { Kind } from '../lib/types'
import { Button, Callout, Dialog, Failure, Field, Segmented } from '../ui/basics'
import { Impact, LIST } from './editor'

export function DeleteButton({
  kind,
  name,
  version,
  affects,
}: {
  kind: Kind
  name: string
  version: number
  affects: string
}) {
  const [open, setOpen] = useState(false)
  return (
    <>
      <Button icon="trash" onClick={() => setOpen(true)}>
        {t('delete')}
      </Button>
      {open && <Ask kind={kind} name={name} version={version} affects={affects} onClose={() => setOpen(false)} />}
    </>
  )
}

function Ask({
  kind,
  name,
  version,
  affects,
  onClose,
}: {
  kind: Kind
  name: string
  version: number
  affects: string
  onClose: () => void
}) {
  const [message, setMessage] = useState('')
  const [where, setWhere] = useState<'publish' | 'draft'>('publish')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const act = async () => {
    setBusy(true)
    setError(null)
    try {
      const draft = where === 'draft'
      await api.delete(`/${LIST[kind]}/${seg(name)}`, { version, message, draft: draft || undefined })
      await loadStatus().catch(() => undefined)
      notify(draft ? t('save.in_draft') : t('deleted', { name }))
      go(draft ? '#/draft' : href([LIST[kind]]))
    } catch (cause) {
      setError(cause instanceof ApiError ? cause : new ApiError(0, 'unexpected', String(cause)))
      setBusy(false)
    }
  }
  return (
    <Dialog
      title={t('delete.title', { name })}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{t('cancel')}</Button>
          <Button look={where === 'draft' ? 'primary' : 'danger'} busy={busy} onClick={act}>
            {where === 'draft' ? t('save.to_draft') : t('delete')}
          </Button>
        </>
      }
    >
      <Failure error={error} />
      {error && error.problems.length > 0 && (
        <ul>
          {error.problems.map((problem, i) => (
            <li key={i}>
              {problem.name} <code>{problem.key}</code> {told(problem.message)}
            </li>
          ))}
        </ul>
      )}
      <Callout tone="warn">
        <p>{affects}</p>
        {(kind === 'service' || kind === 'tenant') && <Impact scope={kind} name={name} />}
        <p>{t('delete.undo')}</p>
      </Callout>
      <div class="fields">
        <Field label={t('save.message')} optional wide>
          {(ids) => (
            <input {...ids} type="text" value={message} onInput={(event) => setMessage(event.currentTarget.value)} />
          )}
        </Field>
        <Segmented
          label={t('save.where')}
          value={where}
          onChange={setWhere}
          options={[
            { value: 'publish', label: t('save.publish') },
            { value: 'draft', label: t('save.draft') },
          ]}
        />
      </div>
    </Dialog>
  )
}

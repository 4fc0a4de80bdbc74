// The tokens of scripts and engines, for role admin.

import { useState } from 'preact/hooks'
import { SecretDialog } from '../form/secret'
import { actor, t } from '../i18n'
import { ApiError, api } from '../lib/api'
import { useLoad } from '../lib/load'
import { notify } from '../lib/state'
import type { Page as PageOf, Token } from '../lib/types'
import { Ago, Button, Card, Dialog, Empty, errorText, Failure, Field, IconButton, Spinner } from '../ui/basics'
import { Table } from '../ui/table'
import { items, RoleField } from './roles'

export function Tokens() {
  const loaded = useLoad((stop) => api.get<Token[] | PageOf<Token>>('/tokens', {}, stop), [])
  const [adding, setAdding] = useState(false)
  const [made, setMade] = useState<{ name: string; token: string } | null>(null)
  const list = loaded.data && items(loaded.data)
  const add = (
    <Button icon="plus" onClick={() => setAdding(true)}>
      {t('tokens.add')}
    </Button>
  )
  const revoke = async (row: Token) => {
    if (!window.confirm(t('tokens.revoke_ask', { name: row.name }))) return
    await api.delete(`/tokens/${row.id}`).catch((error: ApiError) => notify(errorText(error), 'bad'))
    loaded.reload()
  }
  return (
    <Card title={t('account.tokens')} about={t('tokens.about')} actions={list && list.length > 0 && add}>
      <Failure error={loaded.error} retry={loaded.reload} />
      {!list && !loaded.error && <Spinner />}
      {list?.length === 0 && (
        <Empty icon="key" title={t('tokens.empty')} action={add}>
          {t('tokens.empty_text')}
        </Empty>
      )}
      {list && list.length > 0 && (
        <Table
          caption={t('account.tokens')}
          rows={list}
          rowKey={(row) => row.id}
          columns={[
            { id: 'name', head: t('col.name'), cell: (row) => row.name },
            { id: 'role', head: t('account.role'), cell: (row) => t(`role.${row.role}`) },
            { id: 'by', head: t('tokens.by'), minor: true, cell: (row) => actor(row.created_by) },
            { id: 'used', head: t('tokens.used'), cell: (row) => <Ago at={row.last_used_at} /> },
            { id: 'until', head: t('tokens.expires'), minor: true, cell: (row) => <Ago at={row.expires_at} /> },
            {
              id: 'revoke',
              head: '',
              number: true,
              cell: (row) => (
                <IconButton icon="trash" label={t('tokens.revoke', { name: row.name })} onClick={() => revoke(row)} />
              ),
            },
          ]}
        />
      )}
      {adding && (
        <TokenDialog
          onClose={() => setAdding(false)}
          onDone={(token) => {
            setAdding(false)
            setMade(token)
            loaded.reload()
          }}
        />
      )}
      {made && (
        <SecretDialog
          title={t('tokens.title', { name: made.name })}
          about={t('tokens.once')}
          secret={made.token}
          onClose={() => setMade(null)}
        />
      )}
    </Card>
  )
}

const LIFETIMES = [0, 30, 90, 365] as const

function TokenDialog({
  onClose,
  onDone,
}: {
  onClose: () => void
  onDone: (made: { name: string; token: string }) => void
}) {
  const [name, setName] = useState('')
  const [role, setRole] = useState('engine')
  const [days, setDays] = useState(0)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const save = async () => {
    setBusy(true)
    setError(null)
    try {
      const expires = days ? new Date(Date.now() + days * 86_400_000).toISOString() : undefined
      onDone(await api.post<{ name: string; token: string }>('/tokens', { name, role, expires_at: expires }))
    } catch (cause) {
      setError(cause instanceof ApiError ? cause : new ApiError(0, 'unexpected', String(cause)))
      setBusy(false)
    }
  }
  return (
    <Dialog
      title={t('tokens.add')}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{t('cancel')}</Button>
          <Button look="primary" busy={busy} disabled={!name} onClick={save}>
            {t('tokens.add')}
          </Button>
        </>
      }
    >
      <Failure error={error} />
      <div class="fields">
        <Field label={t('col.name')} help={t('tokens.name_help')}>
          {(ids) => (
            <input
              {...ids}
              type="text"
              autocomplete="off"
              spellcheck={false}
              value={name}
              placeholder="gateway-1"
              onInput={(event) => setName(event.currentTarget.value)}
            />
          )}
        </Field>
        <RoleField value={role} onChange={setRole} engine />
        <Field label={t('tokens.expires')}>
          {(ids) => (
            <select {...ids} value={days} onChange={(event) => setDays(Number(event.currentTarget.value))}>
              {LIFETIMES.map((n) => (
                <option key={n} value={n}>
                  {n === 0 ? t('never') : t('tokens.days', { n })}
                </option>
              ))}
            </select>
          )}
        </Field>
      </div>
    </Dialog>
  )
}

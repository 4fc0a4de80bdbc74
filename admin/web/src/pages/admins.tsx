// Everybody's accounts, for role admin.

import { useState } from 'preact/hooks'
import { SecretDialog } from '../form/secret'
import { t } from '../i18n'
import { type ApiError, api, session } from '../lib/api'
import { useLoad } from '../lib/load'
import type { Admin, Page as PageOf } from '../lib/types'
import {
  Ago,
  Button,
  Card,
  Dialog,
  Failure,
  Field,
  fieldErrors,
  IconButton,
  Segmented,
  Spinner,
  State,
} from '../ui/basics'
import { Table } from '../ui/table'
import { items, RoleField } from './roles'

export function Admins() {
  const loaded = useLoad((stop) => api.get<Admin[] | PageOf<Admin>>('/admins', {}, stop), [])
  const [editing, setEditing] = useState<Admin | 'new' | null>(null)
  const [link, setLink] = useState<{ name: string; link: string } | null>(null)
  const list = loaded.data && items(loaded.data)
  return (
    <Card
      title={t('account.admins')}
      about={t('account.admins_about')}
      actions={
        <Button icon="plus" onClick={() => setEditing('new')}>
          {t('account.add')}
        </Button>
      }
    >
      <Failure error={loaded.error} retry={loaded.reload} />
      {!list && !loaded.error && <Spinner />}
      {list && (
        <Table
          caption={t('account.admins')}
          rows={list}
          rowKey={(row) => row.id}
          columns={[
            { id: 'name', head: t('col.name'), cell: (row) => row.name },
            { id: 'role', head: t('account.role'), cell: (row) => t(`role.${row.role}`) },
            {
              id: 'state',
              head: t('col.state'),
              cell: (row) =>
                !row.enabled ? (
                  <State tone="neutral">{t('disabled')}</State>
                ) : row.locked_until && new Date(row.locked_until) > new Date() ? (
                  <State tone="warn">{t('account.locked')}</State>
                ) : (
                  <State tone="good">{t('enabled')}</State>
                ),
            },
            { id: 'login', head: t('account.last_login'), minor: true, cell: (row) => <Ago at={row.last_login_at} /> },
            {
              id: 'edit',
              head: '',
              number: true,
              cell: (row) => (
                <IconButton icon="edit" label={t('account.edit', { name: row.name })} onClick={() => setEditing(row)} />
              ),
            },
          ]}
        />
      )}
      {editing && (
        <AdminDialog
          admin={editing === 'new' ? null : editing}
          onClose={() => setEditing(null)}
          onDone={(made) => {
            setEditing(null)
            if (made) setLink(made)
            loaded.reload()
          }}
        />
      )}
      {link && (
        <SecretDialog
          title={t('account.link_title', { name: link.name })}
          about={t('account.link_about')}
          secret={link.link}
          onClose={() => setLink(null)}
        />
      )}
    </Card>
  )
}

interface Made {
  link?: string
  set_password_link?: string
  password_link?: string
  name?: string
}

function AdminDialog({
  admin,
  onClose,
  onDone,
}: {
  admin: Admin | null
  onClose: () => void
  onDone: (made: { name: string; link: string } | null) => void
}) {
  const [name, setName] = useState(admin?.name ?? '')
  const [role, setRole] = useState<string>(admin?.role ?? 'viewer')
  const [enabled, setEnabled] = useState(admin?.enabled ?? true)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const me = admin?.id === session.value!.admin.id
  const attempt = async (act: () => Promise<Made | undefined>) => {
    setBusy(true)
    setError(null)
    try {
      const made = await act()
      const link = made?.link ?? made?.set_password_link ?? made?.password_link
      onDone(link ? { name, link: new URL(link, location.href).href } : null)
    } catch (cause) {
      setError(cause as ApiError)
      setBusy(false)
    }
  }
  const save = () =>
    attempt(() =>
      admin
        ? api.put<Made>(`/admins/${admin.id}`, { name, role, enabled, version: admin.version })
        : api.post<Made>('/admins', { name, role }),
    )
  const problem = (key: string) => fieldErrors(error, key)
  return (
    <Dialog
      title={admin ? t('account.edit', { name: admin.name }) : t('account.add')}
      onClose={onClose}
      actions={
        <>
          {admin && !me && (
            <Button
              icon="trash"
              class="apart"
              busy={busy}
              onClick={() => attempt(() => api.delete(`/admins/${admin.id}`))}
            >
              {t('delete')}
            </Button>
          )}
          <Button onClick={onClose}>{t('cancel')}</Button>
          <Button look="primary" busy={busy} disabled={!name} onClick={save}>
            {admin ? t('save') : t('account.add')}
          </Button>
        </>
      }
    >
      {error && error.problems.length === 0 && <Failure error={error} />}
      <div class="fields">
        <Field label={t('col.name')} errors={problem('name')}>
          {(ids) => (
            <input
              {...ids}
              type="text"
              autocomplete="off"
              spellcheck={false}
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          )}
        </Field>
        <RoleField value={role} onChange={setRole} />
        {admin && !me && (
          <div class="field wide">
            <Segmented
              label={t('col.state')}
              value={enabled ? 'on' : 'off'}
              onChange={(next) => setEnabled(next === 'on')}
              options={[
                { value: 'on', label: t('enabled') },
                { value: 'off', label: t('disabled') },
              ]}
            />
          </div>
        )}
      </div>
      {!admin && <p class="muted">{t('account.add_text')}</p>}
    </Dialog>
  )
}

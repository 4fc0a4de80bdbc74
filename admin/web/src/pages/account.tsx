// One's own account; for role admin also everybody's accounts and the tokens of scripts and engines.

import { useState } from 'preact/hooks'
import { SecretDialog } from '../form/secret'
import { LANGUAGES, type Language, language, setLanguage, t } from '../i18n'
import { ApiError, api, may, session } from '../lib/api'
import { useLoad } from '../lib/load'
import { href, route } from '../lib/router'
import { notify, type Theme, theme } from '../lib/state'
import type { Admin, OwnSession, Page as PageOf, Role, Token } from '../lib/types'
import {
  Ago,
  Badge,
  Button,
  Card,
  Dialog,
  Empty,
  errorText,
  Failure,
  Field,
  IconButton,
  PageHead,
  Segmented,
  Spinner,
  State,
  Tabs,
} from '../ui/basics'
import { Table } from '../ui/table'

type Tab = 'me' | 'admins' | 'tokens'

export function Page() {
  const asked = route.value.query.get('tab') as Tab | null
  const tab: Tab = may('admin') && (asked === 'admins' || asked === 'tokens') ? asked : 'me'
  return (
    <>
      <PageHead title={t('account.title')} />
      {may('admin') && (
        <Tabs
          current={tab}
          tabs={[
            { id: 'me', label: t('account.me'), href: '#/account' },
            { id: 'admins', label: t('account.admins'), href: href(['account'], { tab: 'admins' }) },
            { id: 'tokens', label: t('account.tokens'), href: href(['account'], { tab: 'tokens' }) },
          ]}
        />
      )}
      {tab === 'me' && <Me />}
      {tab === 'admins' && <Admins />}
      {tab === 'tokens' && <Tokens />}
    </>
  )
}

/** Some lists come as pages, some whole. */
const items = <T,>(list: T[] | PageOf<T>): T[] => (Array.isArray(list) ? list : list.items)

function Me() {
  const who = session.value!.admin
  return (
    <>
      <Card title={who.name} about={t(`role.${who.role}`)}>
        <div class="fields">
          <div class="field">
            <span class="field-label">{t('top.language')}</span>
            <Segmented
              label={t('top.language')}
              value={language.value}
              onChange={setLanguage}
              options={(Object.keys(LANGUAGES) as Language[]).map((value) => ({ value, label: LANGUAGES[value] }))}
            />
          </div>
          <div class="field">
            <span class="field-label">{t('top.theme')}</span>
            <Segmented
              label={t('top.theme')}
              value={theme.value}
              onChange={(next: Theme) => {
                theme.value = next
              }}
              options={(['system', 'light', 'dark'] as const).map((value) => ({ value, label: t(`theme.${value}`) }))}
            />
          </div>
        </div>
      </Card>
      <Password />
      <Sessions />
    </>
  )
}

function Password() {
  const [current, setCurrent] = useState('')
  const [next, setNext] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const save = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    setError(null)
    try {
      await api.post('/password', { current, new: next })
      setCurrent('')
      setNext('')
      notify(t('account.password_changed'))
    } catch (cause) {
      setError(cause as ApiError)
    }
    setBusy(false)
  }
  const problem = (key: string) => (error?.problems ?? []).filter((p) => p.key === key).map((p) => p.message)
  const wrong = error?.status === 401 || error?.status === 403
  return (
    <Card title={t('login.password')} about={t('account.password_about')}>
      {error && error.problems.length === 0 && !wrong && <Failure error={error} />}
      <form class="fields" onSubmit={save}>
        <input type="text" name="username" autocomplete="username" value={session.value!.admin.name} hidden readOnly />
        <Field label={t('account.current')} errors={wrong ? [t('account.current_wrong')] : problem('current')}>
          {(ids) => (
            <input
              {...ids}
              type="password"
              autocomplete="current-password"
              value={current}
              onInput={(event) => setCurrent(event.currentTarget.value)}
            />
          )}
        </Field>
        <Field
          label={t('account.new')}
          errors={[...problem('new'), ...problem('password')]}
          help={t('setup.password_help')}
        >
          {(ids) => (
            <input
              {...ids}
              type="password"
              autocomplete="new-password"
              value={next}
              onInput={(event) => setNext(event.currentTarget.value)}
            />
          )}
        </Field>
        <div class="wide buttons">
          <Button type="submit" busy={busy} disabled={!current || !next}>
            {t('account.change')}
          </Button>
        </div>
      </form>
    </Card>
  )
}

function Sessions() {
  const loaded = useLoad((stop) => api.get<OwnSession[] | PageOf<OwnSession>>('/sessions', {}, stop), [])
  const list = loaded.data && items(loaded.data)
  const end = async (id: string) => {
    await api.delete(`/sessions/${id}`).catch((error: ApiError) => notify(errorText(error), 'bad'))
    loaded.reload()
  }
  return (
    <Card title={t('account.sessions')} about={t('account.sessions_about')}>
      <Failure error={loaded.error} retry={loaded.reload} />
      {list && (
        <Table
          caption={t('account.sessions')}
          rows={list}
          rowKey={(row) => row.id}
          columns={[
            {
              id: 'agent',
              head: t('account.browser'),
              cell: (row) => (
                <span class="two-lines">
                  <span>
                    {browser(row.user_agent)} {row.current && <Badge tone="accent">{t('account.this')}</Badge>}
                  </span>
                  <small class="muted code">{row.address}</small>
                </span>
              ),
            },
            { id: 'since', head: t('account.since'), minor: true, cell: (row) => <Ago at={row.created_at} /> },
            { id: 'seen', head: t('col.seen'), cell: (row) => <Ago at={row.seen_at} /> },
            {
              id: 'end',
              head: '',
              cell: (row) =>
                row.current ? null : (
                  <Button small onClick={() => end(row.id)}>
                    {t('account.end')}
                  </Button>
                ),
            },
          ]}
        />
      )}
    </Card>
  )
}

export function browser(agent: string): string {
  const name =
    /(Firefox|Edg|OPR|Chrome|Safari|curl)\/(\d+)/.exec(agent)?.slice(1, 3).join(' ').replace('Edg ', 'Edge ') ??
    agent.slice(0, 40)
  const system = /(Windows|Mac OS X|Android|iPhone|iPad|Linux)/.exec(agent)?.[1]
  return system ? `${name} · ${system.replace('Mac OS X', 'macOS')}` : name
}

const ROLES: Role[] = ['viewer', 'operator', 'admin']

function RoleField({ value, onChange, engine }: { value: string; onChange: (role: string) => void; engine?: boolean }) {
  const roles = engine ? [...ROLES, 'engine' as const] : ROLES
  return (
    <Field label={t('account.role')} help={t(`role_about.${value as Role}`)}>
      {(ids) => (
        <select {...ids} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
          {roles.map((role) => (
            <option key={role} value={role}>
              {t(`role.${role}`)}
            </option>
          ))}
        </select>
      )}
    </Field>
  )
}

function Admins() {
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
  const problem = (key: string) => (error?.problems ?? []).filter((p) => p.key === key).map((p) => p.message)
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

function Tokens() {
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
            { id: 'by', head: t('tokens.by'), minor: true, cell: (row) => row.created_by.replace(/^admin:/, '') },
            { id: 'used', head: t('tokens.used'), cell: (row) => <Ago at={row.last_used_at} /> },
            { id: 'until', head: t('tokens.expires'), minor: true, cell: (row) => <Ago at={row.expires_at} /> },
            {
              id: 'revoke',
              head: '',
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
          title={t('secret.title', { name: made.name })}
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

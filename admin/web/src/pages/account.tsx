// One's own account: language, theme, password, sessions; for role admin also people and tokens.

import { useState } from 'preact/hooks'
import { LANGUAGES, type Language, language, setLanguage, t } from '../i18n'
import { type ApiError, api, may, session } from '../lib/api'
import { useLoad } from '../lib/load'
import { href, route } from '../lib/router'
import { notify, type Theme, theme } from '../lib/state'
import type { OwnSession, Page as PageOf } from '../lib/types'
import {
  Ago,
  Badge,
  Button,
  Card,
  errorText,
  Failure,
  Field,
  fieldErrors,
  PageHead,
  Segmented,
  Tabs,
} from '../ui/basics'
import { Table } from '../ui/table'
import { Admins } from './admins'
import { items } from './roles'
import { Tokens } from './tokens'

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
  const problem = (key: string) => fieldErrors(error, key)
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
              number: true,
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

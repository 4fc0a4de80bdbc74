// The first account, by the link that the process prints; and a password of one's own, by the link that an admin gives.

import { useState } from 'preact/hooks'
import { t } from '../i18n'
import { ApiError, api, session, setupRequired } from '../lib/api'
import { go, route } from '../lib/router'
import type { Session } from '../lib/types'
import { Button, Callout, Failure, Field, fieldErrors } from '../ui/basics'
import { Outside } from './login'

export function Page({ rest }: { rest: string[] }) {
  const first = rest[0] === 'setup'
  const token = route.value.query.get('token') ?? ''
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const [again, setAgain] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const differ = again !== '' && again !== password
  const submit = async (event: Event) => {
    event.preventDefault()
    if (again !== password) {
      setAgain(again || ' ')
      return
    }
    setBusy(true)
    setError(null)
    try {
      const made = await (first
        ? api.post<Session>('/setup', { token, name, password })
        : api.post<Session>('/set-password', { token, password }))
      setupRequired.value = false
      session.value = made?.admin ? made : null
      go('#/', true)
    } catch (cause) {
      setError(cause instanceof ApiError ? cause : new ApiError(0, 'unexpected', String(cause)))
      setBusy(false)
    }
  }
  const spent = error && (error.status === 401 || error.status === 404)
  const problem = (key: string) => fieldErrors(error, key)
  return (
    <Outside title={first ? t('setup.title') : t('set_password.title')}>
      <p class="muted">{first ? t('setup.about') : t('set_password.about')}</p>
      {!token && <Callout tone="warn">{t('setup.no_token')}</Callout>}
      {spent && <Callout tone="bad">{t('setup.spent')}</Callout>}
      {error && !spent && error.problems.length === 0 && <Failure error={error} />}
      <form onSubmit={submit}>
        {first && (
          <Field label={t('login.name')} errors={problem('name')} help={t('setup.name_help')}>
            {(ids) => (
              <input
                {...ids}
                type="text"
                name="username"
                autocomplete="username"
                autocapitalize="none"
                spellcheck={false}
                required
                value={name}
                onInput={(event) => setName(event.currentTarget.value)}
              />
            )}
          </Field>
        )}
        <Field
          label={t('setup.password')}
          errors={[...problem('password'), ...problem('new')]}
          help={t('setup.password_help')}
        >
          {(ids) => (
            <input
              {...ids}
              type="password"
              name="password"
              autocomplete="new-password"
              required
              value={password}
              onInput={(event) => setPassword(event.currentTarget.value)}
            />
          )}
        </Field>
        <Field label={t('setup.again')} errors={differ ? [t('setup.differ')] : []}>
          {(ids) => (
            <input
              {...ids}
              type="password"
              name="password-again"
              autocomplete="new-password"
              required
              value={again}
              onInput={(event) => setAgain(event.currentTarget.value)}
            />
          )}
        </Field>
        <Button type="submit" look="primary" busy={busy} class="full" disabled={!token}>
          {first ? t('setup.submit') : t('set_password.submit')}
        </Button>
      </form>
    </Outside>
  )
}

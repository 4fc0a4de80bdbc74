// Logging in. The address stays what it was, so one is back where one was.

import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { t } from '../i18n'
import { ApiError, api, session, setupRequired } from '../lib/api'
import type { Session } from '../lib/types'
import { LanguageMenu, Notices, ThemeMenu } from '../shell'
import { Button, Callout, Failure, Field } from '../ui/basics'
import { Mark } from '../ui/icon'

/** The frame of pages outside: a card in the middle, language and theme at hand. */
export function Outside({ title, children }: { title: string; children: ComponentChildren }) {
  useEffect(() => {
    document.title = `${title} · coregate`
  }, [title])
  return (
    <div class="outside">
      <header class="outside-top">
        <LanguageMenu />
        <ThemeMenu />
      </header>
      <main class="outside-card">
        <div class="outside-brand">
          <Mark />
          <span>coregate</span>
        </div>
        <h1>{title}</h1>
        {children}
      </main>
      <Notices />
    </div>
  )
}

export function Login() {
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<ApiError | null>(null)
  const submit = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    setError(null)
    try {
      session.value = await api.post<Session>('/login', { name, password })
    } catch (cause) {
      setError(cause instanceof ApiError ? cause : new ApiError(0, 'unexpected', String(cause)))
      setPassword('')
      setBusy(false)
      document.querySelector<HTMLInputElement>('input[type=password]')?.focus()
    }
  }
  const wrong = error?.status === 401
  return (
    <Outside title={t('login.title')}>
      {setupRequired.value && <Callout tone="accent">{t('login.setup_required')}</Callout>}
      {error && (wrong ? <Callout tone="bad">{t('login.wrong')}</Callout> : <Failure error={error} />)}
      <form onSubmit={submit}>
        <Field label={t('login.name')}>
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
        <Field label={t('login.password')}>
          {(ids) => (
            <input
              {...ids}
              type="password"
              name="password"
              autocomplete="current-password"
              required
              value={password}
              onInput={(event) => setPassword(event.currentTarget.value)}
            />
          )}
        </Field>
        <Button type="submit" look="primary" busy={busy} class="full">
          {t('login.submit')}
        </Button>
      </form>
      <p class="muted small">{t('login.first')}</p>
    </Outside>
  )
}

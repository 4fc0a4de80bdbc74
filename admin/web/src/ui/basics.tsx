// The small parts that pages are made of.

import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { locale, t, told } from '../i18n'
import type { ApiError } from '../lib/api'
import { ago, dateTimeExact } from '../lib/format'
import { now } from '../lib/state'
import { Icon, type IconName } from './icon'

export type Tone = 'neutral' | 'good' | 'warn' | 'bad' | 'accent'

type ButtonProps = Omit<JSX.IntrinsicElements['button'], 'icon' | 'size'> & {
  look?: 'primary' | 'plain' | 'quiet' | 'danger'
  icon?: IconName
  busy?: boolean
  small?: boolean
}

/** While it is busy it does nothing, but keeps the focus, which a disabled one would lose. */
export function Button({ look = 'plain', icon, busy, small, children, class: more, onClick, ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      class={`button ${look}${small ? ' small' : ''}${more ? ` ${more}` : ''}`}
      aria-busy={busy || undefined}
      aria-disabled={busy || undefined}
      onClick={(event) => (busy ? event.preventDefault() : onClick?.(event))}
      {...rest}
    >
      {icon && <Icon name={icon} size={16} />}
      {children}
    </button>
  )
}

export function IconButton({ icon, label, ...rest }: { icon: IconName; label: string } & Omit<ButtonProps, 'icon'>) {
  return (
    <Button look="quiet" class="only-icon" aria-label={label} title={label} {...rest}>
      <Icon name={icon} size={16} />
    </Button>
  )
}

export function LinkButton({
  href,
  look = 'plain',
  icon,
  children,
}: {
  href: string
  look?: 'primary' | 'plain' | 'quiet'
  icon?: IconName
  children: ComponentChildren
}) {
  return (
    <a class={`button ${look}`} href={href}>
      {icon && <Icon name={icon} size={16} />}
      {children}
    </a>
  )
}

const TONE_ICON: Partial<Record<Tone, IconName>> = { good: 'good', warn: 'warn', bad: 'bad' }

export function Badge({
  tone = 'neutral',
  children,
  icon,
}: {
  tone?: Tone
  children: ComponentChildren
  icon?: boolean
}) {
  const name = icon ? TONE_ICON[tone] : undefined
  return (
    <span class={`badge ${tone}`}>
      {name ? <Icon name={name} size={14} /> : null}
      {children}
    </span>
  )
}

/** A state in one glance: a dot for the eye, a word for everyone. */
export function State({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return (
    <span class={`state ${tone}`}>
      <span class="dot" aria-hidden="true" />
      {children}
    </span>
  )
}

export function Callout({
  tone = 'neutral',
  title,
  children,
  actions,
}: {
  tone?: Tone
  title?: string
  children?: ComponentChildren
  actions?: ComponentChildren
}) {
  const icon = tone === 'good' ? 'good' : tone === 'warn' ? 'warn' : tone === 'bad' ? 'bad' : 'info'
  return (
    <div class={`callout ${tone}`} role={tone === 'bad' ? 'alert' : undefined}>
      <Icon name={icon} />
      <div class="callout-text">
        {title && <strong>{title}</strong>}
        {children}
      </div>
      {actions && <div class="callout-actions">{actions}</div>}
    </div>
  )
}

/** What went wrong, in words: the server's where it has some, ours where it could not be reached. */
export function Failure({ error, retry }: { error: ApiError | null; retry?: () => void }) {
  if (!error || error.status === 401) return null
  const text = errorText(error)
  return (
    <Callout
      tone="bad"
      actions={
        retry && (
          <Button small onClick={retry}>
            {t('again')}
          </Button>
        )
      }
    >
      {text}
    </Callout>
  )
}

export function errorText(error: ApiError): string {
  if (error.code === 'unreachable') return t('error.unreachable')
  // Without a time to try again it may have been saved, which its message says.
  if (error.code === 'database_unavailable' && error.retryAfter) return t('error.database')
  if (error.status === 403 && error.code === 'forbidden') return t('error.forbidden')
  if (error.status === 429 && error.retryAfter) return t('error.slow_down', { seconds: error.retryAfter })
  if (error.code.startsWith('http_')) return t('error.http', { status: String(error.status) })
  return told(error.message)
}

/** What is wrong with one value of what was sent, in words. */
export function fieldErrors(error: ApiError | null, key: string): string[] {
  return (error?.problems ?? []).filter((problem) => problem.key === key).map((problem) => told(problem.message))
}

export function Empty({
  icon,
  title,
  children,
  action,
}: {
  icon: IconName
  title: string
  children?: ComponentChildren
  action?: ComponentChildren
}) {
  return (
    <div class="empty">
      <span class="empty-icon">
        <Icon name={icon} size={24} />
      </span>
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {action}
    </div>
  )
}

export function Ago({ at }: { at: string | null | undefined }) {
  if (!at) return <span>{t('never')}</span>
  return (
    <time dateTime={at} title={dateTimeExact(at, locale.value)}>
      {ago(at, now.value, locale.value)}
    </time>
  )
}

export function PageHead({
  title,
  about,
  back,
  badges,
  actions,
}: {
  title: string
  about?: ComponentChildren
  back?: { href: string; label: string }
  badges?: ComponentChildren
  actions?: ComponentChildren
}) {
  useEffect(() => {
    document.title = `${title} · coregate`
  }, [title])
  return (
    <header class="page-head">
      <div class="page-head-text">
        {back && (
          <a class="back" href={back.href}>
            <Icon name="left" size={14} />
            {back.label}
          </a>
        )}
        <div class="page-title">
          <h1>{title}</h1>
          {badges}
        </div>
        {about && <p class="muted">{about}</p>}
      </div>
      {actions && <div class="page-actions">{actions}</div>}
    </header>
  )
}

export function Card({
  title,
  about,
  actions,
  children,
  class: more,
  id,
}: {
  title?: ComponentChildren
  about?: ComponentChildren
  actions?: ComponentChildren
  children: ComponentChildren
  class?: string
  id?: string
}) {
  const heading = useId()
  return (
    <section class={`card${more ? ` ${more}` : ''}`} id={id} aria-labelledby={title ? heading : undefined}>
      {title && (
        <header class="card-head">
          <div>
            <h2 id={heading}>{title}</h2>
            {about && <p class="muted">{about}</p>}
          </div>
          {actions && <div class="card-actions">{actions}</div>}
        </header>
      )}
      {children}
    </section>
  )
}

export function Tabs({ tabs, current }: { tabs: { id: string; label: string; href: string }[]; current: string }) {
  return (
    <nav class="tabs" aria-label={t('sections')}>
      {tabs.map((tab) => (
        <a key={tab.id} href={tab.href} aria-current={tab.id === current ? 'page' : undefined}>
          {tab.label}
        </a>
      ))}
    </nav>
  )
}

export function Segmented<T extends string>({
  label,
  options,
  value,
  onChange,
}: {
  label: string
  options: { value: T; label: string }[]
  value: T
  onChange: (value: T) => void
}) {
  const name = useId()
  return (
    <fieldset class="segmented">
      <legend class="unseen">{label}</legend>
      {options.map((option) => (
        <label key={option.value} class={option.value === value ? 'on' : ''}>
          <input type="radio" name={name} checked={option.value === value} onChange={() => onChange(option.value)} />
          {option.label}
        </label>
      ))}
    </fieldset>
  )
}

export function Switch({
  label,
  checked,
  onChange,
  disabled,
  hideLabel,
}: {
  label: string
  checked: boolean
  onChange: (on: boolean) => void
  disabled?: boolean
  hideLabel?: boolean
}) {
  return (
    <label class={`switch${disabled ? ' disabled' : ''}`}>
      <input
        type="checkbox"
        role="switch"
        checked={checked}
        disabled={disabled}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <span class="track" aria-hidden="true" />
      <span class={hideLabel ? 'unseen' : ''}>{label}</span>
    </label>
  )
}

/** A control with its label, what it means and what is wrong with it, tied together for screen readers. */
export function Field({
  label,
  help,
  errors = [],
  children,
  wide,
  optional,
}: {
  label: string
  help?: ComponentChildren
  errors?: string[]
  wide?: boolean
  optional?: boolean
  children: (ids: { id: string; 'aria-describedby'?: string; 'aria-invalid'?: boolean }) => ComponentChildren
}) {
  const id = useId()
  const described = [help ? `${id}-h` : '', errors.length ? `${id}-e` : ''].filter(Boolean).join(' ')
  return (
    <div class={`field${wide ? ' wide' : ''}${errors.length ? ' wrong' : ''}`}>
      <label for={id}>
        {label}
        {optional && <span class="optional">{t('optional')}</span>}
      </label>
      {children({ id, 'aria-describedby': described || undefined, 'aria-invalid': errors.length > 0 || undefined })}
      {errors.length > 0 && (
        <p class="field-error" id={`${id}-e`}>
          {errors.join(' ')}
        </p>
      )}
      {help && (
        <p class="field-help" id={`${id}-h`}>
          {help}
        </p>
      )}
    </div>
  )
}

export function Copyable({ text, label }: { text: string; label: string }) {
  const [done, setDone] = useState(false)
  return (
    <div class="copyable">
      <code>{text}</code>
      <Button
        small
        icon={done ? 'check' : 'copy'}
        aria-label={label}
        onClick={async () => {
          await navigator.clipboard?.writeText(text).catch(() => undefined)
          setDone(true)
        }}
      >
        {done ? t('copied') : t('copy')}
      </Button>
    </div>
  )
}

/** A modal dialog. The browser's own: it keeps the focus inside and closes on Escape. */
export function Dialog({
  title,
  children,
  onClose,
  actions,
  wide,
}: {
  title: string
  children: ComponentChildren
  onClose: () => void
  actions: ComponentChildren
  wide?: boolean
}) {
  const ref = useRef<HTMLDialogElement>(null)
  const heading = useId()
  useEffect(() => {
    const dialog = ref.current
    const opener = document.activeElement
    dialog?.showModal()
    return () => {
      dialog?.close()
      // The element is gone before the browser can give the focus back.
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus()
    }
  }, [])
  return (
    <dialog
      ref={ref}
      class={wide ? 'wide' : ''}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
    >
      <header>
        <h2 id={heading}>{title}</h2>
        <IconButton icon="close" label={t('close')} onClick={onClose} />
      </header>
      <div class="dialog-body">{children}</div>
      <footer>{actions}</footer>
    </dialog>
  )
}

export function Spinner() {
  return (
    <output class="spinner">
      <span class="unseen">{t('loading')}</span>
    </output>
  )
}

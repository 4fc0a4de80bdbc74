// The frame: rail, top bar, the bars about a draft and a deadline, notices.

import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { actor, LANGUAGES, type Language, language, setLanguage, t, told } from './i18n'
import { api, may, session } from './lib/api'
import { countdown } from './lib/format'
import { href, route } from './lib/router'
import { connected, dismiss, loadStatus, notices, notify, now, status, type Theme, theme } from './lib/state'
import { Button, errorText, IconButton } from './ui/basics'
import { Icon, type IconName, Mark } from './ui/icon'
import { Menu, MenuItem } from './ui/menu'

type NavKey = 'overview' | 'services' | 'tenants' | 'listeners' | 'instances' | 'revisions' | 'explain' | 'audit'

const NAV: NavKey[] = ['overview', 'services', 'tenants', 'listeners', 'instances', 'revisions', 'explain', 'audit']
/** What a thumb reaches; the rest is behind "More". */
const BOTTOM: NavKey[] = ['overview', 'services', 'instances', 'revisions']
const INSIDE: Record<string, NavKey> = { certificates: 'listeners', draft: 'revisions', transfer: 'revisions' }

const target = (page: NavKey) => (page === 'overview' ? '#/' : `#/${page}`)

export function Shell({ current, children }: { current: string; children: ComponentChildren }) {
  const page = INSIDE[current] ?? current
  return (
    <div class="shell">
      <button type="button" class="skip" onClick={() => document.getElementById('content')?.focus()}>
        {t('skip')}
      </button>
      <nav class="rail" aria-label={t('nav')}>
        <a class="brand" href="#/" aria-label="coregate">
          <Mark />
          <span>coregate</span>
        </a>
        <ul>
          {NAV.map((item) => (
            <li key={item}>
              <a href={target(item)} aria-current={item === page ? 'page' : undefined}>
                <Icon name={item} />
                {t(`nav.${item}`)}
              </a>
            </li>
          ))}
        </ul>
        <p class="rail-foot figures">{status.value ? `v${status.value.version}` : ''}</p>
      </nav>
      <div class="beside">
        <Head />
        <main id="content" tabIndex={-1}>
          {children}
        </main>
      </div>
      <BottomBar page={page} />
      <Notices />
    </div>
  )
}

/** What stays in sight: the top bar and what waits for somebody. Its height is told to what sticks below it. */
function Head() {
  const ref = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const element = ref.current
    if (!element) return
    const resized = new ResizeObserver(() => {
      document.documentElement.style.setProperty('--head', `${element.offsetHeight}px`)
    })
    resized.observe(element)
    return () => resized.disconnect()
  }, [])
  return (
    <div class="head" ref={ref}>
      <TopBar />
      <Bars />
    </div>
  )
}

function TopBar() {
  const state = status.value
  return (
    <header class="top">
      <a class="brand top-brand" href="#/" aria-label="coregate">
        <Mark />
      </a>
      <div class="top-facts">
        {state && <span class="environment">{state.environment}</span>}
        {state && (
          <a class="in-force" href={state.revision ? href(['revisions', state.revision]) : '#/revisions'}>
            <Icon name="revisions" size={14} />
            <span class="in-force-word">{t('top.revision')}</span> <span class="figures">{state.revision}</span>
          </a>
        )}
        {connected.value === false && (
          <span class="offline" role="status">
            <Icon name="warn" size={14} />
            {t('top.offline')}
          </span>
        )}
      </div>
      <LanguageMenu />
      <ThemeMenu />
      {session.value && <AccountMenu />}
    </header>
  )
}

export function LanguageMenu() {
  return (
    <Menu label={t('top.language')} icon="language">
      {(Object.keys(LANGUAGES) as Language[]).map((name) => (
        <MenuItem key={name} checked={name === language.value} onSelect={() => setLanguage(name)}>
          <span lang={name === 'zh' ? 'zh-CN' : 'en'}>{LANGUAGES[name]}</span>
        </MenuItem>
      ))}
    </Menu>
  )
}

const THEME_ICON: Record<Theme, IconName> = { system: 'system', light: 'sun', dark: 'moon' }

export function ThemeMenu() {
  return (
    <Menu label={t('top.theme')} icon={THEME_ICON[theme.value]}>
      {(['system', 'light', 'dark'] as const).map((name) => (
        <MenuItem
          key={name}
          icon={THEME_ICON[name]}
          checked={name === theme.value}
          onSelect={() => {
            theme.value = name
          }}
        >
          {t(`theme.${name}`)}
        </MenuItem>
      ))}
    </Menu>
  )
}

function AccountMenu() {
  const who = session.value!.admin
  return (
    <Menu label={t('top.account', { name: who.name })} text={who.name} initial={who.name.slice(0, 1).toUpperCase()}>
      <p class="menu-head">
        <strong>{who.name}</strong>
        <span class="muted">{t(`role.${who.role}`)}</span>
      </p>
      <MenuItem icon="key" href="#/account">
        {t('account.title')}
      </MenuItem>
      {may('admin') && (
        <MenuItem icon="tenants" href="#/account?tab=admins">
          {t('account.admins')}
        </MenuItem>
      )}
      <MenuItem icon="logout" onSelect={logOut}>
        {t('logout')}
      </MenuItem>
    </Menu>
  )
}

async function logOut() {
  await api.post('/logout').catch(() => undefined)
  session.value = null
  location.hash = '#/'
}

/** What is waiting for somebody: a deadline first, then a draft, then what the process itself complains about. */
function Bars() {
  const state = status.value
  if (!state) return null
  const onDraft = route.value.path[0] === 'draft'
  return (
    <>
      {state.pending && <PendingBar pending={state.pending} />}
      {state.draft_changes > 0 && !onDraft && (
        <div class="bar draft">
          <Icon name="edit" />
          <p>{t('bar.draft', { n: state.draft_changes })}</p>
          <a class="button small" href="#/draft">
            {t('bar.open_draft')}
          </a>
        </div>
      )}
      {state.problems.map((problem) => (
        <div class="bar bad" role="alert" key={problem}>
          <Icon name="warn" />
          <p>{told(problem)}</p>
        </div>
      ))}
    </>
  )
}

function PendingBar({ pending }: { pending: { revision: number; confirm_by: string; author: string } }) {
  const [busy, setBusy] = useState(false)
  const over = new Date(pending.confirm_by).getTime() <= now.value
  useEffect(() => {
    if (over) loadStatus().catch(() => undefined)
  }, [over, now.value])
  const act = async (what: 'confirm' | 'revert') => {
    setBusy(true)
    try {
      await api.post(`/revisions/${pending.revision}/${what}`)
      notify(t(what === 'confirm' ? 'bar.confirmed' : 'bar.reverted', { id: String(pending.revision) }))
    } catch (error) {
      notify(errorText(error as never), 'bad')
    }
    await loadStatus().catch(() => undefined)
    setBusy(false)
  }
  return (
    <div class="bar warn">
      <Icon name="clock" />
      <p>
        {t('bar.pending', { id: String(pending.revision), who: actor(pending.author) })}{' '}
        <strong class="figures" role="timer">
          {countdown(pending.confirm_by, now.value)}
        </strong>
      </p>
      {may('operator') && (
        <span class="bar-actions">
          <Button small busy={busy} onClick={() => act('revert')}>
            {t('bar.revert')}
          </Button>
          <Button small look="primary" busy={busy} onClick={() => act('confirm')}>
            {t('bar.confirm')}
          </Button>
        </span>
      )}
    </div>
  )
}

function BottomBar({ page }: { page: string }) {
  const [open, setOpen] = useState(false)
  const ref = useRef<HTMLDivElement>(null)
  useEffect(() => setOpen(false), [route.value.hash])
  useEffect(() => {
    if (!open) return
    const close = (event: Event) => {
      if (event instanceof KeyboardEvent ? event.key === 'Escape' : !ref.current?.contains(event.target as Node)) {
        setOpen(false)
      }
    }
    document.addEventListener('keydown', close)
    document.addEventListener('pointerdown', close)
    return () => {
      document.removeEventListener('keydown', close)
      document.removeEventListener('pointerdown', close)
    }
  }, [open])
  const rest = NAV.filter((item) => !BOTTOM.includes(item))
  return (
    <div class="bottom" ref={ref}>
      {open && (
        <div class="bottom-sheet" id="more-pages">
          {rest.map((item) => (
            <a key={item} href={target(item)} aria-current={item === page ? 'page' : undefined}>
              <Icon name={item} />
              {t(`nav.${item}`)}
            </a>
          ))}
        </div>
      )}
      <nav aria-label={t('nav')}>
        {BOTTOM.map((item) => (
          <a key={item} href={target(item)} aria-current={item === page ? 'page' : undefined}>
            <Icon name={item} size={20} />
            <span>{t(`nav.${item}`)}</span>
          </a>
        ))}
        <button
          type="button"
          aria-expanded={open}
          aria-controls="more-pages"
          class={rest.includes(page as NavKey) ? 'on' : ''}
          onClick={() => setOpen(!open)}
        >
          <Icon name="more" size={20} />
          <span>{t('nav.more')}</span>
        </button>
      </nav>
    </div>
  )
}

export function Notices() {
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.value.map((notice) => (
        <div key={notice.id} class={`notice ${notice.tone}`}>
          <Icon name={notice.tone === 'good' ? 'good' : 'bad'} />
          <p>{notice.text}</p>
          <IconButton icon="close" label={t('close')} onClick={() => dismiss(notice.id)} />
        </div>
      ))}
    </div>
  )
}
